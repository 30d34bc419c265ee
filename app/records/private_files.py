"""Files and folders that only their owner may look into: people talk in them.

What is new is made so from the start, and not changed afterwards: in between, others could open it.
"""

import logging
import os
import stat
from collections.abc import Iterable
from pathlib import Path

logger = logging.getLogger(__name__)

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def private_folder(folder: Path) -> None:
    """Make a folder that is missing, with those above it; one that is there stays as it is. Raises
    OSError."""
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    for each in reversed(missing):
        try:
            each.mkdir(mode=0o700)
        except FileExistsError:
            if not each.is_dir():
                raise


def new_private_file(path: Path) -> None:
    """Make an empty file. Raises FileExistsError, and any other OSError."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
    os.close(os.open(path, flags, 0o600))


def fresh_private_file(path: Path) -> None:
    """An empty file in place of whatever is there: who has that open reads nothing of the new one.
    Raises OSError."""
    path.unlink(missing_ok=True)
    new_private_file(path)


def narrow(paths: Iterable[Path]) -> None:
    """Take from files that are there what others may do with them, and say so; where that is not
    ours to change, say who can. A file that is missing is left out."""
    for path in paths:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            if os.name != "posix" or not mode & _OTHERS:
                continue
            path.chmod(mode & ~_OTHERS)
        except FileNotFoundError:
            continue
        except OSError as error:
            extra = {"file": str(path), "cause": error.strerror, "fix": f"chmod 600 {path}"}
            logger.warning("file is open to others, and not ours to close", extra=extra)
        else:
            extra = {"file": str(path), "before": oct(mode)}
            logger.warning("file was open to others, and is its owner's alone now", extra=extra)
