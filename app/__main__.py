"""`python -m app`."""

import os
import signal
import sys
from types import FrameType


def _leave(number: int, _frame: FrameType | None) -> None:
    """While modules are imported nothing is open yet: go, without a traceback."""
    os._exit(0 if _serves() else 128 + number)


def _serves() -> bool:
    return sys.argv[1:2] == ["serve"]


def main() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, _leave) for number in numbers}
    from app.cli.root import cli  # takes a second

    if not _serves():  # which goes on opening things for a while
        for number, handler in before.items():
            signal.signal(number, handler)
    try:
        cli()
    finally:
        if _serves():  # all is closed: nothing is left to stop, and the exit status stands
            for number in numbers:
                signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    main()
