"""What happened on a call: everything the machine is told, in the past tense.

Times are not in here: they come beside the event, as monotonic milliseconds. Sizes are bytes of
µ-law at 8000 Hz, so 8 bytes are 1 ms. `payload` is base64 and never decoded on its way.
"""

from dataclasses import dataclass

from app.call.model_events import (
    AudioReceived as AudioReceived,
)
from app.call.model_events import (
    CallerTranscribed as CallerTranscribed,
)
from app.call.model_events import (
    CallerTranscriptionFailed as CallerTranscriptionFailed,
)
from app.call.model_events import (
    CallerTurnCommitted as CallerTurnCommitted,
)
from app.call.model_events import (
    ItemDeleted as ItemDeleted,
)
from app.call.model_events import (
    ItemTruncated as ItemTruncated,
)
from app.call.model_events import (
    MessageTaken as MessageTaken,
)
from app.call.model_events import (
    ModelFaulted as ModelFaulted,
)
from app.call.model_events import (
    ModelLost as ModelLost,
)
from app.call.model_events import (
    ModelOpened as ModelOpened,
)
from app.call.model_events import (
    OutputItemAdded as OutputItemAdded,
)
from app.call.model_events import (
    OutputItemDone as OutputItemDone,
)
from app.call.model_events import (
    ResponseCreated as ResponseCreated,
)
from app.call.model_events import (
    ResponseDone as ResponseDone,
)
from app.call.model_events import (
    SessionConfigured as SessionConfigured,
)
from app.call.model_events import (
    SessionCreated as SessionCreated,
)
from app.call.model_events import (
    SpeechStarted as SpeechStarted,
)
from app.call.model_events import (
    SpeechStopped as SpeechStopped,
)
from app.call.model_events import (
    TextReceived as TextReceived,
)
from app.call.model_events import (
    ToolOutputTaken as ToolOutputTaken,
)
from app.call.model_events import (
    TranscriptCompleted as TranscriptCompleted,
)
from app.call.model_events import (
    TranscriptReceived as TranscriptReceived,
)
from app.call.voice_events import VoiceFailed as VoiceFailed
from app.call.voice_events import VoiceFinished as VoiceFinished
from app.call.voice_events import VoicePaused as VoicePaused
from app.call.voice_events import VoiceReceived as VoiceReceived
from app.call.words.pause_alignment import Pace

# --- the leg itself -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ResumeCause:
    """What took the caller away from the agent, and what became of it: a tool's name, the call of
    it, and its output."""

    tool: str = ""
    call_id: str = ""
    output: str = ""


STREAM_LOST = ResumeCause()  # nothing did, but that the stream was lost


@dataclass(frozen=True, slots=True)
class LegOpened:
    """The leg exists: its webhook was answered. `at_s`: Unix time of it. `history`: (role, text) of
    what was said on the call before, when this is not its first stream. `tool`: what took the
    caller away from the agent, `call_id` of it and `output`, what became of it; empty when the
    stream was lost. `paces`: how the agent's voices spoke on calls before, in their order."""

    history: tuple[tuple[str, str], ...] = ()
    at_s: float = 0.0
    tool: str = ""
    call_id: str = ""
    output: str = ""
    paces: tuple[Pace, ...] = ()


@dataclass(frozen=True, slots=True)
class TimerFired:
    """`CallMachine.next_deadline_ms` has come."""


@dataclass(frozen=True, slots=True)
class HangUpRequested:
    """Somebody outside the conversation wants the call to end now (an operator, a shutdown)."""

    reason: str


@dataclass(frozen=True, slots=True)
class HangUpConfirmed:
    """Twilio took the order to end the call, or said that it had ended already."""


@dataclass(frozen=True, slots=True)
class HangUpFailed:
    """The order to end the call failed for good, retries included."""

    reason: str


@dataclass(frozen=True, slots=True)
class CallRedirected:
    """Twilio took the order to go on with other TwiML: the stream ends, the call does not."""


@dataclass(frozen=True, slots=True)
class RedirectFailed:
    """The order to go on with other TwiML failed for good, retries included: the stream goes on."""

    reason: str


@dataclass(frozen=True, slots=True)
class TransferRequested:
    """Somebody outside the conversation wants the caller handed over. `destination`: a name."""

    destination: str


@dataclass(frozen=True, slots=True)
class SayRequested:
    """Somebody outside the conversation wants the agent to say exactly this."""

    text: str


@dataclass(frozen=True, slots=True)
class VoicemailReached:
    """An answering machine took our call and records now. `message`: what is to be left on it, or
    empty to hang up."""

    message: str = ""


@dataclass(frozen=True, slots=True)
class DecisionMade:
    """The bridge decided something about the call by itself. Changes nothing here: it is part of
    the timeline, so that the record names the cause.

    `decision`: what it does, in a few words; `reason`: why.
    """

    decision: str
    reason: str


# --- Twilio's media stream ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """The caller is connected: from now on audio can be played."""

    stream_sid: str


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The stream stopped or its socket closed; whichever came first. `lost`: Twilio did not stop
    it, so the caller may still be there."""

    reason: str
    lost: bool = False


@dataclass(frozen=True, slots=True)
class StreamBlocked:
    """The stream's socket takes no more for now: what is played now would wait in our memory."""


@dataclass(frozen=True, slots=True)
class StreamUnblocked:
    """The stream's socket takes messages again."""


@dataclass(frozen=True, slots=True)
class MarkEchoed:
    """Twilio reached a mark, or a clear flushed it."""

    name: str


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """The caller pressed a key: one of 0-9 * # A-D. In a secret entry digits are masked, as
    `keypad.MASK`: which ones they were, nobody is told but the tool that asked."""

    digit: str


@dataclass(frozen=True, slots=True)
class CallerAudioForwarded:
    """How much of the caller's audio went to the model since this was last said."""

    frames: int
    size_bytes: int


# --- tools --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolReturned:
    """A tool finished. `output`: what the model is told, free text or JSON text."""

    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class ToolFailed:
    """A tool raised, or its arguments did not fit. `message` is what the model is told."""

    call_id: str
    message: str


@dataclass(frozen=True, slots=True)
class EntryAsked:
    """A running tool wants digits from the caller. `length`: how many, 0 for as many as come until
    # or a pause. `prompt`: what the caller is to be asked first, or empty. `timeout_ms`: how long
    the caller may take to begin."""

    call_id: str
    length: int
    secret: bool
    prompt: str
    timeout_ms: float


Event = (
    LegOpened
    | TimerFired
    | HangUpRequested
    | HangUpConfirmed
    | HangUpFailed
    | CallRedirected
    | RedirectFailed
    | TransferRequested
    | SayRequested
    | VoicemailReached
    | DecisionMade
    | StreamStarted
    | StreamEnded
    | StreamBlocked
    | StreamUnblocked
    | MarkEchoed
    | DigitPressed
    | CallerAudioForwarded
    | ModelOpened
    | SessionCreated
    | SessionConfigured
    | ModelLost
    | ModelFaulted
    | SpeechStarted
    | SpeechStopped
    | CallerTurnCommitted
    | CallerTranscribed
    | CallerTranscriptionFailed
    | ResponseCreated
    | OutputItemAdded
    | AudioReceived
    | TextReceived
    | TranscriptReceived
    | TranscriptCompleted
    | OutputItemDone
    | ResponseDone
    | ItemTruncated
    | ItemDeleted
    | ToolOutputTaken
    | MessageTaken
    | VoiceReceived
    | VoicePaused
    | VoiceFinished
    | VoiceFailed
    | ToolReturned
    | ToolFailed
    | EntryAsked
)
