"""The commands of a call: everything that `CallMachine.handle` returns, in the imperative.

Perform commands in the order in which they are returned, and without waiting: what takes time
becomes a task, and its outcome an event. `event_id` is a command's id, which the model names when
it refuses the command (`ModelFaulted.cause_event_id`).

Command and field names are stored with the record of a call, as its timeline: do not rename them.
"""

from dataclasses import dataclass
from typing import Literal

from app.call.optional_settings import Setting

# --- to Twilio's media stream -----------------------------------------------------------------


Verdict = Literal["confirmed", "false"]
"""What the caller's sound was: an interruption, or none."""

Cause = Literal["caller", "model", "tool", "voice", "network", "redirect", "quiet_audio"]
"""Why the caller hears nothing:

caller: it is their turn. model: an answer, or a session, is awaited. tool: a tool runs. voice: an
external voice owes audio. network: Twilio does not play what it was sent, or takes nothing.
redirect: a hang-up or other TwiML is ordered. quiet_audio: the audio of the model or the voice is
too quiet to be heard.
"""


# Not frozen, though no one changes it: see `AudioReceived`.
@dataclass(slots=True, unsafe_hash=True)
class PlayAudio:
    """Send audio to the caller (Twilio: `media`)."""

    #: The model's item; empty (`OWN_SOUND`) for the hold tone and for DTMF tones.
    item_id: str
    #: Base64 of µ-law, 8000 Hz.
    payload: str
    #: Decoded size of `payload`; 8 bytes are 1 ms.
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SendMark:
    """Have Twilio report when it has played everything sent so far (Twilio: `mark`). Answered by
    `MarkEchoed`."""

    name: str


@dataclass(frozen=True, slots=True)
class ClearAudio:
    """Drop the audio that Twilio has not played yet (Twilio: `clear`). Sent at a barge-in."""

    #: How much that is by the playback ledger: the tail of what was sent.
    dropped_bytes: int


@dataclass(frozen=True, slots=True)
class CloseStream:
    """Close the media socket. Twilio then requests the `<Connect>` action URL."""

    reason: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call over REST. Answered by `HangUpConfirmed` or `HangUpFailed`."""

    reason: str


@dataclass(frozen=True, slots=True)
class TransferCall:
    """Transfer the call: redirect it over REST to TwiML that dials a human. Answered by
    `CallRedirected` or `RedirectFailed`."""

    #: The tool call that asked for it, or an id that begins with `ids.OURS`.
    call_id: str
    #: Names of the destinations, tried in this order.
    route: tuple[str, ...]
    #: As the model wrote them; empty when it did not ask for the transfer.
    reason: str
    summary: str
    #: The agent told the caller about the transfer, to its last word.
    announced: bool


@dataclass(frozen=True, slots=True)
class PlayDigits:
    """Have Twilio press keys: redirect the call over REST to `<Play digits>`, followed by a new
    stream. Answered by `CallRedirected` or `RedirectFailed`."""

    #: The tool call that asked for it.
    call_id: str
    digits: str


@dataclass(frozen=True, slots=True)
class MuteCaller:
    """Replace the caller's audio by silence, for the model and in the recording."""


@dataclass(frozen=True, slots=True)
class UnmuteCaller:
    """Pass the caller's audio on again."""


# --- to the model -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenModel:
    """Open a session with the model. Answered by `ModelOpened` or `ModelLost`."""


@dataclass(frozen=True, slots=True)
class ConfigureSession:
    """Send the agent's settings. Answered by `SessionConfigured`, or by `ModelFaulted`, which may
    name the `setting` that the model refuses."""

    event_id: str
    #: The model's output is audio; False: text, for an external voice to say.
    speaks: bool = True
    #: Settings to leave out, because the model refuses them.
    without: tuple[Setting, ...] = ()


@dataclass(frozen=True, slots=True)
class SetTurnDetection:
    """Say whether turn detection acts on the caller's speech by itself. Answered by
    `SessionConfigured`, or by `ModelFaulted`."""

    event_id: str
    #: Speech cancels the active response, and a response follows each turn of the caller. False:
    #: turn detection reports speech and turns, and does nothing.
    automatic: bool


@dataclass(frozen=True, slots=True)
class CloseModel:
    """Close the session, if there is one."""


@dataclass(frozen=True, slots=True)
class OpenSuccessor:
    """Open the session that takes over before the present one expires. Answered by
    `SuccessorOpened` or `SuccessorLost`."""


@dataclass(frozen=True, slots=True)
class ConfigureSuccessor:
    """Send the agent's settings to the successor. Answered by `SuccessorConfigured` or
    `SuccessorLost`."""

    event_id: str
    #: See `ConfigureSession`.
    speaks: bool = True
    without: tuple[Setting, ...] = ()


