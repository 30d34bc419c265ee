"""An application's state with the parts that a test needs, in place of all that the service has."""

from types import SimpleNamespace
from typing import Any

from fastapi import FastAPI

from app.bridge.bus.bus import Bus
from app.bridge.bus.local_bus import LocalBus
from app.records.store import Store
from app.web.app_state import AppState, set_state
from app.web.gate import Gate
from app.wires.twilio.signature import SignatureChecker


class _Absent:
    """A part of the service that the test does not have. Any use of it fails."""


def install_state(
    app: FastAPI, *, store: Store | None = None, bus: Bus | None = None, **parts: Any
) -> AppState:
    """Set the application's state. `store`, `bus`: those of its services. `parts`: of
    `AppState`."""
    absent: Any = _Absent()
    gate = Gate(
        SignatureChecker(""),
        api_token="",
        signed=False,
        stream_signature="require",
        rest_url="",
    )
    usual = {
        "api_token": "",
        "services": SimpleNamespace(store=store, bus=bus or LocalBus(), agent_fault=""),
        "switchboard": absent,
        "reconnects": absent,
        "transfers": absent,
        "outbound": absent,
        "orders": absent,
        "recordings": absent,
        "listening": SimpleNamespace(allowed=True, close=lambda: None),
        "softphone": absent,
        "gate": gate,
        "stream_audio": absent,
        "metrics": absent,
    }
    state = AppState(**(usual | parts))
    set_state(app, state)
    return state
