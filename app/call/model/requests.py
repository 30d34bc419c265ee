"""Requests to the model: each is a command under an id of its own, which a refusal names."""

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
from app.call.ids import Ids
from app.call.optional_settings import Setting
from app.call.outbox import Outbox


class ModelRequests:
    """Sends requests to the present session. Each method returns the id of what it sent, for parts
    that want to know when it is refused (`ModelFaulted.cause_event_id`)."""

    def __init__(self, outbox: Outbox[ToModel], ids: Ids) -> None:
        self._outbox = outbox
        self._ids = ids

    def _send(self, command: ToModel) -> str:
        self._outbox.put(command)
        return command.event_id

    def configure(self, *, speaks: bool, without: tuple[Setting, ...]) -> str:
        """Send the agent's settings, see `ConfigureSession`. `SessionSettings` calls this."""
        return self._send(ConfigureSession(self._ids.event(), speaks, without))

    def set_turn_detection(self, *, automatic: bool) -> str:
        """Say whether turn detection acts by itself, see `SetTurnDetection`."""
        return self._send(SetTurnDetection(self._ids.event(), automatic))

    def add_message(self, role: str, text: str, item_id: str = "", after: str = "") -> str:
        """Add a message to the conversation, see `AddMessage`."""
        return self._send(AddMessage(self._ids.event(), role, text, item_id, after))

    def add_tool_output(self, call_id: str, output: str) -> str:
        """Add a tool's answer to the conversation."""
        return self._send(AddToolOutput(self._ids.event(), call_id, output))

    def create_response(self, direction: str) -> str:
        """Request a response, see `CreateResponse`."""
        return self._send(CreateResponse(self._ids.event(), direction))

    def cancel_response(self, response_id: str) -> str:
        """Cancel the active response."""
        return self._send(CancelResponse(self._ids.event(), response_id))

    def truncate(self, item_id: str, audio_end_ms: int) -> str:
        """Truncate an item to what the caller heard of it."""
        return self._send(TruncateItem(self._ids.event(), item_id, audio_end_ms))

    def delete(self, item_id: str) -> str:
        """Delete an item."""
        return self._send(DeleteItem(self._ids.event(), item_id))