@dataclass(frozen=True, slots=True)
class SwapModel:
    """From now on the successor is the call's session: close the one before it. Append to the new
    one, behind the commands that follow, the last of the caller's audio that the old one got."""

    #: From where on; a position in the audio appended to the old session, in ms.
    audio_from_ms: int
    #: At most so much of its end, in ms.
    audio_most_ms: int


@dataclass(frozen=True, slots=True)
class CloseSuccessor:
    """Close the successor, if there is one."""


@dataclass(frozen=True, slots=True)
class PauseModel:
    """Stop reading from the model until `ResumeModel`: too much audio waits for the stream."""


@dataclass(frozen=True, slots=True)
class ResumeModel:
    """Read from the model again."""


@dataclass(frozen=True, slots=True)
class AddMessage:
    """Add a text message to the conversation."""

    event_id: str
    #: system, user or assistant.
    role: str
    text: str
    #: The message's id, to be deleted by and confirmed with, see `MessageTaken`; empty: the
    #: model gives it one.
    item_id: str = ""
    #: The item that it follows; empty: the last one of the conversation.
    after: str = ""


@dataclass(frozen=True, slots=True)
class AddToolOutput:
    """Add a tool's answer to the conversation. Confirmed by `ToolOutputTaken`."""

    event_id: str
    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class CreateResponse:
    """Request a response. Answered by `ResponseCreated`, or by `ModelFaulted`."""

    event_id: str
    #: What to say, added to the agent's instructions for this response, which may call no tool;
    #: empty: a plain answer.
    direction: str = ""


@dataclass(frozen=True, slots=True)
class CancelResponse:
    """Cancel the active response. Answered by `ResponseDone`, if it is still active."""

    event_id: str
    response_id: str


@dataclass(frozen=True, slots=True)
class TruncateItem:
    """Truncate an item to what the caller heard of it. Answered by `ItemTruncated`, or by
    `ModelFaulted` when the item is shorter."""

    event_id: str
    item_id: str
    #: The heard length, in ms: more than 0, and no more than the item's length.
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class DeleteItem:
    """Delete an item of which the caller heard nothing, or that is of no use any more. Answered by
    `ItemDeleted`."""

    event_id: str
    item_id: str


# --- to the external voices ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Synthesize:
    """Have an external voice say an utterance. Answered by `VoiceReceived`, `VoicePaused` and
    `VoiceTimed`, any number of times, then by `VoiceFinished` or `VoiceFailed`; the next one
    follows only then."""

    utterance_id: str
    #: The model's item that the text belongs to.
    item_id: str
    text: str
    #: Index into `Agent.voices`.
    voice: int


@dataclass(frozen=True, slots=True)
class DropSynthesis:
    """Cancel the synthesis of this utterance."""

    utterance_id: str


# --- to the rest of the bridge ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunTool:
    """Run a tool in a task of its own. Answered by `ToolReturned` or `ToolFailed`."""

    call_id: str
    name: str
    #: JSON text as the model wrote it.
    arguments: str


@dataclass(frozen=True, slots=True)
class CancelTool:
    """Cancel a tool: its deadline has passed, or the leg ends."""

    call_id: str


@dataclass(frozen=True, slots=True)
class GiveDigits:
    """Give a tool the digits that it asked for (`EntryAsked`): the entry is over."""

    call_id: str
    #: Masked when the entry is secret. Empty: the caller pressed no digit in time, or another
    #: tool's entry is still open.
    digits: str


@dataclass(frozen=True, slots=True)
class ReportDecision:
    """Log what the machine decided by itself, as one warning; the timeline keeps it."""

    #: What the machine does, in a few words.
    decision: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReportInterruption:
    """Count an interruption: the caller's speech paused the agent, and it is judged."""

    #: confirmed: the caller has the floor. false: a cough, a noise, a "mm-hm"; the agent goes on.
    verdict: Verdict
    #: What it was judged by, in a few words.
    reason: str
    #: How long the agent was paused, in ms.
    paused_ms: float


@dataclass(frozen=True, slots=True)
class ReportSilence:
    """Count a silence: the caller heard nothing, and did not speak. See `silences`."""

    cause: Cause
    #: From the end of the last sound that was heard, in ms.
    length_ms: float


@dataclass(frozen=True, slots=True)
class EndLeg:
    """The leg is over: release everything that belongs to it. Always the last command."""

    #: `CallMachine.ended_by`.
    reason: str
    #: How much of the audio sent was not played by the playback ledger: the tail of it.
    dropped_bytes: int = 0


ToStream = PlayAudio | SendMark | ClearAudio
ToModel = (
    ConfigureSession
    | SetTurnDetection
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
    | OpenSuccessor
    | ConfigureSuccessor
    | SwapModel
    | CloseSuccessor
    | Synthesize
    | DropSynthesis
    | PauseModel
    | ResumeModel
    | RunTool
    | CancelTool
    | GiveDigits
    | ReportDecision
    | ReportInterruption
    | ReportSilence
    | EndLeg
)
