"""Memory that a flood took goes back to the system."""

import ctypes
from collections.abc import Callable
from functools import cache


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # only glibc has it
        return None
    return found


def release_free_memory() -> None:
    """Return free memory, where the C library keeps it otherwise. Takes about a millisecond."""
    trim = _trim()
    if trim is not None:
        trim(0)
