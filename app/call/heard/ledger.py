"""The playback ledger of one media stream: what the caller heard. A barge-in truncates by it.

Audio reaches Twilio several times faster than it plays. For each item of the model, the ledger
knows how much was generated, how much was sent, how much was surely heard (a mark after it came
back), and how much was probably heard by now.

Positions are bytes of µ-law since the last clear; 8 bytes play in 1 ms. A byte that is sent at time
t to an empty buffer counts as played from t on. This ignores the delay of the network, and has to:
a clear travels as long as the audio did, so what has played when the clear takes effect is what the
ledger says when it is sent.
"""

from dataclasses import dataclass
from statistics import median

from app.audio import ULAW_BYTES_PER_MS

BYTES_PER_MS = ULAW_BYTES_PER_MS
#: A mark that comes back within this much of its time does not move the clock.
SLACK_MS = 60.0
#: How many round trips and lags are kept for their medians.
SAMPLES = 9


@dataclass(frozen=True, slots=True)
class HeardPart:
    """An item that a clear interrupted, and how much of it was heard."""

    item_id: str
    #: At most `generated_bytes`.
    heard_bytes: int
    generated_bytes: int

    @property
    def heard_ms(self) -> int:
        return self.heard_bytes // BYTES_PER_MS


@dataclass(slots=True)
class _Item:
    """The audio of one item since the last clear that interrupted it."""

    #: Heard before the agent was last paused within it.
    heard_before: int = 0
    generated_bytes: int = 0
    sent_bytes: int = 0
    #: Position in the stream of the last byte that was sent of it.
    end: int = 0
    complete: bool = False


@dataclass(slots=True)
class _Segment:
    """A run of one item's bytes in the stream, from position `start` to `end`."""

    item_id: str
    start: int
    end: int


@dataclass(slots=True)
class _Mark:
    """A mark that was sent and did not come back yet."""

    position: int
    sent_ms: float
    on_empty_buffer: bool


