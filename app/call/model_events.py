"""Events of the model's session: the session itself, the caller's speech, the responses.

A wire to a model (`wires/model.py`) feeds them; it says in which order.
"""

from dataclasses import dataclass, field
from typing import Literal

from app.call.optional_settings import Setting
from app.call.usage import Usage

Refusal = Literal["", "busy", "too_short"]
"""Why a model refused a command, see `ModelFaulted`."""

# --- the session ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModelOpened:
    """The session takes commands. Next: send the settings, `ConfigureSession`."""


@dataclass(frozen=True, slots=True)
class SessionCreated:
    """The session has an id."""

    session_id: str
    #: Unix time, in seconds, at which the session expires; None: the model did not say.
    expires_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class SessionConfigured:
    """The settings are in force, audio formats included. Answers `ConfigureSession`."""


@dataclass(frozen=True, slots=True)
class ModelLost:
    """The session ended, or could not be opened."""

    reason: str
    #: A retry cannot help: the key is wrong, or the account has no credit.
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class ModelFaulted:
    """The model refused a command, or failed. The session stays open."""

    #: The model's own code and text, for the log and the record.
    code: str
    message: str
    #: `event_id` of the command that caused it; None: the model did not say.
    cause_event_id: str | None = None
    #: What the core has to know about a refused command. busy: another response is active already.
    #: too_short: the item to truncate is shorter than the truncation, see `length_ms`. Empty:
    #: nothing.
    refusal: Refusal = ""
    #: For too_short: the length of the item's audio, in ms; 0: it has none.
    length_ms: int = 0
    #: The setting that the model refuses, if it names one: the agent's settings hold it. required:
    #: one that no call can do without. Empty: it names none.
    setting: Setting | Literal["", "required"] = ""


# --- its successor, which takes over before it expires ----------------------------------------


@dataclass(frozen=True, slots=True)
class SuccessorOpened:
    """The successor takes commands. Answers `OpenSuccessor`."""


@dataclass(frozen=True, slots=True)
class SuccessorCreated:
    """The successor has an id, see `SessionCreated`."""

    session_id: str
    #: Unix time, in seconds, at which it expires; None: the model did not say.
    expires_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class SuccessorConfigured:
    """Its settings are in force. Answers `ConfigureSuccessor`."""


@dataclass(frozen=True, slots=True)
class SuccessorLost:
    """The successor ended, refused its settings, or could not be opened. The call's session goes
    on."""

    reason: str
    #: It refused its settings.
    refused: bool = False
    #: See `ModelFaulted.setting`.
    setting: Setting | Literal["", "required"] = ""


# --- the caller's speech ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The caller begins to speak. Barge-in: see `BargeIn.speech_started`."""

    item_id: str
    #: Position in the audio appended to the session, in ms; not a time of the call.
    audio_start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The caller stopped speaking."""

    item_id: str
    #: Position in the audio appended to the session, in ms.
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class CallerTurnCommitted:
    """The caller's turn is over, and an item of the conversation: turn detection requests the
    response to it."""

    item_id: str
    #: The item before it; None: it is the first, or the model did not say.
    previous_item_id: str | None


@dataclass(frozen=True, slots=True)
class CallerTranscribed:
    """The transcription of the caller's turn. Comes before or after the response to it."""

    item_id: str
    text: str
    #: Billed audio, in ms; 0: the model did not say.
    audio_ms: int = 0


@dataclass(frozen=True, slots=True)
class CallerTranscriptionFailed:
    """The caller's turn could not be transcribed. On an outbound call its sound counts as speech,
    see `CalleeEvidence`."""

    item_id: str
    reason: str


# --- responses --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ResponseCreated:
    """A response began, requested by `CreateResponse` or by turn detection."""

    response_id: str
    #: False: the model says that it is outside of the conversation.
    in_conversation: bool = True


@dataclass(frozen=True, slots=True)
class OutputItemAdded:
    """A response began an item."""

    response_id: str
    item_id: str
    #: message or function_call; other kinds are ignored.
    kind: str


# Not frozen, though no one changes it: one is made in a third of the time, many times a second.
@dataclass(slots=True, unsafe_hash=True)
class AudioReceived:
    """More of the agent's speech."""

    response_id: str
    item_id: str
    #: Base64 of µ-law, 8000 Hz.
    payload: str
    #: Decoded size of `payload`; 8 bytes are 1 ms.
    size_bytes: int
    #: Too quiet to be heard, see `app.audio.is_audible`.
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class TextReceived:
    """More of an item without audio, for an external voice to say."""

    item_id: str
    text: str
    #: Empty: the model did not say.
    response_id: str = ""


@dataclass(frozen=True, slots=True)
class TranscriptReceived:
    """More of the transcript of an item's audio."""

    item_id: str
    text: str
    #: Empty: the model did not say.
    response_id: str = ""


@dataclass(frozen=True, slots=True)
class TranscriptCompleted:
    """The whole text or transcript of an item, as the model wrote it, interrupted or not."""

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class OutputItemDone:
    """An item is complete, or its response was interrupted."""

    response_id: str
    item_id: str
    #: message or function_call.
    kind: str
    #: completed or incomplete.
    status: str
    #: Id of the tool call; this and the next two are set for kind function_call only.
    call_id: str = ""
    #: Name of the tool.
    name: str = ""
    #: JSON text as the model wrote it.
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class ResponseDone:
    """A response ended: all of its audio came."""

    response_id: str
    #: completed, cancelled, incomplete or failed.
    status: str
    #: Why, as the model says it, for the log and the record; empty: it did not say.
    reason: str = ""
    usage: Usage = field(default=Usage())
    #: The tool calls that the response lists. Some models announce them nowhere else.
    calls: tuple[OutputItemDone, ...] = ()
    #: Item ids of the messages that the response lists, for the same models.
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemTruncated:
    """The model forgot what the caller did not hear of an item. Answers `TruncateItem`."""

    item_id: str
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class ItemDeleted:
    """The model forgot an item. Answers `DeleteItem`."""

    item_id: str


@dataclass(frozen=True, slots=True)
class ToolOutputTaken:
    """The session has a tool's answer: responses created from now on know it."""

    call_id: str


@dataclass(frozen=True, slots=True)
class MessageTaken:
    """The session has an `AddMessage` that had an id: responses created from now on know it."""

    item_id: str
