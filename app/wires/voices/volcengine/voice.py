"""Volcengine voices and their lines: choose a connection for each text, retry, reuse connections.

Two transports do the rest: `v1_requests` (`ws_binary`, one request per text) and `v3_sessions`
(`bidirection`, sessions that can be canceled).
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import aclosing, suppress
from typing import Literal
from uuid import uuid4

from app.audio import pcm16_size
from app.errors import VoiceError
from app.wires.voices.voice import Sound, Sounds, SpokenWord
from app.wires.voices.volcengine.connections import Connection, Connections
from app.wires.voices.volcengine.errors import REQID_USED, VolcengineError
from app.wires.voices.volcengine.settings import VolcengineSettings
from app.wires.voices.volcengine.text import LARGEST_TEXT_BYTES, Samples, portions, speakable
from app.wires.voices.volcengine.transport import Synthesis, Transport
from app.wires.voices.volcengine.v1_requests import V1Transport
from app.wires.voices.volcengine.v3_sessions import V3Transport

__all__ = ["VolcengineLine", "VolcengineSettings", "VolcengineVoice"]

#: Idle connections that a line keeps: a spare, and the one that served the latest text.
_MOST_IDLE = 2
#: The longest piece of sound to yield at once; `query` returns minutes in one frame.
_PIECE_MS = 1000


class VolcengineVoice:
    """A configured Volcengine voice; see `Voice`."""

    def __init__(self, settings: VolcengineSettings) -> None:
        self._settings = settings
        self._connections = Connections()
        transport = V3Transport if settings.transport == "v3" else V1Transport
        self._transport: Transport = transport(settings, self._connections)

    @property
    def label(self) -> str:
        return self._settings.label

    def line(self) -> "VolcengineLine":
        return VolcengineLine(self._settings, self._transport, self._connections)

    async def aclose(self) -> None:
        """Abort every connection of every line."""
        await self._connections.aclose()


class VolcengineLine:
    """One call's line to a Volcengine voice; see `VoiceLine`.

    A connection that has completed a text is reused for the next one. The vendor's pages disagree
    on whether the service allows that: if it fails before the first sound, the text is retried on a
    new connection.
    """

    def __init__(
        self, settings: VolcengineSettings, transport: Transport, connections: Connections
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._connections = connections
        self._uid = settings.uid or uuid4().hex
        #: The connection used last is at the end, and taken first.
        self._idle: deque[Connection] = deque()
        self._opening: asyncio.Task[None] | None = None
        self._closed = False

    async def prepare(self) -> None:
        """Open a spare connection unless one is idle. Returns when it is open or has failed."""
        if self._closed or any(connection.open for connection in self._idle):
            return
        if self._opening is None:
            self._opening = self._connections.run_in_background(self._open_spare())
        await self._wait_for_spare()

    async def say(self, text: str, *, answer: int = 0) -> Sounds:
        """See `VoiceLine`. A text above `LARGEST_TEXT_BYTES` is said in portions."""
        text = text.encode("utf-8", "ignore").decode()  # drops lone surrogates
        said_bytes = 0
        for portion in self._portions(text):
            from_ms = said_bytes / pcm16_size(self._settings.rate, 1000) * 1000
            async with aclosing(self._say_portion(portion, from_ms)) as sounds:
                async for sound in sounds:
                    said_bytes += len(sound.pcm)
                    yield sound

    async def aclose(self) -> None:
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
        while self._idle:
            self._connections.close_in_background(self._idle.popleft())

    def _portions(self, text: str) -> Iterator[str]:
        if not speakable(text):
            raise VoiceError("the text has no letter and no digit", kind="text")
        if self._settings.text_type == "plain":
            return portions(text)
        if len(text.encode()) > LARGEST_TEXT_BYTES:
            raise VoiceError(f"the SSML is longer than {LARGEST_TEXT_BYTES} bytes", kind="text")
        return iter((text,))

    async def _say_portion(self, text: str, from_ms: float) -> Sounds:
        """`from_ms`: where the portion begins in the sound of the whole text."""
        hz = self._settings.rate
        for last_attempt in (False, True):
            connection = await (self._transport.open() if last_attempt else self._take())
            synthesis = self._transport.synthesis(connection, text, self._uid)
            samples = Samples(pcm16_size(hz, _PIECE_MS))
            sounded = False
            outcome: Literal["whole", "failed", "dropped"] = "dropped"
            try:
                await synthesis.start()
                while (data := await synthesis.next_audio()) is not None:
                    for pcm in samples.feed(data):
                        sounded = True
                        yield Sound(pcm, hz, _shifted(synthesis.take_words(), from_ms))
                outcome = "whole"
            except VoiceError as error:
                outcome = "failed"
                if sounded or last_attempt or not _worth_a_retry(error, connection):
                    raise
            finally:
                self._return(connection, synthesis, outcome)
            if outcome == "whole":
                for pcm in samples.finish():
                    yield Sound(pcm, hz)
                return

    # --- connections ----------------------------------------------------------------------------

    async def _take(self) -> Connection:
        """Take a connection: an idle one, the spare that is being opened, or a new one."""
        if (idle := await self._take_idle()) is not None:
            return idle
        if self._opening is not None:
            await self._wait_for_spare()
            if (idle := await self._take_idle()) is not None:
                return idle
        return await self._transport.open()

    async def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            try:
                reusable = await connection.reusable()
            except BaseException:
                self._connections.close_in_background(connection)
                raise
            if reusable:
                return connection
            self._connections.close_in_background(connection)
        return None

    async def _open_spare(self) -> None:
        try:
            with suppress(VoiceError):  # `say` raises it if it fails again
                self._make_idle(await self._transport.open())
        finally:
            self._opening = None

    async def _wait_for_spare(self) -> None:
        """Wait until the spare is open or has failed. Cancelling the wait does not cancel it."""
        if self._opening is not None:
            await asyncio.wait((self._opening,))

    def _return(
        self,
        connection: Connection,
        synthesis: Synthesis,
        outcome: Literal["whole", "failed", "dropped"],
    ) -> None:
        """Keep a connection for reuse, or close it, by the text's outcome. Never waits."""
        if outcome == "whole":
            connection.set_idle()
            self._make_idle(connection)
        elif outcome == "failed":
            self._connections.close_in_background(connection)
        else:
            self._connections.run_in_background(self._cancel(connection, synthesis))

    async def _cancel(self, connection: Connection, synthesis: Synthesis) -> None:
        free = False
        try:
            free = await synthesis.cancel()
        finally:
            if free:
                connection.set_idle()
                self._make_idle(connection)
            else:
                self._connections.close_in_background(connection)

    def _make_idle(self, connection: Connection) -> None:
        if self._closed or not connection.open:
            self._connections.close_in_background(connection)
            return
        self._idle.append(connection)
        if len(self._idle) > _MOST_IDLE:
            self._connections.close_in_background(self._idle.popleft())


def _shifted(words: tuple[SpokenWord, ...], by_ms: float) -> tuple[SpokenWord, ...]:
    return tuple(SpokenWord(w.text, w.start_ms + by_ms, w.end_ms + by_ms) for w in words)


def _worth_a_retry(error: VoiceError, connection: Connection) -> bool:
    """Whether the text may succeed on a new connection, after this one gave no sound."""
    if isinstance(error, VolcengineError) and error.code == REQID_USED:
        return True
    return connection.reused and error.kind != "text"
