"""Twilio, the OpenAI Realtime API, voice providers and an embedded model, simulated.

For tests, the demo and a service without an OpenAI key. The simulators speak raw JSON and frames
over real sockets and import nothing from the bridge but its audio arithmetic: a mistake in the
bridge's codecs cannot be repeated here and go unnoticed.
"""
