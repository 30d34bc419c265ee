"""The process's limit of open file descriptors; every socket takes one."""

import sys

#: Enough for the most connections, a hundred calls and everything else.
ENOUGH = 4096


def raise_limit() -> None:
    """Raise the soft limit to `ENOUGH`, or as far as the hard limit allows."""
    if sys.platform == "win32":
        return
    import resource  # not available on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):  # keep the current limit
        return


def limit() -> int:
    """How many file descriptors may be open at a time; `ENOUGH` if there is no limit."""
    if sys.platform == "win32":
        return ENOUGH
    import resource  # not available on Windows

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return ENOUGH if soft == resource.RLIM_INFINITY else soft
