"""Qwen's realtime voices: one caller's line to them, with a session opened ahead."""

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from app.call.words.blank import is_blank
from app.errors import VoiceError
from app.wires.voices.qwen.codec import QwenSettings, Speech
from app.wires.voices.qwen.session import QwenConnection, open_session
from app.wires.voices.voice import Sound, Sounds, file_in

__all__ = ["QwenLine", "QwenSettings", "QwenVoice"]

logger = logging.getLogger(__name__)

_MOST_LOST_SPARES = 3  # replaced in a row, while nothing is said; then the next text opens its own

_T = TypeVar("_T")


class QwenVoice:
    """A Qwen voice as it was configured. `aclose` ends its lines and waits for their goodbyes,
    about a second at most."""

    def __init__(self, settings: QwenSettings) -> None:
        self.settings = settings
        self._lines: set[QwenLine] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def label(self) -> str:
        return f"qwen/{self.settings.voice}"

    def line(self) -> "QwenLine":
        line = QwenLine(self)
        self._lines.add(line)
        return line

    async def aclose(self) -> None:
        for line in list(self._lines):
            await line.aclose()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def own(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Do it beside everything else; `aclose` waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def forget(self, line: "QwenLine") -> None:
        self._lines.discard(line)


class QwenLine:
    """One caller's line to a Qwen voice.

    In commit mode a session says text after text, in server_commit mode one each. Beside it waits a
    spare, open and past its settings: a text that is dropped closes its session, because nothing
    else stops Qwen, and the next text begins on the spare.

    `first_sound_ms`: from handing the last text over to its first sound; None before there is one.
    `session_id`: which session said it, as Qwen's support would ask for it.
    """

    def __init__(self, voice: QwenVoice) -> None:
        self.first_sound_ms: float | None = None
        self.session_id = ""
        self._voice = voice
        self._mode = voice.settings.mode
        self._spare: asyncio.Task[QwenConnection] | None = None  # it opens, or waits for a text
        self._rested: QwenConnection | None = None  # said a text, and can say another
        self._in_use: set[QwenConnection] = set()
        self._lost_spares = 0
        self._closed = False

    async def prepare(self) -> None:
        """Have the spare open. Returns when it is, or could not be."""
        if not self._closed:
            self._lost_spares = 0
            await asyncio.wait([self._opening()])

    async def say(self, text: str, *, answer: int = 0) -> Sounds:
        if is_blank(text):
            raise VoiceError("there is nothing in the text that Qwen could say", kind="text")
        asked_s = time.monotonic()  # finer than uvloop's clock
        session = await self._take()
        speech = Speech(self._mode)
        self.session_id, self.first_sound_ms = session.session_id, None
        handed_s = time.monotonic()
        try:
            await session.hand_over(text, last=self._mode == "server_commit")
            if not self._closed:
                self._opening()
            while not speech.over:
                pcm = speech.take(await session.event())
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
                if speech.over and self._mode == "commit" and self._can_rest(session):
                    session.rest()
                    self._rested = session
                else:
                    self._let_go(session)

    async def aclose(self) -> None:
        self._closed = True
        self._voice.forget(self)
        for session in [*self._in_use, *([self._rested] if self._rested else [])]:
            self._let_go(session)
        if self._spare is not None:
            self._let_go_of_spare(self._spare)
        self._rested = self._spare = None
        self._in_use.clear()

    async def _take(self) -> QwenConnection:
        """A session for one text: the one that said the last, the spare, or a new one.

        Raises:
            VoiceError: none can be opened, or the line was closed.
        """
        while True:
            if self._closed:
                raise VoiceError("the line to Qwen was closed")
            session, self._rested = self._rested, None
            fresh = False
            if session is None:
                opening = self._opening()
                fresh = not opening.done()
                # Waited for in a way that leaves it alone when whoever speaks is cancelled.
                await asyncio.wait([opening])
                if self._closed:
                    continue
                session = opening.result()
                if self._spare is opening:
                    self._spare = None
                elif session.alive:
                    continue  # another text was quicker
            if session.alive:
                self._in_use.add(session)
                return session
            self._let_go(session)
            if fresh:
                raise VoiceError("Qwen closed the session before a text was handed over")

    def _can_rest(self, session: QwenConnection) -> bool:
        return session.alive and self._rested is None

    def _let_go(self, session: QwenConnection) -> None:
        session.drop()
        self._voice.own(session.say_goodbye())

    # --- the spare ---

    def _opening(self) -> asyncio.Task[QwenConnection]:
        """The spare, opened now if there is none."""
        if self._spare is None:
            self._spare = self._voice.own(open_session(self._voice.settings, self._lost))
            self._spare.add_done_callback(self._opened)
        return self._spare

    def _opened(self, opening: asyncio.Task[QwenConnection]) -> None:
        if opening.cancelled():
            return
        failure = opening.exception()
        if failure is not None:
            logger.info("no spare session at Qwen", extra={"reason": str(failure)})
            if self._spare is opening:
                self._spare = None

    def _lost(self, session: QwenConnection) -> None:
        """It ended while it rested."""
        logger.debug("a session at Qwen ended", extra={"session_id": session.session_id})
        self._let_go(session)
        if session is self._rested:
            self._rested = None
        if self._spare is not None and _opened_by(self._spare) is session:
            self._spare = None
            if self._lost_spares < _MOST_LOST_SPARES:
                self._lost_spares += 1
                self._opening()

    def _let_go_of_spare(self, spare: asyncio.Task[QwenConnection]) -> None:
        session = _opened_by(spare)
        if session is not None:
            self._let_go(session)
        spare.cancel()

    def _log(self, session: QwenConnection, *, waited_ms: float) -> None:
        logger.debug(
            "Qwen speaks",
            extra={
                "session_id": session.session_id,
                "first_sound_ms": self.first_sound_ms,
                "opened_ms": session.opened_ms,
                "waited_ms": waited_ms,  # for a session, before the text was handed over
            },
        )


def _opened_by(opening: asyncio.Task[QwenConnection]) -> QwenConnection | None:
    """The session, once there is one."""
    if not opening.done() or opening.cancelled() or opening.exception() is not None:
        return None
    return opening.result()
