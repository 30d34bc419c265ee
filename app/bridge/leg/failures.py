"""The log lines of what fails on a leg, at the model or at Twilio."""

import logging

from app.call import events as ev

logger = logging.getLogger(__name__)


def log_failure(call_sid: str, event: ev.Event) -> None:
    """Log an event that reports a failure; any other is not logged."""
    match event:
        case ev.ModelLost(reason, fatal):
            extra = {"call_sid": call_sid, "reason": reason, "fatal": fatal}
            logger.warning("no model session", extra=extra)
        case ev.ModelFaulted(code, message):
            extra = {"call_sid": call_sid, "code": code, "error": message}
            logger.warning("model reported an error", extra=extra)
        case ev.HangUpFailed(reason):
            logger.error("hang-up failed", extra={"call_sid": call_sid, "reason": reason})
