"""The Realtime codec: decodes server events into the call's events, encodes commands as client
events.

OpenAI: Realtime API, server events and client events. The codec keeps no state and does no I/O.
"""

from typing import Any, Union

import msgspec

from app.call.agent import Agent
from app.call.commands import (
    AddMessage,
    AddToolOutput,
    CancelResponse,
    ConfigureSession,
    CreateResponse,
    DeleteItem,
    SetTurnDetection,
    ToModel,
    TruncateItem,
)
from app.call.events import Event
from app.call.ids import OURS
from app.errors import ProtocolError
from app.wires.realtime.server_events import SERVER_EVENTS, ServerEvent
from app.wires.realtime.session_update import session_update, to_text, turn_detection_update


class UnknownEvent(ProtocolError):
    """A well-formed server event of an unknown type. `type`: its type as received."""

    def __init__(self, type: str) -> None:
        super().__init__(f"the model sent an unknown event {type[:80]!r}; it was ignored")
        self.type = type


# Known types that a call has no use for.
_IGNORED = (
    "conversation.created",
    "conversation.item.done",
    "conversation.item.retrieved",
    "conversation.item.input_audio_transcription.delta",
    "conversation.item.input_audio_transcription.segment",
    "input_audio_buffer.cleared",
    "input_audio_buffer.dtmf_event_received",
    "input_audio_buffer.timeout_triggered",
    "mcp_list_tools.completed",
    "mcp_list_tools.failed",
    "mcp_list_tools.in_progress",
    "output_audio_buffer.cleared",
    "output_audio_buffer.started",
    "output_audio_buffer.stopped",
    "rate_limits.updated",
    "response.audio.done",
    "response.content_part.added",
    "response.content_part.done",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.mcp_call.completed",
    "response.mcp_call.failed",
    "response.mcp_call.in_progress",
    "response.mcp_call_arguments.delta",
    "response.mcp_call_arguments.done",
    "response.output_audio.done",
)


class _AnyEvent(msgspec.Struct):
    type: str


_structs = (
    *SERVER_EVENTS,
    *(msgspec.defstruct("Ignored", [], bases=(ServerEvent,), tag=type_) for type_ in _IGNORED),
)
_known: msgspec.json.Decoder[ServerEvent]
_known = msgspec.json.Decoder(Union[_structs])  # noqa: UP007 - `|` takes no tuple
_any = msgspec.json.Decoder(_AnyEvent)
_TYPES = frozenset(struct.__struct_config__.tag for struct in _structs)
# ValueError covers msgspec's own errors, text that is not UTF-8 and lone surrogates.
_MALFORMED = (ValueError, RecursionError)


def decode(data: str | bytes) -> Event | None:
    """Decodes one server event. None: the call has no use for it.

    Raises:
        UnknownEvent: the type is unknown; count it and ignore it.
        ProtocolError: the event is malformed. No input raises anything else.
    """
    try:
        server_event = _known.decode(data)
    except _MALFORMED as error:
        raise _decode_error(data, error) from None
    return server_event.event()


def _decode_error(data: str | bytes, error: Exception) -> ProtocolError:
    """Distinguishes an unknown type from a malformed event. It decodes a second time, which is
    acceptable because errors are rare."""
    try:
        type_ = _any.decode(data).type
    except _MALFORMED:
        return ProtocolError(f"the model sent a malformed event: {error}")
    if type_ in _TYPES:
        return ProtocolError(f"the model sent a malformed {type_}: {error}")
    return UnknownEvent(type_)


def encode(command: ToModel, agent: Agent) -> str:
    """The client event for a command. `agent`: provides the session's settings and instructions."""
    event: dict[str, Any]
    match command:
        case ConfigureSession(event_id, speaks, without):
            return session_update(agent, event_id, speaks=speaks, without=without)
        case SetTurnDetection(event_id, automatic):
            return turn_detection_update(agent, event_id, automatic=automatic)
        case AddMessage(event_id, role, text, item_id, after):
            # OpenAI: the content of an assistant message is output_text, also when the client
            # creates the item.
            kind = "output_text" if role == "assistant" else "input_text"
            content = [{"type": kind, "text": text}]
            id_field = {"id": item_id} if item_id else {}
            event = _create_item(
                event_id, {**id_field, "type": "message", "role": role, "content": content}
            )
            if after:
                event["previous_item_id"] = after
        case AddToolOutput(event_id, call_id, output):
            event = _create_item(
                event_id, {"type": "function_call_output", "call_id": call_id, "output": output}
            )
        case CreateResponse(event_id, direction):
            event = {"type": "response.create", "event_id": event_id}
            if direction:
                # OpenAI: a response's instructions replace the session's for that response.
                instructions = f"{agent.instructions}\n\n{direction}"
                event["response"] = {"instructions": instructions, "tool_choice": "none"}
        case CancelResponse(event_id, response_id):
            event = {"type": "response.cancel", "event_id": event_id}
            if not response_id.startswith(OURS):  # an id of our own is unknown to the server
                event["response_id"] = response_id
        case TruncateItem(event_id, item_id, audio_end_ms):
            event = {
                "type": "conversation.item.truncate",
                "event_id": event_id,
                "item_id": item_id,
                "content_index": 0,
                "audio_end_ms": audio_end_ms,
            }
        case DeleteItem(event_id, item_id):
            event = {"type": "conversation.item.delete", "event_id": event_id, "item_id": item_id}
    return to_text(event)


def _create_item(event_id: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "conversation.item.create", "event_id": event_id, "item": item}
