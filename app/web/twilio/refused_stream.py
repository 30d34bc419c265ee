"""Why a media socket was not let in: told in one line, and to the call that it was for."""

import logging

from starlette.types import Scope

from app.bridge.switchboard import Switchboard
from app.web.twilio.request import Gate, fault_fields
from app.wires.twilio.signature import Fault

logger = logging.getLogger(__name__)

NO_UPGRADE = Fault(
    "the request is no WebSocket handshake",
    "a proxy in front must pass the headers Upgrade and Connection on",
)
_GOOD_ONCE = "every stream URL is good once, in the process that made it, and for 30 s"


def report_refused_stream(
    scope: Scope, ticket: str, cause: str = "", message: str = "media socket refused"
) -> None:
    """Log why a handshake was refused, and tell the call whose ticket it bore. `cause`: empty for
    what is wrong with the handshake itself."""
    gate: Gate = scope["app"].state.gate
    switchboard: Switchboard = scope["app"].state.switchboard
    if cause:
        fault = Fault(cause, "")
    elif scope["type"] != "websocket":
        fault = NO_UPGRADE
    elif not gate.admits_stream(scope):
        fault = gate.fault(scope)
    else:
        fault = Fault(switchboard.ticket_fault(ticket), _GOOD_ONCE)
    logger.warning(message, extra={"peer": gate.peer(scope), **fault_fields(fault)})
    switchboard.handshake_refused(ticket, "; ".join(filter(None, (fault.reason, fault.fix))))
