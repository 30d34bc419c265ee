"""`.env`: what is missing in it, and written into it, readable by its owner alone."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values, set_key

from app.call.words.blank import stripped
from app.config.leftovers import has_outer_quotes
from app.errors import ConfigError
from app.records.private_files import new_private_file

ENV_FILE = Path(".env")
_PLAIN = re.compile(r"[!-~]+")
_SHOWN = 4


def known(name: str) -> str:
    """The value of a variable, from the environment or `.env`; empty: it is not set.

    Raises:
        ConfigError: `.env` cannot be read.
    """
    found = {key.upper(): value for key, value in os.environ.items()}.get(name, "")
    if stripped(found):
        return stripped(found)
    try:
        listed = dotenv_values(ENV_FILE, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f".env: cannot be read: {error}; save it as text in UTF-8") from None
    values = {key.upper(): value or "" for key, value in listed.items()}
    return stripped(values.get(name, ""))


def is_inherited(name: str) -> bool:
    """Whether the environment sets a variable, so that `.env` has no effect on it."""
    return any(key.upper() == name and stripped(value) for key, value in os.environ.items())


def cleaned(value: str) -> str:
    """A value as it was meant: without spaces around it, and without quotes.

    Raises:
        ConfigError: it has a space, a quote or a control character in it.
    """
    value = stripped(value)
    if has_outer_quotes(value):
        value = stripped(value[1:-1])
    if value and not _PLAIN.fullmatch(value) or {*"\"'`#\\$"} & {*value}:
        raise ConfigError("expected letters, digits and signs without spaces; copy it again")
    return value


def masked(value: str) -> str:
    """A secret as it is shown: its last characters."""
    return f"…{value[-_SHOWN:]}" if len(value) > 2 * _SHOWN else "…"


def write(values: Mapping[str, str]) -> None:
    """Set variables in `.env`; its other lines stay. A new file is readable by its owner alone, and
    so is an old one from now on.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        if not ENV_FILE.exists():
            new_private_file(ENV_FILE)
        target = ENV_FILE.resolve()
        target.chmod(0o600)
        for name, value in values.items():
            set_key(target, name, value, quote_mode="never", encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f".env: cannot be written: {error}; set by hand {', '.join(values)}"
        ) from None
