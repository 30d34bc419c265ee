"""Deadlines: monotonic milliseconds, and the next one."""

#: No deadline.
NEVER = float("inf")


def next_after(now_ms: float, *moments_ms: float) -> float:
    """The earliest of these deadlines after `now_ms`; NEVER if there is none. A deadline that has
    passed waits for an event, not for the timer, so it must not hide the later ones."""
    next_ms = NEVER
    for at_ms in moments_ms:  # a loop, because every event asks
        if now_ms < at_ms < next_ms:
            next_ms = at_ms
    return next_ms
