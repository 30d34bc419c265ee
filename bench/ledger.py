"""What both ends of the load know of a run, and what it measures. Pure: time as a number."""

from array import array
from dataclasses import dataclass, field
from math import inf

from bench.playback import BYTES_PER_MS, PlaybackBuffer
from bench.samples import Samples
from bench.stamps import DELTA_BYTES

# Nearer than one frame to the end of an answer, whether it was interrupted is a matter of taste.
GRACE_MS = 20


@dataclass(slots=True)
class Answer:
    """One audio item of the model."""

    number: int
    item_id: str
    call: "Call | None"
    delta_bytes: int = DELTA_BYTES
    sent_ms: list[float] = field(default_factory=list)  # when each delta was sent
    arrived: set[int] = field(default_factory=set)  # deltas that came to the caller's end
    interrupted_ms: float | None = None
    truncated_to_ms: float | None = None  # 0 when the item was deleted

    @property
    def length_ms(self) -> float:
        """How long the model believes that the item is."""
        if self.truncated_to_ms is not None:
            return self.truncated_to_ms
        return len(self.sent_ms) * self.delta_bytes / BYTES_PER_MS


class Call:
    """One call, seen from both ends at once."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.sent_ms = array("d")  # when each caller's frame was sent
        self.arrived = bytearray()  # 1 for each that the model got
        self.playback = PlaybackBuffer()
        self.answers: list[Answer] = []
        self.speech_ms = -inf  # the last speech_started
        self.clear_due: bool | None = None  # None: too near to the end to say
        self.clear_open = False  # no clear has come since
        self.stream_open = self.model_open = False


class Ledger:
    """The run's samples. Only what was sent in the window [start_ms, end_ms) counts. `delta_bytes`:
    how much audio the model sends at a time."""

    def __init__(self, calls: int, delta_bytes: int = DELTA_BYTES) -> None:
        self.delta_bytes = delta_bytes
        self.start_ms = self.end_ms = inf
        self.calls = [Call(index) for index in range(calls)]
        self.answers: list[Answer] = []
        self.uplink_ms, self.downlink_ms, self.first_audio_ms = Samples(), Samples(), Samples()
        self.clear_ms, self.late_ms = Samples(), Samples()
        self.model_sockets = 0
        self.interruptions = self.missing_clears = self.needless_clears = 0
        self.needless_truncates = self.refused_truncates = 0
        self.faults: list[str] = []

    def within(self, at_ms: float) -> bool:
        """Whether a moment belongs to the measured window."""
        return self.start_ms <= at_ms < self.end_ms

    # --- the caller's audio ---------------------------------------------------------------------

    def frame_sent(self, call: Call, now_ms: float) -> int:
        """The number of the caller's frame that is sent now."""
        call.sent_ms.append(now_ms)
        call.arrived.append(0)
        return len(call.arrived) - 1

    def frame_arrived(self, call: Call, number: int, now_ms: float) -> None:
        """The model got a caller's frame."""
        call.arrived[number] = 1
        if self.within(call.sent_ms[number]):
            self.uplink_ms.add(now_ms - call.sent_ms[number])

    # --- the agent's audio ----------------------------------------------------------------------

    def answer_begun(self, item_id: str, call: Call | None) -> Answer:
        """The model begins an item; the call may be unknown yet (a greeting asked for early)."""
        answer = Answer(len(self.answers), item_id, call, self.delta_bytes)
        self.answers.append(answer)
        if call:
            call.answers.append(answer)
        return answer

    def delta_arrived(self, call: Call, answer: Answer, number: int, now_ms: float) -> None:
        """A delta came to the caller's end and begins to play as soon as it can."""
        call.playback.play(answer.number, answer.delta_bytes, now_ms)
        sent_ms = answer.sent_ms[number]
        if self.within(sent_ms) and number not in answer.arrived:
            self.downlink_ms.add(now_ms - sent_ms)
            if number == 0:
                self.first_audio_ms.add(now_ms - sent_ms)
        answer.arrived.add(number)

    # --- barge-in -------------------------------------------------------------------------------

    def speech_started(self, call: Call, now_ms: float) -> None:
        """The model says that the caller speaks: what has not been heard is interrupted."""
        self._miss_clear(call)
        left_ms = call.playback.end_ms - now_ms
        call.speech_ms, call.clear_open = now_ms, True
        call.clear_due = None if abs(left_ms) <= GRACE_MS else left_ms > 0
        for answer in call.answers[-2:]:
            heard_ms = call.playback.heard_ms(answer.number, now_ms)
            if answer.interrupted_ms is None and answer.length_ms - heard_ms > GRACE_MS:
                answer.interrupted_ms = now_ms
                self.interruptions += self.within(now_ms)

    def cleared(self, call: Call, now_ms: float) -> None:
        """A clear came to the caller's end; the playback buffer is told apart."""
        if not self.within(now_ms):
            pass
        elif call.clear_open and call.clear_due:
            self.clear_ms.add(now_ms - call.speech_ms)
        elif call.clear_due is not None or not call.clear_open:
            self.needless_clears += 1
        call.clear_open = False

    def _miss_clear(self, call: Call) -> None:
        if call.clear_open and call.clear_due and self.within(call.speech_ms):
            self.missing_clears += 1

    def truncated(self, call: Call, item_id: str, to_ms: float, now_ms: float) -> bool:
        """The bridge says how much of an item was heard. False: the model refuses it."""
        answer = next((a for a in reversed(call.answers) if a.item_id == item_id), None)
        if answer is None or not 0 <= to_ms <= answer.length_ms:
            self.refused_truncates += self.within(now_ms)
            return False
        answer.truncated_to_ms = to_ms
        near_end = abs(call.playback.ended_ms(answer.number) - call.speech_ms) <= GRACE_MS
        if answer.interrupted_ms is None and not near_end:
            self.needless_truncates += self.within(now_ms)
        return True

    # --- after the run --------------------------------------------------------------------------

    def judge_truncations(self) -> tuple[Samples, int]:
        """How far each truncation was from what had played, and how many never came."""
        errors_ms, missing = Samples(), 0
        for call in self.calls:
            self._miss_clear(call)
            for answer in call.answers:
                if answer.interrupted_ms is None or not self.within(answer.interrupted_ms):
                    continue
                if answer.truncated_to_ms is None:
                    missing += 1
                else:
                    heard_ms = call.playback.heard_ms(answer.number)
                    errors_ms.add(abs(answer.truncated_to_ms - heard_ms))
        return errors_ms, missing

    def lost(self) -> tuple[int, int, int]:
        """Caller's frames sent and lost, and deltas lost of answers that nobody interrupted."""
        sent = lost = deltas = 0
        for call in self.calls:
            for sent_ms, arrived in zip(call.sent_ms, call.arrived, strict=True):
                if self.within(sent_ms):
                    sent += 1
                    lost += not arrived
        for answer in self.answers:
            if answer.interrupted_ms is None:
                deltas += sum(
                    self.within(sent_ms) and number not in answer.arrived
                    for number, sent_ms in enumerate(answer.sent_ms)
                )
        return sent, lost, deltas
