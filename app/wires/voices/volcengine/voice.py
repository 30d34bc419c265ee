"""The Volcengine voice: a text goes out over one of two wires, its sound comes back.

`v1` (`ws_binary`) takes a whole text per request; `v3` (`bidirection`) has sessions that can be
canceled. What differs between them is in `volcengine_requests` and `volcengine_sessions`; here is
what they have in common: which connection serves a text, and what becomes of it.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import aclosing, suppress
from typing import Literal, Protocol
from uuid import uuid4

from app.errors import VoiceError
from app.wires.voices.voice import Sound, Sounds
from app.wires.voices.volcengine.connections import Connection, Sockets
from app.wires.voices.volcengine.errors import REQID_USED, Refused
from app.wires.voices.volcengine.settings import VolcengineSettings
from app.wires.voices.volcengine.text import LARGEST_TEXT_BYTES, Samples, portions, speakable
from app.wires.voices.volcengine.v1_requests import Requests
from app.wires.voices.volcengine.v3_sessions import Sessions

__all__ = ["VolcengineLine", "VolcengineSettings", "VolcengineVoice"]

_IDLE = 2  # a spare, and the one that has just served a text
_PIECE_S = 1  # `query` answers in one piece; nobody should have to work on minutes at once


class Synthesis(Protocol):
    """One text on one connection: `begin`, then `more` until it gives None, or `cancel`."""

    async def begin(self) -> None: ...

    async def more(self) -> bytes | None: ...

    async def cancel(self) -> bool: ...


class Transport(Protocol):
    """One of the two wires."""

    async def open(self) -> Connection: ...

    def synthesis(self, connection: Connection, text: str, uid: str) -> Synthesis: ...


class VolcengineVoice:
    """A voice of Volcengine; see `Voice`."""

    def __init__(self, settings: VolcengineSettings) -> None:
        self._settings = settings
        self._sockets = Sockets()
        self._transport: Transport = (
            Sessions(settings, self._sockets)
            if settings.transport == "v3"
            else Requests(settings, self._sockets)
        )

    @property
    def label(self) -> str:
        return self._settings.label

    def line(self) -> "VolcengineLine":
        return VolcengineLine(self._settings, self._transport, self._sockets)

    async def aclose(self) -> None:
        """Let go of every connection of every line."""
        await self._sockets.aclose()


class VolcengineLine:
    """One caller's line; see `VoiceLine`.

    A connection that has said a text to its end serves the next one. If it fails before the first
    sound, which some of the vendor's pages promise, a new one takes over.
    """

    def __init__(
        self, settings: VolcengineSettings, transport: Transport, sockets: Sockets
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._sockets = sockets
        self._uid = settings.uid or uuid4().hex
        self._idle: deque[Connection] = deque()  # the last one is the best
        self._opening: asyncio.Task[None] | None = None
        self._closed = False

    async def prepare(self) -> None:
        """Open a spare connection unless one is idle. Returns when it is there, or was refused."""
        if self._closed or any(connection.open for connection in self._idle):
            return
        if self._opening is None:
            self._opening = self._sockets.run(self._open_ahead())
        await self._opened()

    async def say(self, text: str, *, answer: int = 0) -> Sounds:
        """See `VoiceLine`. A text that Volcengine would not take whole is said in portions."""
        text = text.encode("utf-8", "ignore").decode()  # half a surrogate pair cannot be sent
        for portion in self._portions(text):
            async with aclosing(self._say(portion)) as sounds:
                async for sound in sounds:
                    yield sound

    async def aclose(self) -> None:
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
        while self._idle:
            self._sockets.goodbye(self._idle.popleft())

    def _portions(self, text: str) -> Iterator[str]:
        if not speakable(text):
            raise VoiceError("there is nothing in the text that can be said", kind="text")
        if self._settings.text_type == "plain":
            return portions(text)
        if len(text.encode()) > LARGEST_TEXT_BYTES:
            raise VoiceError(f"the SSML is longer than {LARGEST_TEXT_BYTES} bytes", kind="text")
        return iter((text,))

    async def _say(self, text: str) -> Sounds:
        hz = self._settings.rate
        for last_try in (False, True):
            connection = await (self._transport.open() if last_try else self._take())
            synthesis = self._transport.synthesis(connection, text, self._uid)
            samples = Samples(hz * 2 * _PIECE_S)
            sounded = False
            outcome: Literal["whole", "failed", "dropped"] = "dropped"
            try:
                await synthesis.begin()
                while (data := await synthesis.more()) is not None:
                    for pcm in samples.feed(data):
                        sounded = True
                        yield Sound(pcm, hz)
                outcome = "whole"
            except VoiceError as error:
                outcome = "failed"
                if sounded or last_try or not _worth_another_try(error, connection):
                    raise
            finally:
                self._give_back(connection, synthesis, outcome)
            if outcome == "whole":
                for pcm in samples.finish():
                    yield Sound(pcm, hz)
                return

    # --- connections ----------------------------------------------------------------------------

    async def _take(self) -> Connection:
        """The best idle connection, or the one that is being opened, or a new one."""
        if (idle := await self._rested()) is not None:
            return idle
        if self._opening is not None:
            await self._opened()
            if (idle := await self._rested()) is not None:
                return idle
        return await self._transport.open()

    async def _rested(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            try:
                rested = await connection.rested()
            except BaseException:
                self._sockets.goodbye(connection)
                raise
            if rested:
                return connection
            self._sockets.goodbye(connection)
        return None

    async def _open_ahead(self) -> None:
        try:
            with suppress(VoiceError):  # it shows again when something is to be said
                self._keep(await self._transport.open())
        finally:
            self._opening = None

    async def _opened(self) -> None:
        """Wait for what is being opened, without ending it when the waiting ends."""
        if self._opening is not None:
            await asyncio.wait((self._opening,))

    def _give_back(
        self,
        connection: Connection,
        synthesis: Synthesis,
        outcome: Literal["whole", "failed", "dropped"],
    ) -> None:
        """Decide what becomes of a connection; never waits."""
        if outcome == "whole":
            connection.rest()
            self._keep(connection)
        elif outcome == "failed":
            self._sockets.goodbye(connection)
        else:
            self._sockets.run(self._drop(connection, synthesis))

    async def _drop(self, connection: Connection, synthesis: Synthesis) -> None:
        free = False
        try:
            free = await synthesis.cancel()
        finally:
            if free:
                connection.rest()
                self._keep(connection)
            else:
                self._sockets.goodbye(connection)

    def _keep(self, connection: Connection) -> None:
        if self._closed or not connection.open:
            self._sockets.goodbye(connection)
            return
        self._idle.append(connection)
        if len(self._idle) > _IDLE:
            self._sockets.goodbye(self._idle.popleft())


def _worth_another_try(error: VoiceError, connection: Connection) -> bool:
    """Whether a new connection may say what this one did not begin to say."""
    if isinstance(error, Refused) and error.code == REQID_USED:
        return True
    return connection.waited and error.kind != "text"
