"""The model's wire, as the openai package types it: unknown keys forbidden."""

from typing import Any

from openai.types.realtime import RealtimeClientEvent
from pydantic import BaseModel, TypeAdapter

_events: TypeAdapter[BaseModel] = TypeAdapter(RealtimeClientEvent)


def check_client_event(event: dict[str, Any]) -> None:
    """Raises when this is no client event that the openai package knows, key by key."""
    _check_keys(_events.validate_python(event), event["type"])


def _check_keys(value: object, path: str) -> None:
    if isinstance(value, BaseModel):
        assert not value.model_extra, f"{path}: unknown keys {sorted(value.model_extra)}"
        for name in value.model_fields_set:
            _check_keys(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            _check_keys(each, f"{path}[{index}]")
