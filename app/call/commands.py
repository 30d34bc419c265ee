"""What the call wants done: everything the machine orders, in the imperative.

Commands are performed in the order given, and performing one never waits. Ids named `event_id` are
ours: the model names them when it refuses (`error.event_id`).
"""

from dataclasses import dataclass

# --- to Twilio's media stream -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlayAudio:
    """Send this to the caller. `item_id`: the model's item, or empty for a sound of our own."""

    item_id: str
    payload: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SendMark:
    """Ask Twilio to say when it has played everything sent so far."""

    name: str


@dataclass(frozen=True, slots=True)
class ClearAudio:
    """Drop what Twilio has not played yet. `dropped_bytes`: how much that is, by the ledger: the
    last of what was sent."""

    dropped_bytes: int


@dataclass(frozen=True, slots=True)
class CloseStream:
    """Close the media socket; Twilio goes on with what its TwiML says next."""

    reason: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call over REST; answered by HangUpConfirmed or HangUpFailed."""

    reason: str


@dataclass(frozen=True, slots=True)
class TransferCall:
    """Replace the call's TwiML over REST: the humans of `route` are tried in this order. Answered
    by CallRedirected or RedirectFailed. `call_id`: the tool call that it answers, or a name of our
    own. `reason`, `summary`: as the model wrote them. `announced`: the caller was told."""

    call_id: str
    route: tuple[str, ...]
    reason: str
    summary: str
    announced: bool


@dataclass(frozen=True, slots=True)
class PlayDigits:
    """Replace the call's TwiML over REST: keys are pressed by Twilio, then another stream follows.
    Answered by CallRedirected or RedirectFailed."""

    call_id: str
    digits: str


@dataclass(frozen=True, slots=True)
class MuteCaller:
    """From now on silence stands in for the caller's sound: to the model and in the recording."""


@dataclass(frozen=True, slots=True)
class UnmuteCaller:
    """The caller is heard again."""


# --- to the model -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenModel:
    """Open a Realtime session; answered by ModelOpened or ModelLost."""


@dataclass(frozen=True, slots=True)
class ConfigureSession:
    """Send the agent's settings; answered by SessionConfigured. `speaks`: the model is to speak
    itself; otherwise it writes, and a voice of ours speaks."""

    event_id: str
    speaks: bool = True


@dataclass(frozen=True, slots=True)
class CloseModel:
    """Close the Realtime session, if there is one."""


@dataclass(frozen=True, slots=True)
class PauseModel:
    """Read no more from the model until ResumeModel: the caller's side is full."""


@dataclass(frozen=True, slots=True)
class ResumeModel:
    """Read from the model again."""


@dataclass(frozen=True, slots=True)
class AddMessage:
    """Put text into the conversation. `role`: system, user or assistant. `item_id`: given when the
    model is to say that it has it, by MessageTaken. `after`: the item that it follows, or empty for
    the end of the conversation."""

    event_id: str
    role: str
    text: str
    item_id: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class AddToolOutput:
    """Answer a tool call."""

    event_id: str
    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class CreateResponse:
    """Ask for a response. `direction`: what it is to do, said on top of the agent's instructions,
    or empty for a plain answer; with a direction no tool may be called."""

    event_id: str
    direction: str = ""


@dataclass(frozen=True, slots=True)
class CancelResponse:
    """Stop an active response."""

    event_id: str
    response_id: str


@dataclass(frozen=True, slots=True)
class TruncateItem:
    """Tell the model how much of an item was heard. `audio_end_ms` > 0 and within the item."""

    event_id: str
    item_id: str
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class DeleteItem:
    """Tell the model that nothing of an item was heard."""

    event_id: str
    item_id: str


# --- to the external voices ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Synthesize:
    """Have a voice say this; answered by VoiceReceived, VoicePaused, then VoiceFinished or
    VoiceFailed. One at a time. `voice`: which of the agent's voices, by its place. `item_id`: the
    model's item that it is of."""

    utterance_id: str
    item_id: str
    text: str
    voice: int


@dataclass(frozen=True, slots=True)
class DropSynthesis:
    """Nobody wants the rest of this utterance."""

    utterance_id: str


# --- to the rest of the house -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunTool:
    """Run a tool off the audio path; answered by ToolReturned or ToolFailed."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class CancelTool:
    """Nobody waits for this tool any more."""

    call_id: str


@dataclass(frozen=True, slots=True)
class GiveDigits:
    """The entry that a tool asked for is over. `digits`: masked if it was secret; empty when
    nothing came in time."""

    call_id: str
    digits: str


@dataclass(frozen=True, slots=True)
class ReportDecision:
    """Log what the machine decided by itself, as one warning; the timeline keeps it.

    `decision`: what it does, in a few words; `reason`: why.
    """

    decision: str
    reason: str


@dataclass(frozen=True, slots=True)
class EndLeg:
    """The leg is over: let go of everything. `dropped_bytes`: how much of what was sent nobody
    heard, by the ledger: the last of it."""

    reason: str
    dropped_bytes: int = 0


ToStream = PlayAudio | SendMark | ClearAudio
ToModel = (
    ConfigureSession
    | AddMessage
    | AddToolOutput
    | CreateResponse
    | CancelResponse
    | TruncateItem
    | DeleteItem
)
Command = (
    ToStream
    | ToModel
    | CloseStream
    | HangUp
    | TransferCall
    | PlayDigits
    | MuteCaller
    | UnmuteCaller
    | OpenModel
    | CloseModel
    | Synthesize
    | DropSynthesis
    | PauseModel
    | ResumeModel
    | RunTool
    | CancelTool
    | GiveDigits
    | ReportDecision
    | EndLeg
)
