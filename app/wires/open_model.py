"""Chooses the kind of model that calls speak with: the one place that knows all kinds."""

from functools import partial

from app.wires.model import OpenWire
from app.wires.realtime.endpoint import Endpoint
from app.wires.realtime.wire import RealtimeWire


def open_model(endpoint: Endpoint) -> OpenWire:
    """What makes the wires to the model at this endpoint."""
    return partial(RealtimeWire, endpoint)
