"""What is measured in the timeline of a call: speech, interruptions, tools, marks.

All times are milliseconds of the timeline, which is the clock of the bridge: the delay of the line
is not in them.
"""

from dataclasses import dataclass, field
from statistics import median

from app.call.heard.ledger import BYTES_PER_MS
from app.records.report.gaps import LegGap


@dataclass(frozen=True, slots=True)
class Span:
    from_ms: float
    to_ms: float


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model called. `arguments` and `result` are text as they came, mostly JSON.

    `outcome`: returned, failed, given up (it took too long, or the call ended), or open (the record
    ends first, or the agent never had the caller back). `to_ms`: when it was over.
    """

    call_id: str
    name: str
    arguments: str
    result: str
    outcome: str
    from_ms: float
    to_ms: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark. `echoed_ms`: None when Twilio never sent it back. `flushed`: a clear took it, so the
    echo tells nothing of what was heard."""

    name: str
    sent_ms: float
    echoed_ms: float | None
    flushed: bool
    on_empty_buffer: bool

    @property
    def round_trip_ms(self) -> float | None:
        """To Twilio and back, for a mark that found nothing to wait for."""
        if self.echoed_ms is None or self.flushed or not self.on_empty_buffer:
            return None
        return self.echoed_ms - self.sent_ms


@dataclass(frozen=True, slots=True)
class Interruption:
    """The caller spoke over the agent. `item_id`: what was cut. `heard_ms` of `generated_ms`: how
    much of it was heard; `dropped_ms`: what the clear took out of Twilio's buffer."""

    at_ms: float
    item_id: str
    heard_ms: float
    generated_ms: float
    dropped_ms: float


@dataclass(slots=True)
class Speech:
    """What an item of the agent's was: all its text, all its audio, and where it sounded.
    `interrupted`: the caller spoke before it had been heard."""

    item_id: str
    begun_ms: float
    text: str = ""
    generated_bytes: int = 0
    interrupted: bool = False
    spans: list[Span] = field(default_factory=list)

    @property
    def heard_ms(self) -> float:
        return sum(span.to_ms - span.from_ms for span in self.spans)

    @property
    def generated_ms(self) -> float:
        return self.generated_bytes / BYTES_PER_MS


@dataclass(slots=True)
class CallerSpeech:
    """When turn detection heard the caller speak.

    `from_ms` includes the padding that turn detection puts before it, and `to_ms`, None while it
    lasts, the silence that it waited for (OpenAI: audio_start_ms, audio_end_ms).
    `noticed_ms`: when it said so.
    """

    item_id: str
    from_ms: float
    noticed_ms: float
    to_ms: float | None = None


@dataclass(slots=True)
class CallTrace:
    """All of it. `connected_ms`: the caller was on the line. `hung_up_ms`: we hung up.
    `ended_ms`: the last leg was over, or what was written last of a call that goes on."""

    connected_ms: float | None = None
    hung_up_ms: float | None = None
    ended_ms: float = 0.0
    speeches: dict[str, Speech] = field(default_factory=dict)
    caller: dict[str, CallerSpeech] = field(default_factory=dict)
    tools: list[Tool] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    interruptions: list[Interruption] = field(default_factory=list)
    leg_gaps: list[LegGap] = field(default_factory=list)

    @property
    def round_trip_ms(self) -> float | None:
        """To Twilio and back, in the median of the marks that found an empty buffer."""
        trips = [trip for mark in self.marks if (trip := mark.round_trip_ms) is not None]
        return median(trips) if trips else None
