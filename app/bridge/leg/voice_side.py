"""A leg's side of the external voices: runs each synthesis in a task, and converts its audio."""

import asyncio
import logging
from binascii import b2a_base64
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing, suppress
from typing import Any

from app.audio import ULAW_BYTES_PER_MS, ULAW_HZ, ulaw_encode
from app.call.commands import Synthesize
from app.call.events import (
    Event,
    VoiceFailed,
    VoiceFinished,
    VoicePaused,
    VoiceQuieted,
    VoiceReceived,
    VoiceTimed,
)
from app.errors import VoiceError
from app.wires.voices.dead_air import DeadAir
from app.wires.voices.pauses import Pauses
from app.wires.voices.resampler import Resampler
from app.wires.voices.voice import SpokenWord, Voice, VoiceLine, with_deadlines

logger = logging.getLogger(__name__)

PIECE_BYTES = 200 * ULAW_HZ // 1000  # of µ-law: the longest piece in one event
FRAME_BYTES = 20 * ULAW_HZ // 1000
RELEASE_S = 0.5  # for cancelled tasks, and for each voice to close
_QUIET = b"\xff"


class VoiceSide:
    """The voices of one leg. A dropped utterance feeds no further event.

    Args:
        voices: the agent's, in the order of its fallbacks.
        feed: gives an event to the machine.
    """

    def __init__(
        self, call_sid: str, voices: Sequence[Voice], feed: Callable[[Event], None]
    ) -> None:
        self._call_sid = call_sid
        self._voices = voices
        self._feed = feed
        self._lines: dict[int, VoiceLine] = {}
        self._answers: dict[str, int] = {}  # item ids, numbered from 1 in their order
        # By utterance_id: its task, and the index of its voice.
        self._under_way: dict[str, tuple[asyncio.Task[None], int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def prepare(self) -> None:
        """Open the first voice's connection ahead of the first utterance."""
        if self._voices:
            self._start(self._line(0).prepare())

    def say(self, command: Synthesize) -> None:
        """Start an utterance. Its audio and its end are events: VoiceReceived, VoicePaused,
        VoiceTimed, then VoiceFinished or VoiceFailed."""
        self._under_way[command.utterance_id] = self._start(self._say(command)), command.voice

    def drop(self, utterance_id: str) -> None:
        """Cancel an utterance. That may have closed the voice's connection: open it again."""
        if saying := self._under_way.pop(utterance_id, None):
            task, voice = saying
            task.cancel()
            self._start(self._line(voice).prepare())

    async def aclose(self) -> None:
        """Cancel all utterances and close the connections, waiting `RELEASE_S` at most for each."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=RELEASE_S)
        for line in self._lines.values():
            with suppress(TimeoutError):
                async with asyncio.timeout(RELEASE_S):
                    await line.aclose()

    def _line(self, number: int) -> VoiceLine:
        if number not in self._lines:
            self._lines[number] = self._voices[number].line()
        return self._lines[number]

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _say(self, command: Synthesize) -> None:
        utterance_id, line = command.utterance_id, self._line(command.voice)
        answer = self._answers.setdefault(command.item_id, len(self._answers) + 1)
        phone = PhoneSound()
        try:
            async with aclosing(with_deadlines(line.say(command.text, answer=answer))) as sounds:
                async for sound in sounds:
                    if sound.words:
                        self._feed(VoiceTimed(utterance_id, _in_bytes(sound.words)))
                    self._give(utterance_id, phone, phone.feed(sound.pcm, sound.hz))
            self._give(utterance_id, phone, phone.finish())
            if phone.silent:
                raise VoiceError("it sent nothing but silence")
            end: Event = VoiceFinished(utterance_id)
        except VoiceError as error:
            label = self._voices[command.voice].label
            extra = {
                "call_sid": self._call_sid,
                "voice": label,
                "kind": error.kind,
                "error": str(error),
            }
            logger.warning("voice failed", extra=extra)
            self._give(utterance_id, phone, phone.finish())
            end = VoiceFailed(utterance_id, f"{label}: {error}", error.kind)
        except Exception as error:  # a bug: the call goes on with another voice
            logger.error("fault in a voice", exc_info=error, extra={"call_sid": self._call_sid})
            end = VoiceFailed(utterance_id, "a fault of the service", "fatal")
        if self._under_way.pop(utterance_id, None):  # else its own events led to its being dropped
            self._feed(end)

    def _give(self, utterance_id: str, phone: "PhoneSound", ulaw: bytes) -> None:
        for start, end in phone.take_pauses():
            self._feed(VoicePaused(utterance_id, start, end))
        for at in range(0, len(ulaw), PIECE_BYTES):
            piece = ulaw[at : at + PIECE_BYTES]
            payload = b2a_base64(piece, newline=False).decode("ascii")
            self._feed(VoiceReceived(utterance_id, payload, len(piece)))
        if phone.quieted():
            self._feed(VoiceQuieted(utterance_id))


def _in_bytes(words: Sequence[SpokenWord]) -> tuple[tuple[str, int, int], ...]:
    """Words with their places in bytes of µ-law."""
    return tuple(
        (
            word.text,
            round(word.start_ms * ULAW_BYTES_PER_MS),
            round(word.end_ms * ULAW_BYTES_PER_MS),
        )
        for word in words
    )


class PhoneSound:
    """Converts one utterance to the telephone's format. One resampler takes it from its first piece
    to its last, so that no click is heard between pieces."""

    def __init__(self) -> None:
        self._resampler: Resampler | None = None
        self._dead_air = DeadAir()
        self._quieted = False
        self._pauses = Pauses()
        self._found: list[tuple[int, int]] = []
        self._size_bytes = 0

    def feed(self, pcm: bytes, hz: int) -> bytes:
        """Convert a piece of PCM, 16 bits, mono, at `hz`. Returns the µ-law that is ready."""
        if self._resampler is None:
            self._resampler = Resampler(hz, ULAW_HZ)
        return self._take(self._resampler.feed(pcm))

    def finish(self) -> bytes:
        """The rest of the utterance, padded with silence to whole frames of 20 ms."""
        ulaw = self._take(self._resampler.finish()) if self._resampler else b""
        ulaw += self._convert(self._dead_air.finish())
        self._found += self._pauses.finish()
        missing = -self._size_bytes % FRAME_BYTES
        self._size_bytes += missing
        return ulaw + _QUIET * missing

    @property
    def silent(self) -> bool:
        """Whether the utterance was silent so far."""
        return not self._pauses.voiced

    def take_pauses(self) -> list[tuple[int, int]]:
        """The pauses that ended since the last call: (from, to) in bytes of µ-law."""
        found, self._found = self._found, []
        return found

    def quieted(self) -> bool:
        """Whether a silence began since the last call that is too long to be played."""
        before, self._quieted = self._quieted, self._dead_air.lasts
        return self._quieted and not before

    def _take(self, pcm: bytes) -> bytes:
        return self._convert(self._dead_air.feed(pcm))

    def _convert(self, pcm: bytes) -> bytes:
        self._found += self._pauses.feed(pcm)
        self._size_bytes += len(pcm) // 2
        return ulaw_encode(pcm)
