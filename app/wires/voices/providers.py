"""The providers of external voices: opens voices from their settings and credentials."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from app.call.words.blank import is_blank, stripped
from app.errors import ConfigError
from app.wires.voices.http import HttpSettings, HttpVoice
from app.wires.voices.qwen.voice import QwenSettings, QwenVoice
from app.wires.voices.voice import Voice
from app.wires.voices.volcengine.voice import VolcengineSettings, VolcengineVoice

VoiceSettings = QwenSettings | VolcengineSettings | HttpSettings

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class VoiceSecrets:
    """The providers' credentials from the environment; empty if a variable is not set."""

    dashscope_api_key: str = field(default="", repr=False)
    volcengine_app_id: str = field(default="", repr=False)
    volcengine_access_token: str = field(default="", repr=False)
    volcengine_api_key: str = field(default="", repr=False)
    http_voice_token: str = field(default="", repr=False)
    #: `Name: value`, several separated by `;`.
    http_voice_headers: str = field(default="", repr=False)


def open_voices(voices: tuple[VoiceSettings, ...], secrets: VoiceSecrets) -> tuple[Voice, ...]:
    """The voices, with their credentials. No connection is opened before a line needs one. Call
    `aclose` on each voice at the end.

    Raises:
        ConfigError: a credential is missing, or a setting is invalid.
    """
    problems = dict.fromkeys(line for each in voices for line in _missing(each, secrets))
    if problems:
        raise ConfigError(*problems)
    return tuple(_open(each, secrets) for each in voices)


def _open(settings: VoiceSettings, secrets: VoiceSecrets) -> Voice:
    match settings:
        case QwenSettings():
            return QwenVoice(replace(settings, api_key=secrets.dashscope_api_key))
        case VolcengineSettings():
            return VolcengineVoice(
                replace(
                    settings,
                    app_id=secrets.volcengine_app_id,
                    access_token=secrets.volcengine_access_token,
                    api_key=secrets.volcengine_api_key if settings.transport == "v3" else "",
                )
            )
        case HttpSettings():
            headers = _headers(secrets.http_voice_headers)
            return HttpVoice(replace(settings, token=secrets.http_voice_token, headers=headers))


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    """Parses `Name: value; Name: value`."""
    pairs = [part.partition(":") for part in text.split(";") if not is_blank(part)]
    named = tuple((stripped(name), stripped(value)) for name, _, value in pairs)
    if not all(_HEADER.fullmatch(name) and value for name, value in named):
        raise ConfigError("HTTP_VOICE_HEADERS: expected Name: value, several separated by ;")
    return named


def _missing(settings: VoiceSettings, secrets: VoiceSecrets) -> Iterator[str]:
    expected = f"expected a value, because the agent file's [voice] uses {label(settings)}"
    for name in missing_credentials(settings, secrets):
        yield f"{name}: {expected}"


def missing_credentials(settings: VoiceSettings, secrets: VoiceSecrets) -> list[str]:
    """The environment variables that a voice needs and that are not set."""
    needed: Mapping[str, str] = {}
    if isinstance(settings, QwenSettings):
        needed = {"DASHSCOPE_API_KEY": secrets.dashscope_api_key}
    elif isinstance(settings, VolcengineSettings):
        needed = {
            "VOLCENGINE_APP_ID": secrets.volcengine_app_id,
            "VOLCENGINE_ACCESS_TOKEN": secrets.volcengine_access_token,
        }
        if settings.transport == "v3" and not any(needed.values()):
            needed = {"VOLCENGINE_API_KEY": secrets.volcengine_api_key}
    return [name for name, value in needed.items() if not value]


def label(settings: VoiceSettings) -> str:
    """The voice's name as people see it, such as `qwen/Cherry`."""
    return _open(settings, VoiceSecrets()).label
