"""The Realtime API's server events as structs, and the call's event that each one becomes.

OpenAI: Realtime API, server events. One struct per type, with the fields that a call needs. The
beta's event names are accepted too, because compatible servers still send them.
"""

from typing import Any

import msgspec

from app.audio import base64_decode, is_audible
from app.call.events import (
    AudioReceived,
    CallerTranscribed,
    CallerTranscriptionFailed,
    CallerTurnCommitted,
    Event,
    ItemDeleted,
    ItemTruncated,
    MessageTaken,
    ModelFaulted,
    ModelLost,
    OutputItemAdded,
    OutputItemDone,
    ResponseCreated,
    ResponseDone,
    SessionConfigured,
    SessionCreated,
    SpeechStarted,
    SpeechStopped,
    TextReceived,
    ToolOutputTaken,
    TranscriptCompleted,
    TranscriptReceived,
)
from app.call.ids import OURS
from app.call.usage import Usage
from app.errors import ProtocolError
from app.wires.realtime.refusals import FATAL, SESSION_LOST, refusal, refused_setting
from app.wires.realtime.usage import Number, UsageBody, billed_ms, count


class ServerEvent(msgspec.Struct, tag_field="type"):
    def event(self) -> Event | None:
        """The call's event; None if the call has no use for this server event."""
        return None


# --- audio, fifty times a second and more ---------------------------------------------------------


class _AudioDelta(ServerEvent, tag="response.output_audio.delta", gc=False):
    delta: str
    response_id: str = ""
    item_id: str = ""

    def event(self) -> AudioReceived | None:
        try:
            ulaw = base64_decode(self.delta)
        except ValueError as error:
            raise ProtocolError(f"the model sent audio that is not base64: {error}") from None
        if not ulaw:
            return None
        quiet = not is_audible(ulaw)
        return AudioReceived(self.response_id, self.item_id, self.delta, len(ulaw), quiet)


# --- the session ----------------------------------------------------------------------------------


class _CreatedSession(msgspec.Struct):
    id: str | None = None
    expires_at: Number | None = None


class _SessionCreated(ServerEvent, tag="session.created"):
    session: _CreatedSession

    def event(self) -> SessionCreated:
        return SessionCreated(self.session.id or "", self.session.expires_at)


class _Format(msgspec.Struct):
    type: str | None = None


class _AudioSide(msgspec.Struct):
    format: _Format | None = None


class _Audio(msgspec.Struct):
    input: _AudioSide | None = None
    output: _AudioSide | None = None


class _UpdatedSession(msgspec.Struct):
    audio: _Audio | None = None


class _SessionUpdated(ServerEvent, tag="session.updated"):
    session: _UpdatedSession

    def event(self) -> SessionConfigured | ModelLost:
        audio = self.session.audio
        for side in (audio.input, audio.output) if audio else ():
            format_ = side.format.type if side and side.format else None
            if format_ and format_ != "audio/pcmu":
                return ModelLost(f"the session uses {format_[:60]}, a telephone needs audio/pcmu")
        return SessionConfigured()


class _ErrorBody(msgspec.Struct):
    type: str | None = None
    code: str | None = None
    message: str | None = None
    event_id: str | None = None
    #: The path of the field that it is about. Any: a value of another type is ignored.
    param: Any = None

    @property
    def name(self) -> str:
        return self.code or self.type or "unknown"


class _Error(ServerEvent, tag="error"):
    error: _ErrorBody

    def event(self) -> ModelFaulted | ModelLost:
        error = self.error
        if error.name in FATAL:
            return ModelLost(error.name, fatal=True)
        if error.name in SESSION_LOST:
            return ModelLost(error.name)
        message = error.message or ""
        kind, length_ms = refusal(error.name, message)
        setting = refused_setting(error.param, message)
        return ModelFaulted(error.name, message, error.event_id, kind, length_ms, setting)


# --- the caller -----------------------------------------------------------------------------------


class _SpeechStarted(ServerEvent, tag="input_audio_buffer.speech_started"):
    item_id: str = ""
    audio_start_ms: Number = 0

    def event(self) -> SpeechStarted:
        return SpeechStarted(self.item_id, count(self.audio_start_ms))


class _SpeechStopped(ServerEvent, tag="input_audio_buffer.speech_stopped"):
    item_id: str = ""
    audio_end_ms: Number = 0

    def event(self) -> SpeechStopped:
        return SpeechStopped(self.item_id, count(self.audio_end_ms))


class _Committed(ServerEvent, tag="input_audio_buffer.committed"):
    item_id: str = ""
    previous_item_id: str | None = None

    def event(self) -> CallerTurnCommitted:
        return CallerTurnCommitted(self.item_id, self.previous_item_id)


_TRANSCRIPTION = "conversation.item.input_audio_transcription"


class _Transcribed(ServerEvent, tag=f"{_TRANSCRIPTION}.completed"):
    item_id: str = ""
    transcript: str | None = None
    # Not validated: a malformed usage must not lose the transcript.
    usage: Any = None

    def event(self) -> CallerTranscribed:
        return CallerTranscribed(self.item_id, self.transcript or "", billed_ms(self.usage))


class _TranscriptionFailed(ServerEvent, tag=f"{_TRANSCRIPTION}.failed"):
    item_id: str = ""
    error: _ErrorBody | None = None

    def event(self) -> CallerTranscriptionFailed:
        return CallerTranscriptionFailed(self.item_id, self.error.name if self.error else "unknown")


# --- the conversation -----------------------------------------------------------------------------


class _NewItem(msgspec.Struct):
    id: str | None = None
    type: str | None = None
    call_id: str | None = None


