"""What happened on a call: everything the machine is told, in the past tense.

Times are not in here: they come beside the event, as monotonic milliseconds. Sizes are bytes of
µ-law at 8000 Hz, so 8 bytes are 1 ms. `payload` is base64 and never decoded on its way.
"""

from dataclasses import dataclass, field

from app.call.usage import Usage
from app.call.voice_events import VoiceFailed as VoiceFailed
from app.call.voice_events import VoiceFinished as VoiceFinished
from app.call.voice_events import VoicePaused as VoicePaused
from app.call.voice_events import VoiceReceived as VoiceReceived
from app.call.words.pause_alignment import Pace

# --- the leg itself -------------------------------------------------------------------------


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


# --- the model's session --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModelOpened:
    """The Realtime socket is open; the session still has its defaults."""


@dataclass(frozen=True, slots=True)
class SessionCreated:
    """The model's side named the session. `expires_at_s`: Unix time of its end, if it says so."""

    session_id: str
    expires_at_s: int | None = None


@dataclass(frozen=True, slots=True)
class SessionConfigured:
    """The session took our settings, audio formats included."""


@dataclass(frozen=True, slots=True)
class ModelLost:
    """The Realtime socket could not be opened, or closed. `fatal`: another try cannot help
    (a wrong key, no money left)."""

    reason: str
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class ModelFaulted:
    """An `error` event. `cause_event_id`: the client event that caused it, if the model says so."""

    code: str
    message: str
    cause_event_id: str | None = None


# --- the caller, as the model hears them ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The caller began to speak. `audio_start_ms` counts appended audio, not wall clock."""

    item_id: str
    audio_start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The caller fell silent."""

    item_id: str
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class CallerTurnCommitted:
    """The caller's speech is an item of the conversation; an answer is due."""

    item_id: str
    previous_item_id: str | None


@dataclass(frozen=True, slots=True)
class CallerTranscribed:
    """The caller's words. May come before or after the answer to them. `audio_ms`: how much audio
    is billed for them, 0 when nobody says."""

    item_id: str
    text: str
    audio_ms: int = 0


@dataclass(frozen=True, slots=True)
class CallerTranscriptionFailed:
    """The caller's words could not be written down."""

    item_id: str
    reason: str


# --- the model's answers ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ResponseCreated:
    """The model began a response, ours or one that its turn detection asked for.

    `in_conversation`: False when the model says that it belongs to no conversation.
    """

    response_id: str
    in_conversation: bool = True


@dataclass(frozen=True, slots=True)
class OutputItemAdded:
    """A response began an item. `kind`: message or function_call."""

    response_id: str
    item_id: str
    kind: str


@dataclass(frozen=True, slots=True)
class AudioReceived:
    """A piece of the agent's speech. `payload`: base64 µ-law of `size_bytes` decoded bytes."""

    response_id: str
    item_id: str
    payload: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class TextReceived:
    """More of an item that is text alone: a voice of ours is to say it. `response_id`: empty when
    the server does not say."""

    item_id: str
    text: str
    response_id: str = ""


@dataclass(frozen=True, slots=True)
class TranscriptReceived:
    """More of what an item says. `response_id`: empty when the server does not say."""

    item_id: str
    text: str
    response_id: str = ""


@dataclass(frozen=True, slots=True)
class TranscriptCompleted:
    """All that an item says, cut or not."""

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class OutputItemDone:
    """An item is complete, or was cut by the model's own turn detection.

    `status`: completed or incomplete. The last three are set for kind function_call only;
    `arguments` is JSON text as the model wrote it.
    """

    response_id: str
    item_id: str
    kind: str
    status: str
    call_id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class ResponseDone:
    """A response ended. `status`: completed, cancelled, incomplete or failed; `reason`: such as
    turn_detected, client_cancelled, or the error code of a failed one. `calls`: the tool calls that
    it lists, and `messages`: the ids of its messages, for servers that announce them nowhere else.
    """

    response_id: str
    status: str
    reason: str = ""
    usage: Usage = field(default=Usage())
    calls: tuple[OutputItemDone, ...] = ()
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemTruncated:
    """The model took a truncation."""

    item_id: str
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class ItemDeleted:
    """The model took a deletion."""

    item_id: str


@dataclass(frozen=True, slots=True)
class ToolOutputTaken:
    """The model has a tool's answer: responses created from here on know it."""

    call_id: str


@dataclass(frozen=True, slots=True)
class MessageTaken:
    """The model has a message of ours that had an id: responses created from here on know it."""

    item_id: str


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
