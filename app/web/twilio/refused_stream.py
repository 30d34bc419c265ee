"""Report a refused media socket: in the log, and to the call that its ticket belongs to."""

import logging

from starlette.types import Scope

from app.web.app_state import state_of
from app.web.twilio.request import fault_fields
from app.wires.twilio.signature import Fault

logger = logging.getLogger(__name__)

NO_UPGRADE = Fault(
    "the request is not a WebSocket handshake",
    "a proxy in front must forward the headers Upgrade and Connection",
)
_VALID_ONCE = "every stream URL is valid once, in the process that made it, for 30 s"
_VALID_ANYWHERE = "every stream URL is valid once, for 30 s, where the secrets are the same"


def report_refused_stream(
    scope: Scope, ticket: str, cause: str = "", message: str = "media socket refused"
) -> None:
    """Log why a media socket was refused, and tell the call of its ticket.

    `cause`: the reason; empty to find out what is wrong with the handshake. `message`: the log
    message.
    """
    state = state_of(scope["app"])
    gate, streams = state.gate, state.switchboard.streams
    if cause:
        fault = Fault(cause, "")
    elif scope["type"] != "websocket":
        fault = NO_UPGRADE
    elif not (streams.is_softphone(ticket) or gate.admits_stream(scope)):
        fault = gate.fault(scope)
    else:
        fix = _VALID_ANYWHERE if state.services.bus.shared else _VALID_ONCE
        fault = Fault(streams.ticket_fault(ticket), fix)
    call_sid = streams.handshake_refused(ticket, "; ".join(filter(None, (fault.reason, fault.fix))))
    about = {"call_sid": call_sid} if call_sid else {}
    logger.warning(message, extra={"peer": gate.peer(scope), **fault_fields(fault), **about})
