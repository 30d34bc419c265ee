"""The events of a call: everything that `CallMachine.handle` takes, named in the past tense.

An event carries no time: the caller of `handle` passes monotonic milliseconds beside it. Sizes are
bytes of µ-law at 8000 Hz, so 8 bytes are 1 ms.

`payload` is base64. The model's audio reaches Twilio as the model encoded it: the call counts its
bytes (`size_bytes`) and does not decode it. Three places do handle the bytes: the bridge's voice
side encodes what an external voice sends, `call/speech/` decodes the piece at which it cuts an
utterance whose voice failed, and a recording decodes a copy of what is played.

Event and field names are stored with the record of a call, as its timeline: do not rename them.
"""

from dataclasses import dataclass

from app.call.model_events import AudioReceived as AudioReceived
from app.call.model_events import CallerTranscribed as CallerTranscribed
from app.call.model_events import CallerTranscriptionFailed as CallerTranscriptionFailed
from app.call.model_events import CallerTurnCommitted as CallerTurnCommitted
from app.call.model_events import ItemDeleted as ItemDeleted
from app.call.model_events import ItemTruncated as ItemTruncated
from app.call.model_events import MessageTaken as MessageTaken
from app.call.model_events import ModelFaulted as ModelFaulted
from app.call.model_events import ModelLost as ModelLost
from app.call.model_events import ModelOpened as ModelOpened
from app.call.model_events import OutputItemAdded as OutputItemAdded
from app.call.model_events import OutputItemDone as OutputItemDone
from app.call.model_events import Refusal as Refusal
from app.call.model_events import ResponseCreated as ResponseCreated
from app.call.model_events import ResponseDone as ResponseDone
from app.call.model_events import SessionConfigured as SessionConfigured
from app.call.model_events import SessionCreated as SessionCreated
from app.call.model_events import SpeechStarted as SpeechStarted
from app.call.model_events import SpeechStopped as SpeechStopped
from app.call.model_events import SuccessorConfigured as SuccessorConfigured
from app.call.model_events import SuccessorCreated as SuccessorCreated
from app.call.model_events import SuccessorLost as SuccessorLost
from app.call.model_events import SuccessorOpened as SuccessorOpened
from app.call.model_events import TextReceived as TextReceived
from app.call.model_events import ToolOutputTaken as ToolOutputTaken
from app.call.model_events import TranscriptCompleted as TranscriptCompleted
from app.call.model_events import TranscriptReceived as TranscriptReceived
from app.call.optional_settings import Setting
from app.call.voice_events import VoiceFailed as VoiceFailed
from app.call.voice_events import VoiceFinished as VoiceFinished
from app.call.voice_events import VoicePaused as VoicePaused
from app.call.voice_events import VoiceQuieted as VoiceQuieted
from app.call.voice_events import VoiceReceived as VoiceReceived
from app.call.voice_events import VoiceTimed as VoiceTimed
from app.call.words.word_times import Pace

# --- the leg itself -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ResumeCause:
    """Why a later leg of a call begins: the tool that ended the earlier media stream, or a stream
    that was lost (`STREAM_LOST`). The bridge copies it into `LegOpened`."""

    #: The built-in tool that took the stream away: transfer_to_human or send_digits.
    tool: str = ""
    #: The tool call that this answers: the model's id, or one of the bridge's.
    call_id: str = ""
    #: The tool's answer for the model, such as why no human accepted the transfer.
    output: str = ""


#: No tool ended the earlier stream: Twilio's connection was lost.
STREAM_LOST = ResumeCause()


@dataclass(frozen=True, slots=True)
class OpenEntry:
    """What the caller typed last, when the stream was lost. The call's next leg continues it,
    unless a tool asked for it."""

    #: Keys that no pause has ended yet; empty: there are none.
    digits: str
    #: The complete entry, or the one that `digits` continue; empty: none.
    replaces: str
    #: When the last key was pressed, for a tool or not.
    pressed_ms: float
    #: Of `digits`, see `keypad.DigitEntry.lone`.
    lone: bool = False


