"""The model's own voice as a `Voice`: a Realtime session that only says given texts.

For `python -m app voices`, which records voices and compares them. A call does not use it: there
the model speaks in the session that holds the conversation.
"""

from binascii import a2b_base64
from contextlib import aclosing, suppress
from typing import Any

from app.call import prompts
from app.call.agent import Voice as OwnVoice
from app.call.events import AudioReceived
from app.errors import ModelError, VoiceError
from app.wires.realtime.endpoint import Endpoint
from app.wires.realtime.exchange import Exchange
from app.wires.voices.voice import Sound, Sounds, VoiceLine

HZ = 24000  # OpenAI: the only rate of audio/pcm


class ModelVoice:
    """The model's voice; implements `Voice`. Each line has its own Realtime session."""

    def __init__(self, endpoint: Endpoint, own: OwnVoice) -> None:
        self._endpoint = endpoint
        self._own = own
        self._lines: set[ModelVoiceLine] = set()

    @property
    def label(self) -> str:
        return f"openai/{self._own.name}"

    def line(self) -> VoiceLine:
        line = ModelVoiceLine(self._endpoint, self._own, self._lines)
        self._lines.add(line)
        return line

    async def aclose(self) -> None:
        for line in list(self._lines):
            await line.aclose()


class ModelVoiceLine:
    """One line; implements `VoiceLine`. A session says one text after the other. If a text is
    stopped before its end, the session is closed, and the next text opens another."""

    def __init__(self, endpoint: Endpoint, own: OwnVoice, lines: "set[ModelVoiceLine]") -> None:
        self._endpoint = endpoint
        self._own = own
        self._lines = lines  # of its voice; `aclose` removes this one
        self._exchange: Exchange | None = None

    async def prepare(self) -> None:
        with suppress(VoiceError):
            await self._opened()

    async def say(self, text: str, *, answer: int = 0) -> Sounds:
        exchange = await self._opened()
        try:
            async with aclosing(exchange.answer(instructions=prompts.say(text))) as events:
                async for event in events:
                    pcm = a2b_base64(event.payload) if isinstance(event, AudioReceived) else b""
                    if pcm := pcm[: len(pcm) & ~1]:
                        yield Sound(pcm, HZ)
        except ModelError as error:
            raise _voice_error(error) from None

    async def aclose(self) -> None:
        self._lines.discard(self)
        if self._exchange is not None:
            self._exchange.close()
            self._exchange = None

    async def _opened(self) -> Exchange:
        """The session, configured; opens one if there is none, or if it has ended.

        Raises:
            VoiceError: the session cannot be opened.
        """
        if self._exchange is None or self._exchange.lost:
            self._exchange = Exchange(self._endpoint, voice=_output(self._own))
            try:
                await self._exchange.open()
            except ModelError as error:
                raise _voice_error(error) from None
        return self._exchange


def _output(own: OwnVoice) -> dict[str, Any]:
    output: dict[str, Any] = {"format": {"type": "audio/pcm", "rate": HZ}, "voice": own.name}
    return output if own.speed == 1.0 else {**output, "speed": own.speed}


def _voice_error(error: ModelError) -> VoiceError:
    return VoiceError(str(error), kind="fatal" if error.fatal else "passing")
