"""The one line of the log about what the service decides by itself: given up, refused, failed."""

import logging

logger = logging.getLogger(__name__)


def log_decision(call_sid: str, decision: str, reason: str) -> None:
    """`decision`: what is done, in a few words; `reason`: why. The call's record has both too."""
    extra = {"call_sid": call_sid, "decision": decision, "reason": reason}
    logger.warning("call decision", extra=extra)