@dataclass(frozen=True, slots=True)
class LegOpened:
    """The leg exists: the bridge answers the webhook of its media stream."""

    #: What the caller heard and said on the call's earlier legs, as (role, text); empty on the
    #: first leg.
    history: tuple[tuple[str, str], ...] = ()
    #: Unix time, in seconds. Opening hours are judged by it.
    at_s: float = 0.0
    #: Why the call resumes, see `ResumeCause`. All three are empty on a call's first leg, and when
    #: the earlier stream was lost.
    tool: str = ""
    call_id: str = ""
    output: str = ""
    #: How the agent's external voices spoke on earlier legs and calls, in the order of
    #: `Agent.voices`.
    paces: tuple[Pace, ...] = ()
    #: A secret entry was open when the earlier leg ended: the caller may go on typing it.
    secret_entry_open: bool = False
    #: What the call's earlier legs showed of who answered, see `answering_machine.Shown`; empty:
    #: nothing.
    shown: str = ""
    #: What the caller typed last before the earlier stream was lost; None: nothing.
    entry: OpenEntry | None = None
    #: The agent's audio is played in whole frames of 20 ms. False in the timelines of earlier
    #: versions, which passed it on as it came.
    whole_frames: bool = False
    #: Settings that the model refused on earlier legs and calls: its sessions do not get them.
    left_out: tuple[Setting, ...] = ()
    #: Report silences, see `ReportSilence`. False: a timeline of a version that reported none.
    reports_silences: bool = False
    #: Answer speech of the caller that the model does not report, see `CallerVoiced`. False: a
    #: timeline of a version that did not.
    answers_unreported: bool = False


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The time `CallMachine.next_deadline_ms` is reached."""


@dataclass(frozen=True, slots=True)
class HangUpRequested:
    """An operator or a shutdown ends the call now, without a goodbye."""

    #: Becomes `CallMachine.ended_by`: operator or shutdown.
    reason: str


@dataclass(frozen=True, slots=True)
class HangUpConfirmed:
    """Twilio accepted the hang-up, or answered that the call had ended already."""


@dataclass(frozen=True, slots=True)
class HangUpFailed:
    """The hang-up failed, and its retries are used up."""

    reason: str


@dataclass(frozen=True, slots=True)
class CallRedirected:
    """Twilio accepted the redirect to other TwiML: the stream ends, the call goes on."""


@dataclass(frozen=True, slots=True)
class RedirectFailed:
    """The redirect failed, and its retries are used up: the stream goes on."""

    reason: str


@dataclass(frozen=True, slots=True)
class TransferRequested:
    """An operator transfers the caller."""

    #: Name of one of the agent's destinations, empty for the only one. See `CallMachine.refusal`.
    destination: str


@dataclass(frozen=True, slots=True)
class SayRequested:
    """An operator has the agent say exactly this text."""

    text: str


@dataclass(frozen=True, slots=True)
class CalleeDetected:
    """Twilio's answering machine detection gave its verdict on who answered the outbound call."""

    #: Twilio's `AnsweredBy`, see `answering_machine.Verdict`.
    answered_by: str
    #: What the agent says for a machine to record; empty: hang up on a machine.
    message: str = ""


@dataclass(frozen=True, slots=True)
class VoicemailReached:
    """An answering machine answered the outbound call, and records from now on. Older timelines
    hold it in place of `CalleeDetected`: whatever the call has shown, the message is left."""

    #: What the agent says for the machine to record; empty: hang up.
    message: str = ""


@dataclass(frozen=True, slots=True)
class LegFailed:
    """The bridge failed at an event or a command, which is a bug: the leg is over."""


@dataclass(frozen=True, slots=True)
class DecisionMade:
    """The bridge decided something about the call by itself. The machine ignores this event; it
    puts the cause into the timeline."""

    #: What the bridge does, in a few words.
    decision: str
    reason: str


# --- Twilio's media stream ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """Twilio's `start` message came: the caller is connected, and audio can be played."""

    stream_sid: str


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """Twilio stopped the stream, or its socket closed, whichever came first."""

    reason: str
    #: The socket closed without Twilio's `stop`, so the caller may still be on the line.
    lost: bool = False


@dataclass(frozen=True, slots=True)
class StreamBlocked:
    """The stream's outbox is full: audio sent now would wait in memory."""


@dataclass(frozen=True, slots=True)
class StreamUnblocked:
    """The stream's outbox has room again."""


@dataclass(frozen=True, slots=True)
class MarkEchoed:
    """Twilio played everything before a mark, or a `clear` flushed the mark."""

    name: str


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """The caller pressed a key. Barge-in: see `BargeIn.key_pressed`.

    While a tool asks for a secret entry, the bridge masks the keys: only that tool gets the digits.
    """

    #: One of 0-9 * # A-D, or `keypad.MASK`.
    digit: str


@dataclass(frozen=True, slots=True)
class CallerVoiced:
    """The caller's frames hold `pause.CONFIRMED_MS` of voice, while the agent is paused; or while
    it is silent, and the model has reported no speech."""


@dataclass(frozen=True, slots=True)
class CallerQuieted:
    """The caller's frames have been quiet for `pause.QUIET_MS`: the agent is paused, or another
    session is to take over."""


@dataclass(frozen=True, slots=True)
class CallerAudioForwarded:
    """The caller's audio that went to the model since the last such event."""

    frames: int
    size_bytes: int
    #: How long ago the caller's frames last held voice; None: it was not measured.
    quiet_ms: int | None = None


# --- tools --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolReturned:
    """A tool returned."""

    call_id: str
    #: The tool's answer for the model: free text or JSON text.
    output: str


@dataclass(frozen=True, slots=True)
class ToolFailed:
    """A tool raised, or its arguments did not fit."""

    call_id: str
    #: The error text for the model.
    message: str


@dataclass(frozen=True, slots=True)
class EntryAsked:
    """A running tool asks the caller for digits. Answered by `GiveDigits`."""

    call_id: str
    #: Number of digits; 0: as many as the caller presses until # or a pause.
    length: int
    #: The digits are for the tool alone: the machine sees them masked.
    secret: bool
    #: What the agent says first; empty: nothing.
    prompt: str
    #: How long the caller may take to press the first key, from the end of the prompt.
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
    | CalleeDetected
    | VoicemailReached
    | LegFailed
    | DecisionMade
    | StreamStarted
    | StreamEnded
    | StreamBlocked
    | StreamUnblocked
    | MarkEchoed
    | DigitPressed
    | CallerVoiced
    | CallerQuieted
    | CallerAudioForwarded
    | ModelOpened
    | SessionCreated
    | SessionConfigured
    | ModelLost
    | ModelFaulted
    | SuccessorOpened
    | SuccessorCreated
    | SuccessorConfigured
    | SuccessorLost
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
    | VoiceQuieted
    | VoiceTimed
    | VoiceFinished
    | VoiceFailed
    | ToolReturned
    | ToolFailed
    | EntryAsked
)
