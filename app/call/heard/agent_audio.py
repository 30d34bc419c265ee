"""The agent's audio: played to the stream, held back, paused, marked, interrupted at a barge-in."""

from app.audio import without_first
from app.call.commands import (
    ClearAudio,
    PauseModel,
    PlayAudio,
    ResumeModel,
    SendMark,
    ToStream,
)
from app.call.deadlines import NEVER
from app.call.heard.frames import Frames
from app.call.heard.ledger import BYTES_PER_MS, HeardPart, PlaybackLedger
from app.call.outbox import Outbox

#: One mark a second; more of them would only add traffic.
MARK_EVERY_BYTES = 1000 * BYTES_PER_MS
#: Above this much held audio, reading from the model pauses ...
HELD_MOST_BYTES = 4 << 20
#: ... until less than this is held.
HELD_LITTLE_BYTES = 1 << 20
#: How much later than planned the last mark may come back.
MARK_GRACE_MS = 2000.0

#: The item id of hold tones and DTMF tones, which are no items of the model.
OWN_SOUND = ""


class AgentAudio:
    """Plays audio while the stream takes it, holds it back while there is no stream, it is blocked
    or the agent is paused, and keeps the playback ledger. With `whole_frames`, audio is played in
    frames of 20 ms; what does not fill one waits for the item's next audio, or its end."""

    def __init__(self, outbox: Outbox[ToStream | PauseModel | ResumeModel]) -> None:
        self.ledger = PlaybackLedger()
        self._outbox = outbox
        self._open = False
        #: Play whole frames; otherwise audio passes as it comes.
        self.whole_frames = False
        self._frames = Frames()
        self._held: list[PlayAudio] = []
        self._held_bytes = 0
        # What was sent and is not surely heard, with the position in the stream where it ends.
        self._sent: list[tuple[int, PlayAudio]] = []
        #: The agent is paused: nothing is sent until `resume` or `interrupt`.
        self.paused = False
        self._model_paused = False
        #: An external voice still makes audio that is to be played.
        self.synthesizing = False
        # The last of what is played or held back is so much audio that cannot be heard.
        self._quiet_bytes = 0
        #: How often speech was dropped before the caller heard it: a barge-in interrupted it, or no
        #: voice could speak it.
        self.drops = 0

    def open(self, now_ms: float) -> None:
        """The stream takes audio, for the first time or again."""
        self._open = True
        if not self.paused:
            self._send_held(now_ms)

    def _send_held(self, now_ms: float) -> None:
        if not self._held and self.ledger.all_surely_heard:
            self._mark(now_ms)  # on an empty buffer, so it measures the round trip
        held, self._held, self._held_bytes = self._held, [], 0
        for audio in held:
            self._send(audio, now_ms)
        self._mark_end(now_ms)
        self._pace_model()

    def hold(self) -> None:
        """The stream is blocked: hold audio back until `open`."""
        self._open = False

    def play(
        self, item_id: str, payload: str, size_bytes: int, now_ms: float, *, quiet: bool = False
    ) -> None:
        """Play more of an item, after all audio before it. Call `finish` when it is complete.

        Args:
            quiet: It cannot be heard.
        """
        self._quiet_bytes = self._quiet_bytes + size_bytes if quiet else 0
        self.ledger.generated(item_id, size_bytes)
        if not self.whole_frames:
            self._pass_on(PlayAudio(item_id, payload, size_bytes), now_ms)
            return
        frames = self._frames
        if frames.rest_bytes and frames.item_id != item_id:
            self._pass_on(frames.take_rest(), now_ms)
        self._pass_on(frames.add(item_id, payload, size_bytes), now_ms)

    def ends_quietly(self, size_bytes: int) -> None:
        """So much at the end of what `play` was given last cannot be heard."""
        self._quiet_bytes = size_bytes

    def finish(self, item_id: str, now_ms: float) -> None:
        """The item is complete: play its last bytes, and mark its end."""
        if self._frames.item_id == item_id:
            self._pass_on(self._frames.take_rest(), now_ms)
        self.ledger.completed(item_id)
        self._mark_end(now_ms)

    def pause(self, now_ms: float) -> None:
        """Clear Twilio's buffer, and keep what the caller did not hear of it. Then call `resume`,
        or `interrupt`."""
        self.paused = True
        ledger, position = self.ledger, self.ledger.position(now_ms)
        if ledger.playing(now_ms) or not ledger.all_surely_heard:
            self._outbox.put(ClearAudio(ledger.unplayed_bytes(now_ms)))
        ledger.paused(now_ms)
        unheard = []
        while self._sent and self._sent[-1][0] > position:
            end, audio = self._sent.pop()
            left_bytes = min(audio.size_bytes, end - position)
            if audio.item_id == OWN_SOUND:
                ledger.dropped(OWN_SOUND, left_bytes)
                continue
            if left_bytes < audio.size_bytes:
                payload = without_first(audio.payload, audio.size_bytes - left_bytes)
                audio = PlayAudio(audio.item_id, payload, left_bytes)
            unheard.append(audio)
            self._held_bytes += left_bytes
        self._held[:0] = reversed(unheard)
        self._sent.clear()
        self._pace_model()

    def resume(self, now_ms: float) -> None:
        """The pause is over: go on from the byte where the caller stopped hearing the agent."""
        if self.whole_frames:
            self._frame_held()
        self.paused = False
        if self._open:
            self._send_held(now_ms)

    def _frame_held(self) -> None:
        """Cut what is held back into frames anew: the pause began amid one."""
        held = [*self._held, self._frames.take_rest()]
        self._held.clear()
        for audio in filter(None, held):
            if self._frames.item_id != audio.item_id:
                self._held.extend(filter(None, [self._frames.take_rest()]))
            framed = self._frames.add(audio.item_id, audio.payload, audio.size_bytes)
            self._held.extend(filter(None, [framed]))
        if self.ledger.is_complete(self._frames.item_id):
            self._held.extend(filter(None, [self._frames.take_rest()]))
        self._held_bytes = sum(audio.size_bytes for audio in self._held)

    def interrupt(self, now_ms: float) -> list[HeardPart]:
        """Barge-in: clear Twilio's buffer, and drop the audio that is held back. Ends a pause; what
        was heard is then what was heard at its beginning.

        Returns:
            The items that were interrupted, oldest first, with what was heard of them: truncate or
            delete them in the session. Empty, and no clear sent, if everything was heard.
        """
        self.paused = False
        if not self.ledger.interrupts(now_ms):
            return []
        if self.ledger.playing(now_ms) or not self.ledger.all_surely_heard:
            self._outbox.put(ClearAudio(self.ledger.unplayed_bytes(now_ms)))
        self._held.clear()
        self._held_bytes = self._quiet_bytes = 0
        self._sent.clear()
        self._frames.drop()
        self._pace_model()
        return [part for part in self.ledger.cleared(now_ms) if part.item_id != OWN_SOUND]

    def forget_heard(self) -> None:
        """Keep no audio that was surely heard. Call it when a mark has come back."""
        sent, sure = self._sent, self.ledger.sure_position
        heard = next((i for i, (end, _) in enumerate(sent) if end > sure), len(sent))
        del sent[:heard]

    @property
    def is_open(self) -> bool:
        """Whether the stream takes audio now."""
        return self._open

    def speaks(self, now_ms: float) -> bool:
        """Whether the caller hears an item, or is about to hear more of one."""
        if self.paused or self._held or self.synthesizing:
            return True
        if self.ledger.all_surely_heard:
            self._sent.clear()
            return False
        return self.ledger.playing(now_ms) and any(
            audio.item_id != OWN_SOUND for _, audio in self._sent
        )

    @property
    def waiting(self) -> bool:
        """Whether audio is held back."""
        return bool(self._held)

    def ahead_bytes(self, now_ms: float) -> int:
        """How much audio plays before what `play` is given now."""
        return self._held_bytes + self.ledger.unplayed_bytes(now_ms)

    @property
    def sound_ends_ms(self) -> float:
        """When the last sound of what was sent will probably have been heard, or was."""
        return self.ledger.ends_ms - self._quiet_bytes / BYTES_PER_MS

    def mark_overdue(self, now_ms: float) -> bool:
        """Whether the last mark should have come back by now, as others did."""
        return self.ledger.round_trip_ms > 0 and now_ms > self.heard_to_end_ms(now_ms)

    def heard_to_end_ms(self, now_ms: float) -> float:
        """When all audio counts as heard to its end: now if the last mark came back, else
        `MARK_GRACE_MS` after its time. NEVER while audio is held back or being synthesized: the leg
        ends if the stream stays blocked, and a voice that sends nothing fails."""
        if self._held or self.synthesizing or self.paused:
            return NEVER
        if self.ledger.all_surely_heard:
            return now_ms
        return self.ledger.ends_ms + self.ledger.round_trip_ms + MARK_GRACE_MS

    def _pass_on(self, audio: PlayAudio | None, now_ms: float) -> None:
        """Send it, or hold it back; None: nothing."""
        if audio is None:
            return
        if self._open and not self.paused:
            self._send(audio, now_ms)
        else:
            self._held.append(audio)
            self._held_bytes += audio.size_bytes
            self._pace_model()

    def _send(self, audio: PlayAudio, now_ms: float) -> None:
        ledger = self.ledger
        if ledger.all_surely_heard:
            self._mark(now_ms)  # on an empty buffer: measures the round trip again
        ledger.sent(audio.item_id, audio.size_bytes, now_ms)
        self._sent.append((ledger.sent_position, audio))
        self._outbox.put(audio)
        if ledger.unmarked_bytes >= MARK_EVERY_BYTES:
            self._mark(now_ms)

    def _mark_end(self, now_ms: float) -> None:
        if self._open and self.ledger.unmarked_bytes and not self._held:
            self._mark(now_ms)

    def _mark(self, now_ms: float) -> None:
        self._outbox.put(SendMark(self.ledger.mark_sent(now_ms)))

    def _pace_model(self) -> None:
        if not self._model_paused and self._held_bytes > HELD_MOST_BYTES:
            self._model_paused = True
            self._outbox.put(PauseModel())
        elif self._model_paused and self._held_bytes < HELD_LITTLE_BYTES:
            self._model_paused = False
            self._outbox.put(ResumeModel())
