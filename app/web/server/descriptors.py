"""How many files the process may open: sockets are files."""

import sys

ENOUGH = 4096
"""For the most connections, a hundred calls and all else; more is not asked for."""


def raise_limit() -> None:
    """Raise the soft limit as far as it helps and the hard one allows."""
    if sys.platform == "win32":
        return
    import resource  # not there on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):  # what there is has to do
        return


def limit() -> int:
    """How many files may be open at a time."""
    if sys.platform == "win32":
        return ENOUGH
    import resource  # not there on Windows

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return ENOUGH if soft == resource.RLIM_INFINITY else soft
