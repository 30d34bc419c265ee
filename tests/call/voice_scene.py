"""A scene with external voices in virtual time. What the caller heard is read from the audio: each
word has bytes of its own."""

import base64
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from random import Random

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent
from tests.call.scene import AGENT, BYTES_PER_MS, Scene

SILENCE = 255
FADED_RUN = 20


@dataclass(frozen=True, slots=True)
class Word:
    """A word in a voice's audio: bytes `start` to `end` of the utterance."""

    text: str
    #: The value of each of its bytes.
    mark: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Way:
    """How a voice says an utterance."""

    #: Before the first piece.
    delay_ms: float = 40.0
    #: How many times faster than it plays.
    speed: float = 10.0
    #: It fails after `after_bytes`: passing, text or fatal; empty: it does not fail.
    fails: str = ""
    after_bytes: int = 0
    #: It finishes without sending audio.
    mute: bool = False
    #: It sends the times of its words before the first piece.
    timed: bool = False


@dataclass(slots=True)
class Said:
    """An utterance that a voice says, and how far it is."""

    command: do.Synthesize
    words: list[Word]
    pauses: list[tuple[int, int]]
    sound: bytes
    sent_bytes: int = 0
    over: bool = False


Tempo = Callable[[str], tuple[float, float]]
"""How long a word is, and how long the voice pauses after it, both in ms."""


def by_letters(word: str) -> tuple[float, float]:
    """60 ms a letter; the voice pauses at punctuation."""
    letters = sum(map(str.isalnum, word))
    return 60.0 * max(1, letters) + 30, {",": 120.0, ".": 200.0}.get(word[-1:], 0.0)


class VoiceScene(Scene):
    """A scene whose voices say what they are asked to."""

    PIECE_BYTES = 100 * BYTES_PER_MS

    def __init__(
        self,
        agent: Agent = AGENT,
        *,
        voices: tuple[str, ...] = ("first",),
        way: Callable[[do.Synthesize], Way] = lambda _: Way(),
        tempo: Tempo = by_letters,
        up_ms: float = 20.0,
        down_ms: float = 20.0,
        random: Random | None = None,
    ) -> None:
        """
        Args:
            way: How an utterance is said.
            tempo: How long its words and pauses are.
        """
        super().__init__(replace(agent, voices=voices), up_ms=up_ms, down_ms=down_ms, random=random)
        self.said: list[Said] = []
        self.loses_ends = (
            False  # events may be lost: the machine may drop an utterance that is over
        )
        self._way, self._tempo = way, tempo
        self._marks = 0
        self._sounds: list[bytes] = []  # of each of the line's media

    def feed(self, *events: ev.Event) -> list[do.Command]:
        commands = super().feed(*events)
        for command in commands:
            if isinstance(command, do.Synthesize):
                self._say(command)
            elif isinstance(command, do.DropSynthesis):
                said = next(s for s in self.said if s.command.utterance_id == command.utterance_id)
                assert not said.over or self.loses_ends, "what is over cannot be dropped"
                said.over = True
            elif isinstance(command, do.PlayAudio):
                self._sounds.append(base64.b64decode(command.payload))
        return commands

    # --- the voices -----------------------------------------------------------------------------

    def _say(self, command: do.Synthesize) -> None:
        assert all(each.over for each in self.said), "two utterances at a time"
        words, sound = [], bytearray()
        pauses = []
        for text in command.text.split():
            self._marks = (self._marks + 1) % SILENCE
            long_ms, pause_ms = self._tempo(text)
            start = len(sound)
            sound += bytes([self._marks]) * int(long_ms * BYTES_PER_MS)
            words.append(Word(text, self._marks, start, len(sound)))
            if pause_ms:
                pauses.append((len(sound), len(sound) + int(pause_ms * BYTES_PER_MS)))
                sound += bytes([SILENCE]) * int(pause_ms * BYTES_PER_MS)
        said = Said(command, words, pauses, bytes(sound))
        self.said.append(said)
        way = self._way(command)
        self.later(way.delay_ms, partial(self._more, said, way))

    def _more(self, said: Said, way: Way) -> None:
        if said.over:
            return
        utterance_id = said.command.utterance_id
        if way.mute:
            said.over = True
            self.feed(ev.VoiceFinished(utterance_id))
            return
        if way.timed and not said.sent_bytes:
            times = tuple((word.text, word.start, word.end) for word in said.words)
            self.feed(ev.VoiceTimed(utterance_id, times))
        until = min(said.sent_bytes + self.PIECE_BYTES, len(said.sound))
        if way.fails:
            until = min(until, way.after_bytes)
        piece = said.sound[said.sent_bytes : until]
        for start, end in said.pauses:
            if said.sent_bytes < end <= until:
                self.feed(ev.VoicePaused(utterance_id, start, end))
        said.sent_bytes = until
        failed = way.fails and until >= way.after_bytes
        said.over = bool(failed) or until == len(said.sound)
        if piece:
            payload = base64.b64encode(piece).decode()
            self.feed(ev.VoiceReceived(utterance_id, payload, len(piece)))
        if failed:
            self.feed(ev.VoiceFailed(utterance_id, "it broke", way.fails))
        elif said.over:
            self.feed(ev.VoiceFinished(utterance_id))
        else:
            self.later(len(piece) / BYTES_PER_MS / way.speed, partial(self._more, said, way))

    # --- the model ------------------------------------------------------------------------------

    def write(
        self, text: str, item_id: str = "item_1", response_id: str = "resp_1", *, by: int = 7
    ) -> None:
        """A whole answer comes at once, in deltas of so many characters."""
        self.begin(item_id, response_id)
        for at in range(0, len(text), by):
            self.feed(ev.TextReceived(item_id, text[at : at + by]))
        self.feed(ev.TranscriptCompleted(item_id, text))
        self.finish(item_id, response_id)

    # --- what was heard -------------------------------------------------------------------------

    def asked_of(self, voice: int) -> list[str]:
        """What this voice was asked to say, in order."""
        return [s.command.text for s in self.said if s.command.voice == voice]

    def heard_words(self, at_ms: float | None = None) -> list[str]:
        """The words of which the caller heard more than half, read from the audio."""
        at_ms = self.now_ms if at_ms is None else at_ms
        heard: Counter[int] = Counter()  # also the order in which they were heard
        for media, sound in zip(self.line.clock.media, self._sounds, strict=False):
            for mark, run in groupby(sound[: media.heard_bytes(at_ms)]):
                length = sum(1 for _ in run)
                if length > FADED_RUN:  # the end of what was cut is faded out
                    heard[mark] += length
        words = {word.mark: word for said in self.said for word in said.words}
        return [
            words[mark].text
            for mark in heard
            if mark in words and heard[mark] * 2 > words[mark].end - words[mark].start
        ]
