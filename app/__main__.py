"""`python -m app COMMAND`: signals while Python still imports, then the command line."""

import gc
import os
import signal
import sys
from types import FrameType


def _exit(number: int, _frame: FrameType | None) -> None:
    """End without a traceback: nothing is open while modules are imported."""
    os._exit(0 if _serves() else 128 + number)


def _serves() -> bool:
    return sys.argv[1:2] == ["serve"]


def main() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, _exit) for number in numbers}
    gc.disable()  # modules stay: looking for garbage among them takes a fifth of the start
    from app.cli.root import cli  # takes a second

    gc.enable()
    if not _serves():  # serve installs its own handlers, a moment later
        for number, handler in before.items():
            signal.signal(number, handler)
    try:
        cli()
    finally:
        if _serves():  # everything is closed: a late signal must not change the exit status
            for number in numbers:
                signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    main()
