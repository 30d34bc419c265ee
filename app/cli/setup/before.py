"""What a number did before `setup` changed it, for `--undo`."""

import json
from dataclasses import asdict
from pathlib import Path

from app.errors import ConfigError
from app.records.private_files import fresh_private_file
from app.wires.twilio.account import PhoneNumber, VoiceConfig

#: In the working directory, beside `.env`.
KEPT = Path(".phone-agent-setup.json")


def remember(account_sid: str, number: PhoneNumber, after: VoiceConfig) -> None:
    """Keep what the number does now. What an earlier `setup` kept stays, unless the
    number was changed by other means since.

    `after`: what it does next.

    Raises:
        ConfigError: the file cannot be read or written.
    """
    kept = _read()
    key = f"{account_sid}/{number.sid}"
    earlier = kept.get(key)
    before = number.voice
    if earlier is not None and _voice(earlier, "after") == number.voice:
        before = _voice(earlier, "before")
    kept[key] = {"number": number.number, "before": asdict(before), "after": asdict(after)}
    _write(kept)


def remembered(account_sid: str, number: PhoneNumber) -> tuple[VoiceConfig, VoiceConfig] | None:
    """What a number did before `setup`, and what `setup` made of it; None: it changed nothing.

    Raises:
        ConfigError: the file cannot be read.
    """
    kept = _read().get(f"{account_sid}/{number.sid}")
    return None if kept is None else (_voice(kept, "before"), _voice(kept, "after"))


def numbers_remembered(account_sid: str) -> list[str]:
    """The numbers of an account that `setup` changed, E.164. Raises as `remembered` does."""
    return [
        str(each.get("number", ""))
        for key, each in _read().items()
        if key.startswith(f"{account_sid}/")
    ]


def forget(account_sid: str, number: PhoneNumber) -> None:
    """It is put back. Raises as `remember` does."""
    kept = _read()
    kept.pop(f"{account_sid}/{number.sid}", None)
    _write(kept)


def _voice(kept: dict[str, object], when: str) -> VoiceConfig:
    try:
        fields = kept[when]
        return VoiceConfig(**fields)  # type: ignore[arg-type]
    except (KeyError, TypeError):
        raise _damaged() from None


def _read() -> dict[str, dict[str, object]]:
    try:
        kept = json.loads(KEPT.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise _damaged() from None
    if not isinstance(kept, dict) or not all(isinstance(each, dict) for each in kept.values()):
        raise _damaged()
    return kept


def _write(kept: dict[str, dict[str, object]]) -> None:
    try:
        if not kept:
            KEPT.unlink(missing_ok=True)
            return
        written = KEPT.with_name(f"{KEPT.name}.new")
        fresh_private_file(written)
        written.write_text(json.dumps(kept, indent=2), encoding="utf-8")
        written.replace(KEPT)
    except OSError as error:
        raise ConfigError(
            f"{KEPT}: cannot be written: {error.strerror}; run setup in a directory that you may "
            "write, so that --undo works"
        ) from None


def _damaged() -> ConfigError:
    return ConfigError(
        f"{KEPT}: cannot be read; remove it, and configure the number in the console"
    )