class PlaybackLedger:
    """Call the methods of the first section with what is generated, sent, echoed and cleared; the
    second section then says what was heard.

    Twilio also echoes the marks that a clear flushes (Twilio: media streams, mark message). So mark
    names carry an epoch, which each clear raises, and echoes of an older epoch are ignored.
    """

    def __init__(self) -> None:
        self._items: dict[str, _Item] = {}
        self._segments: list[_Segment] = []
        self._marks: dict[str, _Mark] = {}
        self._flushed: dict[str, None] = {}  # by clears, and not back; one mark a second at most
        self._epoch = 0
        self._mark_count = 0
        #: The position of the next byte to be sent: the bytes sent since the last clear.
        self.sent_position = 0
        #: The position up to which everything was surely heard.
        self.sure_position = 0
        self._marked = 0  # position of the last mark
        self._run_start = 0  # where the current run of unbroken playback begins ...
        self._run_start_ms = 0.0  # ... and when that was sent
        self._lag_ms = 0.0  # how much later than sent this run plays
        self._lags_ms: list[float] = []  # the last `SAMPLES`, as of the round trips
        self._round_trips_ms: list[float] = []
        #: To Twilio and back: median of the marks sent to an empty buffer.
        self.round_trip_ms = 0.0

    # --- what happens -------------------------------------------------------------------------

    def generated(self, item_id: str, size_bytes: int) -> None:
        """This much more audio of an item was generated."""
        item = self._items.get(item_id)
        if item is None:
            item = self._items[item_id] = _Item()
        item.generated_bytes += size_bytes

    def completed(self, item_id: str) -> None:
        """The item is complete: no more audio of it comes."""
        if item := self._items.get(item_id):
            item.complete = True

    def is_complete(self, item_id: str) -> bool:
        """Whether this item is `completed`."""
        item = self._items.get(item_id)
        return item is not None and item.complete

    def sent(self, item_id: str, size_bytes: int, now_ms: float) -> None:
        """This much more of an item goes to Twilio. Call `generated` with it first."""
        if not self.playing(now_ms):
            self._forget_heard()
            self._run_start, self._run_start_ms = self.sent_position, now_ms
            self._lag_ms = max(0.0, median(self._lags_ms)) if len(self._lags_ms) >= 3 else 0.0
        end = self.sent_position + size_bytes
        last = self._segments[-1] if self._segments else None
        if last is not None and last.item_id == item_id and last.end == self.sent_position:
            last.end = end
        else:
            self._segments.append(_Segment(item_id, self.sent_position, end))
        self.sent_position = end
        item = self._items[item_id]
        item.sent_bytes += size_bytes
        item.end = end

    def _forget_heard(self) -> None:
        """Drop the items that were surely heard to their end: bounds the memory of a long call."""
        if not self.all_surely_heard:
            return
        self._items = {i: item for i, item in self._items.items() if not self._fully_sent(item)}
        self._segments = [segment for segment in self._segments if segment.item_id in self._items]

    @staticmethod
    def _fully_sent(item: _Item) -> bool:
        return item.complete and item.sent_bytes == item.generated_bytes

    def mark_sent(self, now_ms: float) -> str:
        """A mark goes out after everything sent so far. Returns the name to send it with."""
        self._mark_count += 1
        name = f"{self._epoch}:{self._mark_count}"
        self._marks[name] = _Mark(self.sent_position, now_ms, on_empty_buffer=self.all_surely_heard)
        self._marked = self.sent_position
        return name

    def echoed(self, name: str, now_ms: float) -> bool:
        """A mark came back. Returns False if it is flushed by a clear, repeated or unknown."""
        mark = self._marks.get(name)
        if mark is None:
            return False
        while next(iter(self._marks)) != name:  # marks come back in order, so these are lost
            del self._marks[next(iter(self._marks))]
        del self._marks[name]
        planned_ms = self._run_start_ms + (mark.position - self._run_start) / BYTES_PER_MS
        if mark.on_empty_buffer:  # it comes back at once, so this is the round trip
            _keep(self._round_trips_ms, now_ms - mark.sent_ms)
            self.round_trip_ms = median(self._round_trips_ms)
        elif mark.position > self._run_start and mark.sent_ms <= planned_ms:
            # A mark sent after its audio had played says when the mark was sent, not when the audio
            # played; it does not get here.
            lag_ms = now_ms - self.round_trip_ms - planned_ms
            _keep(self._lags_ms, lag_ms)
            if abs(lag_ms - self._lag_ms) > SLACK_MS:
                self._lag_ms = max(0.0, lag_ms)
        self.sure_position = max(self.sure_position, mark.position)
        return True

    def flushed(self, name: str) -> bool:
        """Whether a mark that came back was flushed by a clear; True once for each."""
        if name not in self._flushed:
            return False
        del self._flushed[name]
        return True

    def dropped(self, item_id: str, size_bytes: int) -> None:
        """This much of an item is never sent."""
        self._items[item_id].generated_bytes -= size_bytes

    def paused(self, now_ms: float) -> None:
        """A clear goes out, and what it drops may be sent again: `sent` goes on where each item
        was heard up to. A new epoch begins."""
        for item_id, item in self._items.items():
            item.heard_before = item.sent_bytes = self.heard_bytes(item_id, now_ms)
            item.end = 0
        self._begin_epoch()

    def cleared(self, now_ms: float) -> list[HeardPart]:
        """A clear goes out: Twilio drops its buffer, and a new epoch begins.

        Returns:
            The interrupted items, oldest first: those with audio that was not heard, and those that
            are not complete. At a barge-in, truncate each of them to what was heard.
        """
        interrupted = []
        for item_id, item in self._items.items():
            heard = self.heard_bytes(item_id, now_ms)
            if heard < item.generated_bytes or not item.complete:
                interrupted.append(HeardPart(item_id, heard, item.generated_bytes))
        self._items.clear()
        self._begin_epoch()
        return interrupted

    def _begin_epoch(self) -> None:
        self._epoch += 1
        self._flushed |= dict.fromkeys(self._marks)
        self._segments.clear()
        self._marks.clear()
        self.sent_position = self.sure_position = self._marked = self._run_start = 0

    # --- what was heard -----------------------------------------------------------------------

    def position(self, now_ms: float) -> int:
        """How far playback has probably come: not before the last mark that came back, not past
        what was sent, and not far past a mark that is overdue."""
        if self.sure_position == self.sent_position:
            return self.sent_position
        elapsed_ms = now_ms - self._run_start_ms - self._lag_ms
        position = self._run_start + max(0, int(elapsed_ms * BYTES_PER_MS))
        if self._marks and self._round_trips_ms:
            behind = next(iter(self._marks.values())).position
            wait_ms = self.round_trip_ms + 2 * SLACK_MS
            position = min(position, behind + int(wait_ms * BYTES_PER_MS))
        return min(self.sent_position, max(self.sure_position, position))

    def unplayed_bytes(self, now_ms: float) -> int:
        """How much of what was sent has probably not been played."""
        return self.sent_position - self.position(now_ms)

    def heard_bytes(self, item_id: str, now_ms: float) -> int:
        """How much of an item was probably heard since the last clear that interrupted it."""
        item, position = self._items.get(item_id), self.position(now_ms)
        return (item.heard_before if item else 0) + sum(
            min(segment.end, position) - segment.start
            for segment in self._segments
            if segment.item_id == item_id and segment.start < position
        )

    def generated_bytes(self, item_id: str) -> int:
        item = self._items.get(item_id)
        return item.generated_bytes if item else 0

    def sent_bytes(self, item_id: str) -> int:
        item = self._items.get(item_id)
        return item.sent_bytes if item else 0

    def surely_heard(self, item_id: str) -> bool:
        """Whether all audio of an item so far was sent and surely played. True also of an item that
        is unknown: dropped since it was heard, cleared, or without audio."""
        item = self._items.get(item_id)
        if item is None:
            return True
        return item.sent_bytes == item.generated_bytes and item.end <= self.sure_position

    def playing(self, now_ms: float) -> bool:
        """Whether the caller probably hears something now: the `position` is before the end."""
        if self.sure_position == self.sent_position:
            return False
        elapsed_ms = now_ms - self._run_start_ms - self._lag_ms
        if 0.0 <= elapsed_ms * BYTES_PER_MS < self.sent_position - self._run_start:
            return True  # by the clock; marks can only make it earlier
        return self.position(now_ms) < self.sent_position

    def interrupts(self, now_ms: float) -> bool:
        """Whether a clear now would interrupt an item: one that plays, or is not complete."""
        return self.playing(now_ms) or not all(map(self._fully_sent, self._items.values()))

    @property
    def all_surely_heard(self) -> bool:
        """Whether the mark after the last byte sent has come back."""
        return self.sure_position == self.sent_position

    @property
    def unmarked_bytes(self) -> int:
        """Bytes sent since the last mark."""
        return self.sent_position - self._marked

    @property
    def ends_ms(self) -> float:
        """When everything sent will probably have been played, or was, in monotonic ms."""
        left = self.sent_position - self._run_start
        return self._run_start_ms + self._lag_ms + left / BYTES_PER_MS


def _keep(samples: list[float], sample: float) -> None:
    """Add a sample, and keep the last `SAMPLES`. A deque would take ten times the memory."""
    samples.append(sample)
    del samples[:-SAMPLES]
