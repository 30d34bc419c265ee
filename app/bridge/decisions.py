"""The log line of a decision: what the service gave up, refused or failed to do, and why."""

import logging

logger = logging.getLogger(__name__)


def log_decision(call_sid: str, decision: str, reason: str) -> None:
    """Log what was decided, in a few words, and why. Store both in the call's record as well, with
    `Switchboard.note_decision` or `Leg.record_decision`, which log them too."""
    extra = {"call_sid": call_sid, "decision": decision, "reason": reason}
    logger.warning("call decision", extra=extra)
