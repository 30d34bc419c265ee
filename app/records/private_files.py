"""Files and folders that only their owner may read: they hold what people said on the phone.

New ones are created with those permissions, not changed afterwards: in between, others could open
them.
"""

import logging
import os
import stat
from collections.abc import Iterable
from pathlib import Path

logger = logging.getLogger(__name__)

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def private_folder(folder: Path) -> None:
    """Create a missing folder and its parents. Existing ones keep their permissions. Raises
    OSError."""
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    for each in reversed(missing):
        try:
            each.mkdir(mode=0o700)
        except FileExistsError:
            if not each.is_dir():
                raise


def new_private_file(path: Path) -> None:
    """Create an empty file. Raises FileExistsError, and any other OSError."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
    os.close(os.open(path, flags, 0o600))


def fresh_private_file(path: Path) -> None:
    """Replace a file by a new empty one: a process that has the old one open cannot read the new.
    Raises OSError."""
    path.unlink(missing_ok=True)
    new_private_file(path)


def narrow(paths: Iterable[Path]) -> None:
    """Remove the permissions of others from existing files, and log that. Where that is not
    permitted, log the command that does it. Missing files are ignored."""
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
