"""External voices speak the agent's text: one utterance at a time, the rest in a queue.

An utterance is requested when little is left to play, so that an interruption wastes little. While
it is being synthesized, the caller gets only the audio that has to play soon: when a voice fails,
the utterance is cut at the end of a word, and another voice goes on with the next word.
"""

from itertools import count
from typing import Protocol

from app.call.commands import DropSynthesis, Synthesize
from app.call.deadlines import NEVER
from app.call.heard.agent_audio import AgentAudio
from app.call.heard.conversation import Turn
from app.call.heard.ledger import BYTES_PER_MS
from app.call.outbox import Outbox
from app.call.speech.spoken_item import SpokenItem
from app.call.speech.synthesis_job import Chunk, SynthesisJob
from app.call.speech.voice_choice import VoiceChoice
from app.call.voice_events import (
    VoiceEvent,
    VoiceFailed,
    VoiceFinished,
    VoicePaused,
    VoiceQuieted,
    VoiceReceived,
    VoiceTimed,
)
from app.call.words.utterance import Utterance
from app.call.words.word_times import UNKNOWN, learn

SETTLE_MS = 4.0  # a sentence whose end is not sure yet counts as whole when nothing follows by then
AHEAD_BYTES = 4000 * BYTES_PER_MS  # with less than this to play, the next utterance is requested
LOW_BYTES = 240 * BYTES_PER_MS  # with less than this to play, held audio is released ...
HIGH_BYTES = 440 * BYTES_PER_MS  # ... up to this
LOOK_MS = 20.0  # the shortest time between two looks at what is left to play
MUTE_MS = 6000.0  # a voice that sends nothing for so long has failed
SLOW_MS = 1500.0  # a voice without sound for so long counts as slow if the caller speaks then


class SynthesisListener(Protocol):
    """Learns what became of the text that it gave to `Synthesis`."""

    def item_done(self, item_id: str, now_ms: float) -> None:
        """No more audio of an item comes."""

    def item_unspoken(self, item_id: str, text: str, now_ms: float) -> None:
        """The voices could not speak all of an item; `item_done` follows.

        Args:
            text: The rest, for the model to speak; empty: every voice refused what is missing.
        """

    def voices_gave_up(self) -> None:
        """No voice is left: the model has to speak from now on."""


