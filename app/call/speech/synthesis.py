"""What external voices say: the agent's text cut into utterances, one being made, the rest waiting.

An utterance is asked for when little is left to play, so that an interruption wastes little; and of
one that is still being made the caller is given only what has to play soon, so that a voice that
breaks can be cut at a word's end, and another one goes on with the next word.
"""

import base64
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from app.audio import fade_out
from app.call.commands import Command, DropSynthesis, Synthesize
from app.call.deadlines import NEVER
from app.call.heard.agent_audio import AgentAudio
from app.call.heard.conversation import Turn
from app.call.heard.ledger import BYTES_PER_MS
from app.call.speech.voice_choice import Attempts, VoiceChoice
from app.call.voice_events import (
    VoiceEvent,
    VoiceFailed,
    VoiceFinished,
    VoicePaused,
    VoiceReceived,
)
from app.call.words.sentences import SentenceCutter
from app.call.words.speakable import Cleaner
from app.call.words.utterance import Utterance, text_of
from app.call.words.word_lengths import words
from app.call.words.word_times import UNKNOWN, learn

SETTLE_MS = 4.0  # "three." may be followed by "five", but then it follows at once
AHEAD_BYTES = 4000 * BYTES_PER_MS  # with less than this to play the next utterance is asked for
LOW_BYTES = 240 * BYTES_PER_MS  # with less than this to play more of an unfinished one is given,
HIGH_BYTES = 440 * BYTES_PER_MS  # up to this
LOOK_MS = 20.0  # no oftener is it looked whether it is time
MUTE_MS = 6000.0  # a voice of which nothing came for so long is not waited for: its end got lost
SLOW_MS = 1500.0  # a voice that made no sound within this has a fault, if the caller spoke then


@dataclass(slots=True)
class _Item:
    """An item of the model's that is being said. `over`: all its text is there. `waiting`: how many
    of its utterances are not complete. `unsaid`: what no voice could say of it."""

    turn: Turn
    cutter: SentenceCutter = field(default_factory=SentenceCutter)
    cleaner: Cleaner = field(default_factory=Cleaner)
    over: bool = False
    waiting: int = 0
    ends_in_space: bool = False
    left_out: list[str] = field(default_factory=list)
    unsaid: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Job:
    """An utterance, and how it went with it."""

    utterance: Utterance
    attempts: Attempts = field(default_factory=Attempts)
    asked_ms: float = 0.0
    moved_ms: float = 0.0  # when something last came of it
    held: deque[tuple[str, int]] = field(default_factory=deque)  # came, and was not given yet