class _ConversationItemAdded(ServerEvent, tag="conversation.item.added"):
    item: _NewItem

    def event(self) -> ToolOutputTaken | MessageTaken | None:
        item = self.item
        if item.type == "function_call_output" and item.call_id:
            return ToolOutputTaken(item.call_id)
        if item.type == "message" and (item.id or "").startswith(OURS):
            return MessageTaken(item.id or "")
        return None


class _Truncated(ServerEvent, tag="conversation.item.truncated"):
    item_id: str = ""
    audio_end_ms: Number = 0

    def event(self) -> ItemTruncated:
        return ItemTruncated(self.item_id, count(self.audio_end_ms))


class _Deleted(ServerEvent, tag="conversation.item.deleted"):
    item_id: str = ""

    def event(self) -> ItemDeleted:
        return ItemDeleted(self.item_id)


# --- responses ------------------------------------------------------------------------------------


class _CreatedResponse(msgspec.Struct):
    id: str = ""
    #: None: an out-of-band response. Some servers omit the field, which counts as in conversation.
    conversation_id: str | None = ""


class _ResponseCreated(ServerEvent, tag="response.created"):
    response: _CreatedResponse

    def event(self) -> ResponseCreated:
        response = self.response
        return ResponseCreated(response.id, in_conversation=response.conversation_id is not None)


class _Item(msgspec.Struct):
    id: str = ""
    type: str = "message"
    status: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None

    @property
    def is_tool_call(self) -> bool:
        """Whether it is a function call with a call_id and a name."""
        return self.type == "function_call" and bool(self.call_id and self.name)

    def done(self, response_id: str) -> OutputItemDone:
        """The event for the finished item, completed or not."""
        status = self.status or "completed"
        if self.type != "function_call":
            return OutputItemDone(response_id, self.id, self.type, status)
        return OutputItemDone(
            response_id,
            self.id,
            self.type,
            status,
            call_id=self.call_id or "",
            name=self.name or "",
            arguments=self.arguments or "",
        )


class _ItemAdded(ServerEvent, tag="response.output_item.added"):
    item: _Item
    response_id: str = ""

    def event(self) -> OutputItemAdded:
        return OutputItemAdded(self.response_id, self.item.id, self.item.type)


class _ItemDone(ServerEvent, tag="response.output_item.done"):
    item: _Item
    response_id: str = ""

    def event(self) -> OutputItemDone:
        item = self.item
        incomplete = item.status not in (None, "completed")
        if item.type == "function_call" and not (item.is_tool_call or incomplete):
            raise ProtocolError("the model called a tool without a call_id or a name")
        return item.done(self.response_id)


class _TranscriptDelta(ServerEvent, tag="response.output_audio_transcript.delta"):
    delta: str
    item_id: str = ""
    response_id: str = ""

    def event(self) -> TranscriptReceived:
        return TranscriptReceived(self.item_id, self.delta, self.response_id)


class _TextDelta(ServerEvent, tag="response.output_text.delta"):
    delta: str
    item_id: str = ""
    response_id: str = ""

    def event(self) -> TextReceived:
        return TextReceived(self.item_id, self.delta, self.response_id)


class _TranscriptDone(ServerEvent, tag="response.output_audio_transcript.done"):
    transcript: str | None = None
    item_id: str = ""

    def event(self) -> TranscriptCompleted:
        return TranscriptCompleted(self.item_id, self.transcript or "")


class _TextDone(ServerEvent, tag="response.output_text.done"):
    text: str | None = None
    item_id: str = ""

    def event(self) -> TranscriptCompleted:
        return TranscriptCompleted(self.item_id, self.text or "")


class _StatusDetails(msgspec.Struct):
    reason: str | None = None
    error: _ErrorBody | None = None


class _DoneResponse(msgspec.Struct):
    id: str = ""
    status: str | None = None
    status_details: _StatusDetails | None = None
    usage: UsageBody | None = None
    output: list[_Item] | None = None


class _ResponseDone(ServerEvent, tag="response.done"):
    response: _DoneResponse

    def event(self) -> ResponseDone:
        response = self.response
        details = response.status_details or _StatusDetails()
        reason = details.reason or (details.error.name if details.error else "")
        usage = response.usage.usage() if response.usage else Usage()
        status = response.status or "completed"
        output = response.output or ()
        calls = tuple(item.done(response.id) for item in output if item.is_tool_call)
        messages = tuple(item.id for item in output if item.type == "message" and item.id)
        return ResponseDone(response.id, status, reason, usage, calls, messages)


_BETA_NAMES = {
    "conversation.item.created": _ConversationItemAdded,
    "response.audio.delta": _AudioDelta,
    "response.audio_transcript.delta": _TranscriptDelta,
    "response.audio_transcript.done": _TranscriptDone,
    "response.text.delta": _TextDelta,
    "response.text.done": _TextDone,
}

SERVER_EVENTS: tuple[type[msgspec.Struct], ...] = (
    _AudioDelta,
    _SessionCreated,
    _SessionUpdated,
    _Error,
    _SpeechStarted,
    _SpeechStopped,
    _Committed,
    _Transcribed,
    _TranscriptionFailed,
    _ConversationItemAdded,
    _Truncated,
    _Deleted,
    _ResponseCreated,
    _ItemAdded,
    _ItemDone,
    _TranscriptDelta,
    _TextDelta,
    _TranscriptDone,
    _TextDone,
    _ResponseDone,
    *(
        msgspec.defstruct(struct.__name__, [], bases=(struct,), tag=name)
        for name, struct in _BETA_NAMES.items()
    ),
)
"""One struct per server event that a call needs; its tag is the event's type."""
