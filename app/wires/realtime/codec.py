"""The Realtime wire: the server's JSON as the call's events, the call's orders as JSON.

OpenAI: Realtime API, server events and client events. A codec only: it keeps no state and does
nothing.
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
    ToModel,
    TruncateItem,
)
from app.call.events import Event
from app.call.ids import OURS
from app.errors import ProtocolError
from app.wires.realtime.server_events import MESSAGES, Message
from app.wires.realtime.session_update import session_update, to_text


class UnknownMessage(ProtocolError):
    """A well-formed event of a type that we do not know; `type` is what the model called it."""

    def __init__(self, type: str) -> None:
        super().__init__(f"the model sent an unknown event {type[:80]!r}; it was ignored")
        self.type = type


# Known, and nothing that a call needs to hear.
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


class _AnyMessage(msgspec.Struct):
    type: str


_messages = (
    *MESSAGES,
    *(msgspec.defstruct("Ignored", [], bases=(Message,), tag=type_) for type_ in _IGNORED),
)
_known: msgspec.json.Decoder[Message]
_known = msgspec.json.Decoder(Union[_messages])  # noqa: UP007 - `|` takes no tuple
_any = msgspec.json.Decoder(_AnyMessage)
_TYPES = frozenset(message.__struct_config__.tag for message in _messages)
# ValueError covers msgspec's own errors, text that is not UTF-8 and lone surrogates.
_MALFORMED = (ValueError, RecursionError)


def decode(data: str | bytes) -> Event | None:
    """Reads one server event; None for one that says nothing to the call.

    Raises:
        UnknownMessage: a type that we do not know, to be counted and ignored.
        ProtocolError: malformed; whatever the bytes were, nothing else is raised.
    """
    try:
        message = _known.decode(data)
    except _MALFORMED as error:
        raise _refusal(data, error) from None
    return message.event()


def _refusal(data: str | bytes, error: Exception) -> ProtocolError:
    """Tells an unknown type from a malformed event; off the hot path, so it reads twice."""
    try:
        type_ = _any.decode(data).type
    except _MALFORMED:
        return ProtocolError(f"the model sent a malformed event: {error}")
    if type_ in _TYPES:
        return ProtocolError(f"the model sent a malformed {type_}: {error}")
    return UnknownMessage(type_)


def append_audio(payload: str) -> bytes:
    """The event that sends the caller's audio on. `payload`: base64 µ-law, checked already."""
    return f'{{"type":"input_audio_buffer.append","audio":"{payload}"}}'.encode()


def encode(command: ToModel, agent: Agent) -> str:
    """The client event that carries out a command. `agent`: whose settings and instructions."""
    event: dict[str, Any]
    match command:
        case ConfigureSession(event_id, speaks):
            return session_update(agent, event_id, speaks=speaks)
        case AddMessage(event_id, role, text, item_id, after):
            # OpenAI: what the assistant said is output, whoever writes it into the history.
            kind = "output_text" if role == "assistant" else "input_text"
            content = [{"type": kind, "text": text}]
            named = {"id": item_id} if item_id else {}
            event = _new_item(
                event_id, {**named, "type": "message", "role": role, "content": content}
            )
            if after:
                event["previous_item_id"] = after
        case AddToolOutput(event_id, call_id, output):
            event = _new_item(
                event_id, {"type": "function_call_output", "call_id": call_id, "output": output}
            )
        case CreateResponse(event_id, direction):
            event = {"type": "response.create", "event_id": event_id}
            if direction:
                # OpenAI: these instructions stand in for the session's, they are not added.
                instructions = f"{agent.instructions}\n\n{direction}"
                event["response"] = {"instructions": instructions, "tool_choice": "none"}
        case CancelResponse(event_id, response_id):
            event = {"type": "response.cancel", "event_id": event_id}
            if not response_id.startswith(OURS):  # else the server did not name it
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


def _new_item(event_id: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "conversation.item.create", "event_id": event_id, "item": item}
