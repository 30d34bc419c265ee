"""The embedded model: it answers calls when OPENAI_API_KEY is not set.

A Realtime server on the loopback with its own speech recognition and voice. It knows the phrases of
the agent file's [demo].
"""

from collections.abc import Sequence

from app.config.agent.file import LoadedAgent
from app.errors import ConfigError
from app.simulator.realtime import Options, RealtimeServer
from app.simulator.receptionist.brain import Receptionist
from app.simulator.receptionist.ears import HearingUnavailable, SileroDetector
from app.simulator.receptionist.grammar import PhraseError
from app.simulator.receptionist.lines import Line
from app.simulator.speech import SpeechUnavailable, speak


def embedded_model(
    agent: LoadedAgent, *, thinking_ms: int = 0, remembers: bool = True
) -> RealtimeServer:
    """Build the model for this agent's [demo] lines. The server does not listen yet: use it in
    `async with`, or call `start`, and connect to its `base_url`.

    This takes a moment: the recognizer compiles the phrases. `thinking_ms`: a delay before each
    answer, as a large model has. `remembers`: keep the clients' events, for tests.

    Raises:
        ConfigError: the extra `demo` is not installed or does not work here, or [demo] names a
            voice that does not exist, or holds an invalid phrase.
    """
    try:
        return lines_model(agent, thinking_ms=thinking_ms, remembers=remembers)
    except (HearingUnavailable, SpeechUnavailable) as error:
        raise ConfigError(
            "OPENAI_API_KEY is not set, and the embedded model that would answer in its place is "
            f"not available: {error}"
        ) from error


def lines_model(
    agent: LoadedAgent, *, more: Sequence[Line] = (), thinking_ms: int = 0, remembers: bool = True
) -> RealtimeServer:
    """Build the model as `embedded_model` does, for any use. `more`: lines beside the agent's.

    Raises:
        ConfigError: [demo] names a voice that does not exist, or holds an invalid phrase.
        HearingUnavailable, SpeechUnavailable: the extra `demo` is not installed or does not work
            here.
    """
    SileroDetector()  # fails now if a package is missing, instead of at the first call
    model = receptionist(agent, more=more, thinking_ms=thinking_ms)
    return RealtimeServer(
        model.brain,
        transcribe=model.transcribe,
        detector=SileroDetector,
        options=Options(remembers=remembers),
    )


def receptionist(
    agent: LoadedAgent, *, more: Sequence[Line] = (), thinking_ms: int = 0
) -> Receptionist:
    """What hears and answers in the embedded model. Raises as `lines_model` does."""
    demo = agent.demo
    lines = [
        Line(
            hears=line.hears,
            keywords=line.keywords,
            says=line.says,
            tool=line.tool,
            arguments=line.arguments,
            then=line.then,
            otherwise=line.otherwise,
            ends_call=line.ends_call,
        )
        for line in demo.lines
    ]
    _check_voice(agent)
    try:
        return Receptionist(
            [*lines, *more], voice=demo.voice, names=demo.names, thinking_ms=thinking_ms
        )
    except PhraseError as error:
        raise ConfigError(f"{agent.path}: demo.lines: {error}") from error


def _check_voice(agent: LoadedAgent) -> None:
    try:
        speak("", voice=agent.demo.voice)
    except ValueError as error:
        raise ConfigError(f"{agent.path}: demo.voice: {error}") from error
