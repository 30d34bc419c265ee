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
    """One tool call of the model's."""

    call_id: str
    name: str
    #: As the model wrote them, mostly JSON.
    arguments: str
    #: What the tool returned, mostly JSON, or the error; empty: none.
    result: str
    #: returned; failed; given up: cancelled; open: the leg or the record ended first.
    outcome: str
    from_ms: float
    to_ms: float


@dataclass(frozen=True, slots=True)
class Mark:
    """One mark on the media stream."""

    name: str
    sent_ms: float
    #: None: Twilio never echoed it.
    echoed_ms: float | None
    #: A clear flushed it: its echo does not mean that the audio before it was heard.
    flushed: bool
    #: Nothing was left to play when it was sent, so its echo measures the round trip.
    on_empty_buffer: bool

    @property
    def round_trip_ms(self) -> float | None:
        """To Twilio and back; None: this mark does not measure it."""
        if self.echoed_ms is None or self.flushed or not self.on_empty_buffer:
            return None
        return self.echoed_ms - self.sent_ms


@dataclass(frozen=True, slots=True)
class Interruption:
    """A barge-in: the caller spoke over the agent, or pressed a key."""

    at_ms: float
    #: The first item that was cut.
    item_id: str
    #: How much of the item was heard,
    heard_ms: float
    #: and how much of it was generated.
    generated_ms: float
    #: How much audio the clear removed from Twilio's buffer.
    dropped_ms: float


@dataclass(frozen=True, slots=True)
class FalseInterruption:
    """A cough, a noise, a "mm-hm": it paused the agent, which then went on."""

    #: When the agent was paused.
    at_ms: float
    #: What it was judged by, in a few words.
    reason: str
    #: How long the agent was paused.
    paused_ms: float


@dataclass(slots=True)
class Speech:
    """One item of the agent's."""

    item_id: str
    #: When its first text or audio arrived.
    begun_ms: float
    #: All its text, heard or not.
    text: str = ""
    #: All its audio, in bytes of µ-law.
    generated_bytes: int = 0
    #: A barge-in cut it.
    interrupted: bool = False
    #: When it was heard; more than one span when audio arrived slower than it plays.
    spans: list[Span] = field(default_factory=list)

    @property
    def heard_ms(self) -> float:
        return sum(span.to_ms - span.from_ms for span in self.spans)

    @property
    def generated_ms(self) -> float:
        return self.generated_bytes / BYTES_PER_MS


@dataclass(slots=True)
class CallerSpeech:
    """One turn of the caller's, by the model's turn detection (OpenAI: audio_start_ms,
    audio_end_ms)."""

    item_id: str
    #: Includes the padding that turn detection adds before the speech.
    from_ms: float
    #: When the event of its start arrived.
    noticed_ms: float
    #: Includes the silence that turn detection waits for; None: the turn has not ended.
    to_ms: float | None = None
    #: It was no interruption: the agent went on.
    false_interruption: bool = False
    #: Another session took over later. It heard the speech again if the record has no turn of it.
    before_swap: bool = False


@dataclass(slots=True)
class CallTrace:
    """What `read_trace` finds in the timeline of one call."""

    #: When the first media stream started; None: none did.
    connected_ms: float | None = None
    #: When the service hung up; None: it did not.
    hung_up_ms: float | None = None
    #: The last entry of the timeline.
    ended_ms: float = 0.0
    #: By item id.
    speeches: dict[str, Speech] = field(default_factory=dict)
    #: By item id.
    caller: dict[str, CallerSpeech] = field(default_factory=dict)
    tools: list[Tool] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    interruptions: list[Interruption] = field(default_factory=list)
    false_interruptions: list[FalseInterruption] = field(default_factory=list)
    leg_gaps: list[LegGap] = field(default_factory=list)

    @property
    def round_trip_ms(self) -> float | None:
        """To Twilio and back: the median of the marks that measure it; None: no mark does."""
        trips = [trip for mark in self.marks if (trip := mark.round_trip_ms) is not None]
        return median(trips) if trips else None