class Synthesis:
    """`voices`: their labels. `said(item_id, now_ms)` is told when nothing more comes of an
    item; `unsaid(item_id, text, now_ms)`, before that, what of it was left out or could not be
    said: empty when other words of it are of no use either."""

    def __init__(
        self,
        out: list[Command],
        audio: AgentAudio,
        voices: tuple[str, ...],
        said: Callable[[str, float], None],
        unsaid: Callable[[str, str, float], None],
        given_up: Callable[[], None],
    ) -> None:
        self.characters = [0] * len(voices)  # that each was given to say
        self._refusals = 0  # texts that no voice could say, one after the other
        self.gave_up = False  # no voice is left: the model is to speak itself
        self._out = out
        self._audio = audio
        self._labels = voices
        self._choice = VoiceChoice(len(voices))
        self.paces = [UNKNOWN] * len(voices)  # how each of them speaks
        self._said = said
        self._unsaid = unsaid
        self._given_up = given_up
        self._items: dict[str, _Item] = {}
        self._queue: deque[_Job] = deque()
        self._job: _Job | None = None
        self._settle_ms = NEVER
        self._count = 0

    @property
    def voices(self) -> bool:
        """Whether there ever was a voice: what the model writes is to be heard."""
        return bool(self._labels)

    @property
    def model_speaks(self) -> bool:
        """Whether the model is to speak itself."""
        return self.gave_up or not self._labels

    @property
    def busy(self) -> bool:
        """Whether an utterance is being made, or waits to be."""
        return self._job is not None or bool(self._queue)

    def has(self, item_id: str) -> bool:
        """Whether it is not through with this item."""
        return item_id in self._items

    @property
    def open_items(self) -> list[str]:
        """The items whose text may go on."""
        return [item_id for item_id, item in self._items.items() if not item.over]

    # --- the model's text -----------------------------------------------------------------------

    def text(self, turn: Turn, text: str, now_ms: float) -> None:
        """More of what an item says."""
        item = self._items.get(turn.item_id)
        if item is None:
            item = self._items[turn.item_id] = _Item(turn)
            turn.utterances = []
            self._audio.synthesizing = True
        self._add(item, item.cutter.feed(text))
        self._settle_ms = now_ms + SETTLE_MS if item.cutter.may_end else NEVER
        self.settle(now_ms)

    def text_over(self, item_id: str, now_ms: float) -> None:
        """Nothing is added to this item any more."""
        item = self._items[item_id]
        if item.over:
            return
        self._add(item, item.cutter.finish())
        item.over, self._settle_ms = True, NEVER
        self._finish(item, now_ms)
        self.settle(now_ms)

    def _add(self, item: _Item, pieces: list[str]) -> None:
        for piece in pieces:
            text = item.cleaner.clean(piece)
            spaced = item.ends_in_space or piece[:1].isspace()
            item.ends_in_space = piece[-1:].isspace() or (spaced and not text)
            if not text:
                continue
            utterances = item.turn.utterances
            assert utterances is not None
            self._count += 1
            before = " " if spaced and (utterances or item.unsaid) else ""
            if self.gave_up:
                item.unsaid.append(before + text)
                continue
            utterance = Utterance(f"utterance_{self._count}", item.turn.item_id, text, before)
            utterances.append(utterance)
            item.turn.text = text_of(utterances)
            item.waiting += 1
            self._queue.append(_Job(utterance))

    # --- what becomes of an utterance -----------------------------------------------------------

    def take(self, event: VoiceEvent, now_ms: float) -> None:
        """A voice says what became of the utterance that it was asked for."""
        job = self._job
        if job is None or job.utterance.id != event.utterance_id:
            return  # dropped
        utterance, job.moved_ms = job.utterance, now_ms
        match event:
            case VoiceReceived(_, payload, size_bytes):
                utterance.size_bytes += size_bytes
                job.held.append((payload, size_bytes))
            case VoicePaused(_, start, end):
                utterance.pauses.append((start, end))
            case VoiceFinished() if not utterance.size_bytes:
                self._fail(job, "passing", now_ms)  # it said that it spoke, and made no sound
            case VoiceFinished():
                self.paces[job.attempts.voice] = learn(
                    self.paces[job.attempts.voice],
                    utterance.text,
                    utterance.size_bytes,
                    utterance.pauses,
                )
                self._complete(job, now_ms)
            case VoiceFailed(_, _, kind):
                self._fail(job, kind, now_ms)
        self.settle(now_ms)

    def _complete(self, job: _Job, now_ms: float) -> None:
        """All that there will be of it has come."""
        self._job = None
        self._give(job, job.utterance.size_bytes, now_ms)
        job.utterance.complete = True
        item = self._items[job.utterance.item_id]
        item.waiting -= 1
        self._finish(item, now_ms)

    def _give(self, job: _Job, up_to_bytes: int, now_ms: float) -> None:
        """Let the caller have whole pieces, as long as no more than this was given."""
        utterance = job.utterance
        spoken_by = self._items[utterance.item_id].turn.detail
        if job.held and self._labels[job.attempts.voice] not in spoken_by.get("voice", ""):
            spoken_by["voice"] = ", ".join(
                filter(None, (spoken_by.get("voice"), self._labels[job.attempts.voice]))
            )
        if job.held:
            self._refusals = 0
        while job.held and utterance.given_bytes + job.held[0][1] <= up_to_bytes:
            payload, size_bytes = job.held.popleft()
            utterance.given_bytes += size_bytes
            self._audio.play(utterance.item_id, payload, size_bytes, now_ms)

    def _fail(self, job: _Job, kind: str, now_ms: float) -> None:
        self._job = None
        began = job.utterance.given_bytes > 0
        self._choice.failed(job.attempts, kind, now_ms, began=began)
        if began:
            self._break(job, now_ms)
        else:  # nobody heard anything of it: all of it again
            job.held.clear()
            job.utterance.pauses.clear()
            job.utterance.size_bytes = 0
            self._queue.appendleft(job)

    def _break(self, job: _Job, now_ms: float) -> None:
        """Of what came keep what ends with a word; the rest is another utterance."""
        utterance = job.utterance
        boundary = utterance.word_times().boundary(utterance.given_bytes, utterance.size_bytes)
        cut, count = boundary.at_byte, boundary.words
        self._give(job, cut, now_ms)
        short = cut - utterance.given_bytes
        if short > 0 and job.held:
            payload = _beginning(job.held[0][0], short)
            utterance.given_bytes = cut
            self._audio.play(utterance.item_id, payload, short, now_ms)
        job.held.clear()
        whole, found = utterance.text, words(utterance.text)
        ends = found[count - 1].end if count else 0
        utterance.text, utterance.size_bytes = whole[:ends], cut
        utterance.pauses = [each for each in utterance.pauses if each[1] <= cut]
        utterance.complete = True
        item = self._items[utterance.item_id]
        if count < len(found):
            begins = found[count].start
            self._count += 1
            before = whole[ends:begins] if count else ""
            rest = Utterance(f"utterance_{self._count}", utterance.item_id, whole[begins:], before)
            utterances = item.turn.utterances
            assert utterances is not None
            utterances.insert(utterances.index(utterance) + 1, rest)
            self._queue.appendleft(_Job(rest, job.attempts))
        else:
            item.waiting -= 1
            self._finish(item, now_ms)

    # --- which voice ----------------------------------------------------------------------------

    def _ask(self, now_ms: float) -> None:
        """Have the next utterance made."""
        job = self._queue.popleft()
        voice = self._choice.choose(job.attempts, now_ms)
        if voice is not None:
            self._job, job.attempts.voice = job, voice
            job.asked_ms = job.moved_ms = now_ms
            utterance = job.utterance
            utterance.pace = self.paces[voice]
            self.characters[voice] += len(utterance.text)
            self._out.append(Synthesize(utterance.id, utterance.item_id, utterance.text, voice))
        elif job.attempts.unfit and self._may_leave_out(job.utterance):
            item = self._items[job.utterance.item_id]
            self._forget(item, job.utterance)
            item.left_out.append(job.utterance.before + job.utterance.text)
            self._refusals += 1
            self._finish(item, now_ms)
        else:
            self._queue.appendleft(job)
            self._give_up(now_ms)

    def _may_leave_out(self, utterance: Utterance) -> bool:
        """Whether only this text is at fault, and not voices that refuse whatever they get. An
        answer is never left out as a whole."""
        utterances = self._items[utterance.item_id].turn.utterances
        return not self._refusals and utterances != [utterance]

    def _give_up(self, now_ms: float) -> None:
        """No voice is left: the model is to say the rest."""
        self.gave_up = True
        for job in self._queue:
            item = self._items[job.utterance.item_id]
            item.unsaid.append(job.utterance.before + job.utterance.text)
            self._forget(item, job.utterance)
        self._queue.clear()
        for item in self._items.values():  # what was left out a moment ago was not at fault
            if self._refusals and item.left_out:
                item.unsaid[:0] = item.left_out
        self._given_up()
        for item in list(self._items.values()):
            self._finish(item, now_ms)

    def _forget(self, item: _Item, utterance: Utterance) -> None:
        utterances = item.turn.utterances
        assert utterances is not None
        utterances.remove(utterance)
        item.turn.text = text_of(utterances)
        item.waiting -= 1

    def _finish(self, item: _Item, now_ms: float) -> None:
        if item.over and not item.waiting:
            item_id = item.turn.item_id
            del self._items[item_id]
            self._audio.synthesizing = bool(self._items)
            if item.unsaid or item.left_out:
                self._unsaid(item_id, "".join(item.unsaid).strip(), now_ms)
            self._said(item_id, now_ms)

    # --- time -----------------------------------------------------------------------------------

    def settle(self, now_ms: float) -> None:
        """Do what is due."""
        if now_ms >= self._settle_ms:
            self._settle_ms = NEVER
            for item in self._items.values():
                self._add(item, item.cutter.settle())
        job = self._job
        if job is not None and now_ms >= job.moved_ms + MUTE_MS:
            self._out.append(DropSynthesis(job.utterance.id))
            self._fail(job, "late", now_ms)
            job = self._job
        if job is not None and job.held:
            ahead = self._audio.ahead_bytes(now_ms)
            if ahead <= LOW_BYTES:
                more = max(HIGH_BYTES - ahead, job.held[0][1])
                self._give(job, job.utterance.given_bytes + more, now_ms)
        while self._job is None and self._queue and self._audio.ahead_bytes(now_ms) < AHEAD_BYTES:
            self._ask(now_ms)

    def next_ms(self, now_ms: float) -> float:
        """When something is due."""
        settle_ms = self._settle_ms
        if self._job is not None:
            settle_ms = min(settle_ms, self._job.moved_ms + MUTE_MS)
        if self._audio.waiting:  # nothing plays before the stream takes it, and then we are told
            return settle_ms
        if self._job is not None and self._job.held:
            enough = LOW_BYTES
        elif self._job is None and self._queue:
            enough = AHEAD_BYTES
        else:
            return settle_ms
        wait_ms = (self._audio.ahead_bytes(now_ms) - enough) / BYTES_PER_MS
        return min(settle_ms, now_ms + max(wait_ms, LOOK_MS))

    def leave_open_items(self) -> None:
        """Another session goes on with what is being written, so of that no more is said than was
        given. Items that are complete are said to their end."""
        left = self.open_items
        if self._job is not None and self._job.utterance.item_id in left:
            self._out.append(DropSynthesis(self._job.utterance.id))
            self._cut_short(self._job)
        for job in self._queue:
            if job.utterance.item_id in left:
                self._forget(self._items[job.utterance.item_id], job.utterance)
        self._queue = deque(job for job in self._queue if job.utterance.item_id not in left)
        for item_id in left:
            self._items[item_id].cutter.finish()

    def _cut_short(self, job: _Job) -> None:
        """Of an utterance that is being made nothing more than was given is said."""
        utterance, self._job = job.utterance, None
        count = utterance.word_times().words_heard(utterance.given_bytes)
        utterance.text = utterance.text[: words(utterance.text)[count - 1].end] if count else ""
        utterance.size_bytes, utterance.complete = utterance.given_bytes, True
        item = self._items[utterance.item_id]
        item.turn.text = text_of(item.turn.utterances or [])
        item.waiting -= 1

    # --- the end of it --------------------------------------------------------------------------

    def interrupt(self, now_ms: float) -> list[str]:
        """Stop. Returns the items of which not all was made."""
        item_ids = list(self._items)
        for item_id in item_ids:
            self.drop(item_id, now_ms)
        return item_ids

    def drop(self, item_id: str, now_ms: float) -> None:
        """Nothing more of this item is to be said."""
        if self._items.pop(item_id, None) is None:
            return
        self._audio.synthesizing = bool(self._items)
        job = self._job
        if job is not None and job.utterance.item_id == item_id:
            self._out.append(DropSynthesis(job.utterance.id))
            self._job = None
            if not job.utterance.size_bytes and now_ms >= job.asked_ms + SLOW_MS:
                self._choice.was_slow(job.attempts, now_ms)  # the caller spoke into its silence
        self._queue = deque(job for job in self._queue if job.utterance.item_id != item_id)


def _beginning(payload: str, size_bytes: int) -> str:
    """The first so many bytes of base64 µ-law, faded out at their end."""
    ulaw = base64.b64decode(payload)[:size_bytes]
    return base64.b64encode(fade_out(ulaw, 5)).decode("ascii")
