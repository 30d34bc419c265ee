"""Deadlines: moments in monotonic milliseconds, and the next of them."""

NEVER = float("inf")


def next_after(now_ms: float, *moments_ms: float) -> float:
    """The next of these moments that is still to come. One that is past waits for something else to
    happen, and must not hide the others."""
    return min((at_ms for at_ms in moments_ms if at_ms > now_ms), default=NEVER)