class Synthesis:
    """The queue of utterances, and the one that is being synthesized.

    Pass it the model's text (`text`, `text_over`) and what voices report (`take`); call `advance`
    when `next_ms` has come.
    """

    def __init__(
        self,
        outbox: Outbox[Synthesize | DropSynthesis],
        audio: AgentAudio,
        voices: tuple[str, ...],
        listener: SynthesisListener,
    ) -> None:
        """
        Args:
            voices: The labels of the agent's voices, the preferred one first.
        """
        #: How many characters each voice was asked to speak.
        self.characters = [0] * len(voices)
        #: How each voice speaks, learned from what it said.
        self.paces = [UNKNOWN] * len(voices)
        #: No voice is left, and the model speaks.
        self.gave_up = False
        #: The voice sends audio that is too quiet to be heard.
        self.quiet = False
        self._outbox = outbox
        self._audio = audio
        self._labels = voices
        self._choice = VoiceChoice(len(voices))
        self._refusals = 0  # texts in a row that every voice refused
        self._listener = listener
        self._items: dict[str, SpokenItem] = {}
        self._queue: list[SynthesisJob] = []
        self._job: SynthesisJob | None = None
        self._settle_ms = NEVER
        self._numbers = count(1)

    @property
    def voices(self) -> bool:
        """Whether the agent has external voices: the model's text is to be spoken."""
        return bool(self._labels)

    @property
    def model_speaks(self) -> bool:
        """Whether the model speaks: there is no external voice, or none is left."""
        return self.gave_up or not self._labels

    @property
    def busy(self) -> bool:
        """Whether an utterance is being synthesized or waits in the queue."""
        return self._job is not None or bool(self._queue)

    def has(self, item_id: str) -> bool:
        """Whether audio of this item is still to come."""
        return item_id in self._items

    @property
    def open_items(self) -> list[str]:
        """The items to which the model may still add text."""
        return [item_id for item_id, item in self._items.items() if not item.over]

    # --- the model's text -----------------------------------------------------------------------

    def text(self, turn: Turn, text: str, now_ms: float) -> None:
        """More text of an item."""
        item = self._items.get(turn.item_id)
        if item is None:
            item = self._items[turn.item_id] = SpokenItem(turn)
            self._audio.synthesizing = True
        self._add(item, item.cutter.feed(text))
        self._settle_ms = now_ms + SETTLE_MS if item.cutter.may_end else NEVER
        self.advance(now_ms)

    def text_over(self, item_id: str, now_ms: float) -> None:
        """The model adds no more text to this item."""
        item = self._items[item_id]
        if item.over:
            return
        self._add(item, item.cutter.finish())
        item.over, self._settle_ms = True, NEVER
        self._end_if_done(item, now_ms)
        self.advance(now_ms)

    def _add(self, item: SpokenItem, pieces: list[str]) -> None:
        for piece in pieces:
            before, text = item.clean(piece)
            if text and self.gave_up:
                item.unspoken.append(before + text)
            elif text:
                utterance = Utterance(self._new_id(), item.id, text, before)
                item.append(utterance)
                self._queue.append(SynthesisJob(utterance))

    def _new_id(self) -> str:
        return f"utterance_{next(self._numbers)}"

    # --- what a voice reports -------------------------------------------------------------------

    def take(self, event: VoiceEvent, now_ms: float) -> bool:
        """A voice sent audio, finished or failed. Returns False if the caller waits as before: the
        audio is too quiet to be heard, or the utterance was dropped."""
        job = self._job
        if job is None or job.utterance.id != event.utterance_id:
            return False
        utterance, self.quiet = job.utterance, isinstance(event, VoiceQuieted)
        if self.quiet:  # it is still mute
            return False
        job.moved_ms = now_ms
        match event:
            case VoiceReceived(_, payload, size_bytes):
                job.receive(payload, size_bytes)
            case VoicePaused(_, start, end):
                utterance.pauses.append((start, end))
            case VoiceTimed(_, words):
                utterance.timed += words
            case VoiceFinished() if not utterance.size_bytes:
                self._fail(job, "passing", now_ms)  # it reports success and sent no audio
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
        self.advance(now_ms)
        return True

    def _complete(self, job: SynthesisJob, now_ms: float) -> None:
        """All audio of the utterance has arrived."""
        self._job = None
        self._play(job, job.release(job.utterance.size_bytes), now_ms)
        self._audio.ends_quietly(job.utterance.end_pause_bytes)
        job.utterance.complete = True
        item = self._items[job.utterance.item_id]
        item.unfinished -= 1
        self._end_if_done(item, now_ms)

    def _play(self, job: SynthesisJob, chunks: list[Chunk], now_ms: float) -> None:
        """Play what the job released, and note the voice in the turn's detail for the record."""
        item_id, label = job.utterance.item_id, self._labels[job.attempts.voice]
        if chunks:
            self._refusals = 0
            detail = self._items[item_id].turn.detail
            voices = detail["voice"].split(", ") if "voice" in detail else []
            if label not in voices:
                detail["voice"] = ", ".join([*voices, label])
        for payload, size_bytes in chunks:
            self._audio.play(item_id, payload, size_bytes, now_ms)

    def _fail(self, job: SynthesisJob, kind: str, now_ms: float) -> None:
        """The voice failed: queue the whole utterance again, or its rest if a part was played."""
        self._job = None
        began = job.utterance.released_bytes > 0
        self._choice.failed(job.attempts, kind, now_ms, began=began)
        if not began:
            job.restart()
            self._queue.insert(0, job)
            return
        chunks, rest = job.break_off(self._new_id)
        self._play(job, chunks, now_ms)
        item = self._items[job.utterance.item_id]
        if rest is not None:
            item.insert(rest.utterance, after=job.utterance)
            self._queue.insert(0, rest)
        else:
            item.unfinished -= 1
            self._end_if_done(item, now_ms)

    # --- which voice ----------------------------------------------------------------------------

    def _request(self, now_ms: float) -> None:
        """Request the next utterance of the queue from a voice."""
        job = self._queue.pop(0)
        voice = self._choice.choose(job.attempts, now_ms)
        if voice is not None:
            self._job, job.attempts.voice = job, voice
            job.asked_ms = job.moved_ms = now_ms
            utterance = job.utterance
            utterance.pace = self.paces[voice]
            self.characters[voice] += len(utterance.text)
            self._outbox.put(Synthesize(utterance.id, utterance.item_id, utterance.text, voice))
        elif job.attempts.unfit and self._may_leave_out(job.utterance):
            item = self._items[job.utterance.item_id]
            item.remove(job.utterance)
            item.left_out.append(job.utterance.before + job.utterance.text)
            self._refusals += 1
            self._end_if_done(item, now_ms)
        else:
            self._queue.insert(0, job)
            self._give_up(now_ms)

    def _may_leave_out(self, utterance: Utterance) -> bool:
        """Whether to skip a text that every voice refused. Not if it is all that its item has so
        far, nor a second one in a row: then the voices are at fault, not the text."""
        return not self._refusals and self._items[utterance.item_id].utterances != [utterance]

    def _give_up(self, now_ms: float) -> None:
        """No voice is left: the model has to speak the rest."""
        self.gave_up = True
        for job in self._queue:
            item = self._items[job.utterance.item_id]
            item.unspoken.append(job.utterance.before + job.utterance.text)
            item.remove(job.utterance)
        self._queue.clear()
        for item in self._items.values():
            if self._refusals and item.left_out:  # the voices were at fault, not this text
                item.unspoken[:0] = item.left_out
        self._listener.voices_gave_up()
        for item in list(self._items.values()):
            self._end_if_done(item, now_ms)

    def _end_if_done(self, item: SpokenItem, now_ms: float) -> None:
        if item.done:
            del self._items[item.id]
            self._audio.synthesizing = bool(self._items)
            if item.unspoken or item.left_out:
                self._listener.item_unspoken(item.id, "".join(item.unspoken).strip(), now_ms)
            self._listener.item_done(item.id, now_ms)

    # --- time -----------------------------------------------------------------------------------

    def advance(self, now_ms: float) -> None:
        """Do what is due: take sentences that nothing followed, fail a mute voice, release audio,
        request the next utterance."""
        if now_ms >= self._settle_ms:
            self._settle_ms = NEVER
            for item in self._items.values():
                self._add(item, item.cutter.take_sentence())
        job = self._job
        if job is not None and now_ms >= job.moved_ms + MUTE_MS:
            self._outbox.put(DropSynthesis(job.utterance.id))
            self.quiet = False
            self._fail(job, "late", now_ms)
            job = self._job
        if job is not None and job.next_bytes is not None:
            ahead = self._audio.ahead_bytes(now_ms)
            if ahead <= LOW_BYTES:
                more = max(HIGH_BYTES - ahead, job.next_bytes)
                self._play(job, job.release(job.utterance.released_bytes + more), now_ms)
        while self._job is None and self._queue and self._audio.ahead_bytes(now_ms) < AHEAD_BYTES:
            self._request(now_ms)

    def next_ms(self, now_ms: float) -> float:
        """When to call `advance` next."""
        due_ms = self._settle_ms
        if not self.busy:
            return due_ms
        if self._job is not None:
            due_ms = min(due_ms, self._job.moved_ms + MUTE_MS)
        if self._audio.waiting:  # nothing plays until the stream takes audio, which is an event
            return due_ms
        if self._job is not None and self._job.next_bytes is not None:
            enough = LOW_BYTES
        elif self._job is None and self._queue:
            enough = AHEAD_BYTES
        else:
            return due_ms
        wait_ms = (self._audio.ahead_bytes(now_ms) - enough) / BYTES_PER_MS
        return min(due_ms, now_ms + max(wait_ms, LOOK_MS))

    # --- ending early ---------------------------------------------------------------------------

    def leave_open_items(self) -> None:
        """The session was lost while it wrote: the next one continues from what was released, so
        request nothing more of the open items. Items whose text is complete are spoken to the end.

        Call `text_over` for each of `open_items` next.
        """
        left = self.open_items
        job = self._job
        if job is not None and job.utterance.item_id in left:
            self._outbox.put(DropSynthesis(job.utterance.id))
            self._job, self.quiet = None, False
            job.stop()
            self._items[job.utterance.item_id].shorten()
        for queued in self._queue:
            if queued.utterance.item_id in left:
                self._items[queued.utterance.item_id].remove(queued.utterance)
        self._queue = [each for each in self._queue if each.utterance.item_id not in left]
        for item_id in left:
            self._items[item_id].cutter.finish()

    def interrupt(self, now_ms: float) -> list[str]:
        """Stop all synthesis. Returns the items whose audio is not complete."""
        item_ids = list(self._items)
        for item_id in item_ids:
            self.drop(item_id, now_ms)
        return item_ids

    def drop(self, item_id: str, now_ms: float) -> None:
        """Request and play nothing more of this item."""
        if self._items.pop(item_id, None) is None:
            return
        self._audio.synthesizing = bool(self._items)
        job = self._job
        if job is not None and job.utterance.item_id == item_id:
            self._outbox.put(DropSynthesis(job.utterance.id))
            self._job, self.quiet = None, False
            if not job.utterance.size_bytes and now_ms >= job.asked_ms + SLOW_MS:
                self._choice.was_slow(job.attempts, now_ms)
        self._queue = [each for each in self._queue if each.utterance.item_id != item_id]
