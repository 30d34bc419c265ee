"""The agent's side of the line: what is played, held back, marked and cut."""

from collections import deque

from app.call.commands import ClearAudio, Command, PauseModel, PlayAudio, ResumeModel, SendMark
from app.call.deadlines import NEVER
from app.call.heard.ledger import BYTES_PER_MS, HeardPart, PlaybackLedger

MARK_EVERY_BYTES = 1000 * BYTES_PER_MS  # a mark a second; more only makes traffic
HELD_MOST_BYTES = 4 << 20  # past this the model is read no further
HELD_LITTLE_BYTES = 1 << 20
MARK_GRACE_MS = 2000.0  # a last mark this late is not waited for any longer

OWN_SOUND = ""  # the item id of sounds that are not the model's


class AgentAudio:
    """Plays audio while the stream takes it, holds it back while there is none or it is stuck, and
    keeps the ledger. Methods append the commands to be performed to `out`."""

    def __init__(self, out: list[Command]) -> None:
        self.ledger = PlaybackLedger()
        self._out = out
        self._open = False
        self._held: deque[PlayAudio] = deque()
        self._held_bytes = 0
        self._model_paused = False
        self.synthesizing = False  # a voice is still at what is to be played

    def open(self, now_ms: float) -> None:
        """The stream takes audio, for the first time or again."""
        self._open = True
        if not self._held and self.ledger.all_surely_heard:
            self._mark(now_ms)  # on an empty buffer: it measures the round trip
        while self._held:
            audio = self._held.popleft()
            self._held_bytes -= audio.size_bytes
            self._send(audio, now_ms)
        self._mark_end(now_ms)
        self._pace_model()

    def hold(self) -> None:
        """The stream takes no more for now."""
        self._open = False

    def play(self, item_id: str, payload: str, size_bytes: int, now_ms: float) -> None:
        """Play a piece of an item after everything before it."""
        self.ledger.generated(item_id, size_bytes)
        audio = PlayAudio(item_id, payload, size_bytes)
        if self._open:
            self._send(audio, now_ms)
        else:
            self._held.append(audio)
            self._held_bytes += size_bytes
            self._pace_model()

    def finish(self, item_id: str, now_ms: float) -> None:
        """The model will add nothing to this item: mark its end."""
        self.ledger.completed(item_id)
        self._mark_end(now_ms)

    def interrupt(self, now_ms: float) -> list[HeardPart]:
        """Stop at once what plays or waits. Returns what was cut; empty, and no clear sent, when
        everything had been heard."""
        if not self.ledger.interrupts(now_ms):
            return []
        if self.ledger.playing(now_ms) or not self.ledger.all_surely_heard:
            self._out.append(ClearAudio(self.ledger.unplayed_bytes(now_ms)))
        self._held.clear()
        self._held_bytes = 0
        self._pace_model()
        return [cut for cut in self.ledger.cleared(now_ms) if cut.item_id != OWN_SOUND]

    @property
    def is_open(self) -> bool:
        """Whether the stream takes audio now."""
        return self._open

    @property
    def waiting(self) -> bool:
        """Whether audio is held back."""
        return bool(self._held)

    def ahead_bytes(self, now_ms: float) -> int:
        """How much there is to play before anything that is played now."""
        return self._held_bytes + self.ledger.unplayed_bytes(now_ms)

    def heard_out_ms(self, now_ms: float) -> float:
        """When to stop waiting for the last mark: now if it came, else a while after its time.
        Never while audio is held back or owed: a stream that stays stuck ends the leg, a voice that
        is stuck fails."""
        if self._held or self.synthesizing:
            return NEVER
        if self.ledger.all_surely_heard:
            return now_ms
        return self.ledger.ends_ms + self.ledger.round_trip_ms + MARK_GRACE_MS

    def _send(self, audio: PlayAudio, now_ms: float) -> None:
        ledger = self.ledger
        if ledger.all_surely_heard and not ledger.playing(now_ms):
            self._mark(now_ms)  # measures the round trip again
        ledger.sent(audio.item_id, audio.size_bytes, now_ms)
        self._out.append(audio)
        if ledger.unmarked_bytes >= MARK_EVERY_BYTES:
            self._mark(now_ms)

    def _mark_end(self, now_ms: float) -> None:
        if self._open and self.ledger.unmarked_bytes and not self._held:
            self._mark(now_ms)

    def _mark(self, now_ms: float) -> None:
        self._out.append(SendMark(self.ledger.mark_sent(now_ms)))

    def _pace_model(self) -> None:
        if not self._model_paused and self._held_bytes > HELD_MOST_BYTES:
            self._model_paused = True
            self._out.append(PauseModel())
        elif self._model_paused and self._held_bytes < HELD_LITTLE_BYTES:
            self._model_paused = False
            self._out.append(ResumeModel())
