"""What the model tells the call: its session, the caller as it hears them, its answers."""

from dataclasses import dataclass, field

from app.call.usage import Usage

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
