"""Qwen voices and their lines; each line keeps a spare session open for its next text."""

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from app.call.words.blank import is_blank
from app.errors import VoiceError
from app.wires.voices.qwen.codec import Speech
from app.wires.voices.qwen.session import QwenSession, open_session
from app.wires.voices.qwen.settings import QwenSettings
from app.wires.voices.voice import Sound, Sounds, file_in

__all__ = ["QwenLine", "QwenSettings", "QwenVoice"]

logger = logging.getLogger(__name__)

#: Spares that are replaced in a row after the server closed them; then the next text opens its own.
_MOST_LOST_SPARES = 3

_T = TypeVar("_T")


class QwenVoice:
    """A configured Qwen voice; see `Voice`. `aclose` waits for the close handshakes, about a second
    at most."""

    def __init__(self, settings: QwenSettings) -> None:
        self.settings = settings
        self._lines: set[QwenLine] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def label(self) -> str:
        return self.settings.label

    def line(self) -> "QwenLine":
        line = QwenLine(self)
        self._lines.add(line)
        return line

    async def aclose(self) -> None:
        for line in list(self._lines):
            await line.aclose()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def run_in_background(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Run a coroutine as a task that `aclose` waits for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def remove(self, line: "QwenLine") -> None:
        self._lines.discard(line)


class QwenLine:
    """One call's line to a Qwen voice; see `VoiceLine`.

    In commit mode a session says one text after the other, in server_commit mode a single one.
    Dropping a text closes its session, because Qwen has no cancel. The spare session, which is open
    and configured, then says the next text.
    """

    def __init__(self, voice: QwenVoice) -> None:
        #: From sending the latest text to its first sound; None before that.
        self.first_sound_ms: float | None = None
        #: The session of the latest text, for questions to Qwen's support.
        self.session_id = ""
        self._voice = voice
        self._mode = voice.settings.mode
        #: Opens the spare session. Done: the session is open, and idle.
        self._spare: asyncio.Task[QwenSession] | None = None
        #: The session that said the latest text and can say another.
        self._idle: QwenSession | None = None
        self._in_use: set[QwenSession] = set()
        self._lost_spares = 0
        self._closed = False

    async def prepare(self) -> None:
        """Open the spare session. Returns when it is open or has failed to open."""
        if not self._closed:
            self._lost_spares = 0
            await asyncio.wait([self._open_spare()])

    async def say(self, text: str, *, answer: int = 0) -> Sounds:
        if is_blank(text):
            raise VoiceError("the text is blank", kind="text")
        asked_s = time.monotonic()  # uvloop's clock has a resolution of 1 ms only
        session = await self._take()
        speech = Speech(self._mode)
        self.session_id, self.first_sound_ms = session.session_id, None
        handed_s = time.monotonic()
        try:
            await session.send_text(text, last=self._mode == "server_commit")
            if not self._closed:
                self._open_spare()
            while not speech.finished:
                pcm = speech.feed(await session.next_event())
                if not pcm:
                    continue
                if self.first_sound_ms is None:
                    if found := file_in(pcm):
                        raise VoiceError(f"Qwen sent {found} in place of raw PCM", kind="fatal")
                    self.first_sound_ms = (time.monotonic() - handed_s) * 1000
                    self._log(session, waited_ms=(handed_s - asked_s) * 1000)
                yield Sound(pcm, session.hz)
            self._lost_spares = 0
        finally:
            if session in self._in_use:
                self._in_use.remove(session)
                if speech.finished and self._mode == "commit" and self._can_keep(session):
                    session.set_idle()
                    self._idle = session
                else:
                    self._close(session)

    async def aclose(self) -> None:
        self._closed = True
        self._voice.remove(self)
        for session in [*self._in_use, *([self._idle] if self._idle else [])]:
            self._close(session)
        if self._spare is not None:
            self._close_spare(self._spare)
        self._idle = self._spare = None
        self._in_use.clear()

    async def _take(self) -> QwenSession:
        """Take a session for one text: the idle one, the spare, or a new one.

        Raises:
            VoiceError: no session can be opened, or the line was closed.
        """
        while True:
            if self._closed:
                raise VoiceError("the line to Qwen was closed")
            session, self._idle = self._idle, None
            fresh = False
            if session is None:
                opening = self._open_spare()
                fresh = not opening.done()
                # asyncio.wait does not cancel the spare when this task is cancelled.
                await asyncio.wait([opening])
                if self._closed:
                    continue
                session = opening.result()
                if self._spare is opening:
                    self._spare = None
                elif session.alive:
                    continue  # another text took it
            if session.alive:
                self._in_use.add(session)
                return session
            self._close(session)
            if fresh:
                raise VoiceError("Qwen closed the session before a text was sent")

    def _can_keep(self, session: QwenSession) -> bool:
        return session.alive and self._idle is None

    def _close(self, session: QwenSession) -> None:
        session.discard()
        self._voice.run_in_background(session.close())

    # --- the spare ---

    def _open_spare(self) -> asyncio.Task[QwenSession]:
        """The task of the spare, started if there is none."""
        if self._spare is None:
            self._spare = self._voice.run_in_background(
                open_session(self._voice.settings, self._session_ended)
            )
            self._spare.add_done_callback(self._spare_opened)
        return self._spare

    def _spare_opened(self, opening: asyncio.Task[QwenSession]) -> None:
        if opening.cancelled():
            return
        failure = opening.exception()
        if failure is not None:
            logger.info("Qwen spare session failed to open", extra={"reason": str(failure)})
            if self._spare is opening:
                self._spare = None

    def _session_ended(self, session: QwenSession) -> None:
        """An idle session has ended: close it, and replace it if it was the spare."""
        logger.debug("idle Qwen session ended", extra={"session_id": session.session_id})
        self._close(session)
        if session is self._idle:
            self._idle = None
        if self._spare is not None and _session_of(self._spare) is session:
            self._spare = None
            if self._lost_spares < _MOST_LOST_SPARES:
                self._lost_spares += 1
                self._open_spare()

    def _close_spare(self, spare: asyncio.Task[QwenSession]) -> None:
        session = _session_of(spare)
        if session is not None:
            self._close(session)
        spare.cancel()

    def _log(self, session: QwenSession, *, waited_ms: float) -> None:
        logger.debug(
            "Qwen first sound",
            extra={
                "session_id": session.session_id,
                "first_sound_ms": self.first_sound_ms,
                "opened_ms": session.opened_ms,
                "waited_ms": waited_ms,  # for a session, before the text was sent
            },
        )


def _session_of(opening: asyncio.Task[QwenSession]) -> QwenSession | None:
    """The session, if the task has opened one."""
    if not opening.done() or opening.cancelled() or opening.exception() is not None:
        return None
    return opening.result()
