"""The table of providers of external voices, and the voices that are opened by it.

A new provider is a folder beside the others, and a line in `PROVIDERS`.
"""

from typing import Any

from app.errors import ConfigError
from app.wires.voices.http.provider import HTTP
from app.wires.voices.provider import Credentials, Provider, VoiceSettings
from app.wires.voices.qwen.provider import QWEN
from app.wires.voices.voice import Voice
from app.wires.voices.volcengine.provider import VOLCENGINE

#: In the order in which messages name them.
PROVIDERS: tuple[Provider[Any], ...] = (
    QWEN,
    VOLCENGINE,
    HTTP,
)

#: The environment variables of all providers.
CREDENTIALS = tuple(dict.fromkeys(name for each in PROVIDERS for name in each.settings.credentials))


def open_voices(voices: tuple[VoiceSettings, ...], credentials: Credentials) -> tuple[Voice, ...]:
    """The voices, with their credentials. No connection is opened before a line needs one. Call
    `aclose` on each voice at the end.

    Raises:
        ConfigError: a credential is missing, or a setting is invalid.
    """
    problems = dict.fromkeys(
        f"{name}: expected a value, because the agent file's [voice] uses {each.label}"
        for each in voices
        for name in missing_credentials(each, credentials)
    )
    if problems:
        raise ConfigError(*problems)
    return tuple(_provider_of(each).voice(each.with_credentials(credentials)) for each in voices)


def missing_credentials(settings: VoiceSettings, credentials: Credentials) -> list[str]:
    """The environment variables that a voice needs and that are not set."""
    return [name for name in settings.needs(credentials) if not credentials[name]]


def priced_characters(label: str) -> int:
    """The unit of a voice's prices: how many characters a price of PRICES_FILE is for."""
    name = label.partition("/")[0]
    return next((each.priced_characters for each in PROVIDERS if each.name == name), 10_000)


def _provider_of(settings: VoiceSettings) -> Provider[Any]:
    return next(each for each in PROVIDERS if isinstance(settings, each.settings))
