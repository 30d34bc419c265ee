"""Chooses the kind of model that calls speak with: the one place that knows all kinds."""

from functools import partial

from app.wires.model import OpenWire
from app.wires.realtime.wire import RealtimeWire


def open_model(url: str, model: str, api_key: str) -> OpenWire:
    """What makes the wires to a model.

    Args:
        url: The endpoint, ws or wss, without query.
        model: Its name.
        api_key: Empty: the embedded model needs none.
    """
    return partial(RealtimeWire, url, model, api_key)
