"""A phone-agent bridge: Twilio Media Streams on one side, OpenAI Realtime on the other.

From the top down. A module imports from its own entry and from those below it, never upwards:

    cli        The command line: serve, call, calls, voices, demo.
    main       The ASGI application: routes, and the services opened and closed with it.
    web        HTTP and WebSockets: Twilio's webhooks and media socket, the HTTP API, the server.
    bridge     What the bridge does: legs of calls, the switchboard, transfers, outbound calls.
    records    What a call leaves: records, recordings, summaries, reports.
    config     What the owner writes: environment, agent file, prices; each fault with its line.
    tools      What the model may call: schemas from plain typed functions.
    wires      Twilio, OpenAI Realtime, external voices; a wire carries and decides nothing.
    call       The call itself, pure: events in, commands out, time as a number.
    simulator  The outside, played: Twilio, OpenAI, voices, and an embedded model.
    audio      Telephone audio as arithmetic: µ-law, PCM, bytes and milliseconds.
    errors     What can go wrong, named for where it went wrong.
"""

__version__ = "0.1.0"
