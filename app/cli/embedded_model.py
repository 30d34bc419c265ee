"""The embedded model: who answers on the telephone where there is no OpenAI key.

A Realtime server on the loopback, with ears of its own, the lines of the agent file, and a voice.
"""

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
    """A model that knows this agent's [demo] lines. It does not listen yet: use it in `async with`,
    or `start` it, and point OPENAI_BASE_URL at its `base_url`.

    This takes a moment, in which its ears learn the phrases. `thinking_ms`: time before each
    answer, as a large model takes it. `remembers`: what clients sent is kept, which is for tests.

    Raises:
        ConfigError: the extra `demo` is not installed or does not work here, or the agent's [demo]
            asks for a voice that does not exist, or for a phrase that nobody can say.
    """
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
    try:
        SileroDetector()  # what is missing is told now, and not to the first caller
        _check_voice(agent)
        model = Receptionist(lines, voice=demo.voice, names=demo.names, thinking_ms=thinking_ms)
    except (HearingUnavailable, SpeechUnavailable) as error:
        raise ConfigError(
            f"the embedded model, which answers without OPENAI_API_KEY, cannot be had: {error}"
        ) from error
    except PhraseError as error:
        raise ConfigError(f"{agent.path}: demo.lines: {error}") from error
    return RealtimeServer(
        model.brain,
        transcribe=model.transcribe,
        detector=SileroDetector,
        options=Options(remembers=remembers),
    )


def _check_voice(agent: LoadedAgent) -> None:
    try:
        speak("", voice=agent.demo.voice)
    except ValueError as error:
        raise ConfigError(f"{agent.path}: demo.voice: {error}") from error
