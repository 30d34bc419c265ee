"""The log lines of a leg's events and commands: what went wrong, and what replaced what."""

import logging

from app.call import commands as do
from app.call import events as ev

logger = logging.getLogger(__name__)

#: The events that `log_event` logs.
LOGGED_EVENTS = frozenset((ev.ModelLost, ev.SuccessorLost, ev.ModelFaulted, ev.HangUpFailed))


def log_event(call_sid: str, message: ev.Event | do.Command) -> None:
    """Log this event or command, if it is one that the owner of the service looks for."""
    match message:
        case ev.ModelLost(reason, fatal):
            extra = {"call_sid": call_sid, "reason": reason, "fatal": fatal}
            logger.warning("no model session", extra=extra)
        case ev.SuccessorLost(reason):
            extra = {"call_sid": call_sid, "reason": reason}
            logger.warning("no successor of the model session", extra=extra)
        case do.SwapModel():
            logger.info("model session replaced by its successor", extra={"call_sid": call_sid})
        case ev.ModelFaulted(code, error):
            extra = {"call_sid": call_sid, "code": code, "error": error}
            logger.warning("model reported an error", extra=extra)
        case ev.HangUpFailed(reason):
            extra = {"call_sid": call_sid, "reason": reason}
            logger.error("hang-up failed", extra=extra)
