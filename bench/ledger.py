"""What both ends of the load record of a run, and what it measures. Pure: time as a number."""

from array import array
from dataclasses import dataclass, field
from math import inf

from bench.playback import BYTES_PER_MS, PlaybackBuffer
from bench.samples import Samples
from bench.stamps import DELTA_BYTES

# Within one frame of the end of an answer it may count as interrupted or not.
GRACE_MS = 20


@dataclass(slots=True)
class Answer:
    """One audio item of the model."""

    #: The index in `Ledger.answers`.
    number: int
    item_id: str
    #: None: the session's call is not known yet.
    call: "Call | None"
    #: The audio in each delta.
    delta_bytes: int = DELTA_BYTES
    #: When each delta was sent.
    sent_ms: list[float] = field(default_factory=list)
    #: The numbers of the deltas that arrived at the caller.
    arrived: set[int] = field(default_factory=set)
    #: None: it was not interrupted.
    interrupted_ms: float | None = None
    #: None: it was not truncated; 0: it was deleted.
    truncated_to_ms: float | None = None

    @property
    def length_ms(self) -> float:
        """The length of the item in the model's conversation."""
        if self.truncated_to_ms is not None:
            return self.truncated_to_ms
        return len(self.sent_ms) * self.delta_bytes / BYTES_PER_MS


class Call:
    """One call, seen from both ends at once."""

    def __init__(self, index: int) -> None:
        self.index = index
        #: When each of the caller's frames was sent.
        self.sent_ms = array("d")
        #: 1 for each frame that arrived at the model.
        self.arrived = bytearray()
        self.playback = PlaybackBuffer()
        self.answers: list[Answer] = []
        #: When the last speech_started was sent.
        self.speech_ms = -inf
        #: Whether it needs a clear; None: too close to the end of the answer to say.
        self.clear_due: bool | None = None
        #: No clear has arrived since.
        self.clear_open = False
        self.stream_open = self.model_open = False


class Ledger:
    """The run's samples. Only what was sent in the window [start_ms, end_ms) counts.

    `delta_bytes`: the audio in each of the model's deltas.
    """

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
        """Whether a time is in the measured window."""
        return self.start_ms <= at_ms < self.end_ms

    # --- the caller's audio ---------------------------------------------------------------------

    def frame_sent(self, call: Call, now_ms: float) -> int:
        """Record a frame of the caller that is sent now. Returns its number."""
        call.sent_ms.append(now_ms)
        call.arrived.append(0)
        return len(call.arrived) - 1

    def frame_arrived(self, call: Call, number: int, now_ms: float) -> None:
        """Record a frame of the caller that arrived at the model."""
        call.arrived[number] = 1
        if self.within(call.sent_ms[number]):
            self.uplink_ms.add(now_ms - call.sent_ms[number])

    # --- the agent's audio ----------------------------------------------------------------------

    def answer_begun(self, item_id: str, call: Call | None) -> Answer:
        """The model starts an item. `call`: None for a greeting before the first frame."""
        answer = Answer(len(self.answers), item_id, call, self.delta_bytes)
        self.answers.append(answer)
        if call:
            call.answers.append(answer)
        return answer

    def delta_arrived(self, call: Call, answer: Answer, number: int, now_ms: float) -> None:
        """A delta arrived at the caller's end and is queued for playback."""
        call.playback.play(answer.number, answer.delta_bytes, now_ms)
        sent_ms = answer.sent_ms[number]
        if self.within(sent_ms) and number not in answer.arrived:
            self.downlink_ms.add(now_ms - sent_ms)
            if number == 0:
                self.first_audio_ms.add(now_ms - sent_ms)
        answer.arrived.add(number)

    # --- barge-in -------------------------------------------------------------------------------

    def speech_started(self, call: Call, now_ms: float) -> None:
        """The model sends speech_started: answers that have not played out are interrupted."""
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
        """A clear arrived at the caller's end. Clear the playback buffer as well."""
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
        """The bridge truncates an item to `to_ms`. Returns False if the model refuses."""
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
        """The error of each truncation against what had played, and how many are missing."""
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
        """The caller's frames sent and lost, and lost deltas of answers without interruption."""
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
