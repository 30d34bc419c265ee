"""Qwen as a provider: the voices of Alibaba Cloud Model Studio (DashScope)."""

from typing import Literal

from pydantic import Field

from app.wires.form import Text
from app.wires.voices.provider import (
    ModelName,
    Provider,
    ProviderForm,
    Ratio,
    SampleRate,
    WebSocketUrl,
)
from app.wires.voices.qwen.settings import Mode, QwenSettings
from app.wires.voices.qwen.voice import QwenVoice

# DashScope: Qwen-TTS Realtime API, `language_type`. Any other language is "Auto".
_LANGUAGES = {
    "zh": "Chinese",
    "en": "English",
    "de": "German",
    "it": "Italian",
    "pt": "Portuguese",
    "es": "Spanish",
    "ja": "Japanese",
    "ko": "Korean",
    "fr": "French",
    "ru": "Russian",
}


class QwenForm(ProviderForm):
    """A voice of Alibaba Cloud Model Studio (DashScope)."""

    #: Who speaks.
    provider: Literal["qwen"] = "qwen"
    #: Which of the provider's voices.
    name: Text | None = Field(
        default=None, serialization_alias="voice", description="a voice's name, such as 'Cherry'"
    )
    #: Which of the provider's models.
    model: ModelName = None
    #: `commit` keeps one session for all texts; `server_commit` opens one for each.
    mode: Mode = "commit"
    #: The server, in the region that the key belongs to.
    url: WebSocketUrl = None
    #: The workspace that is billed; without it the key's default one.
    workspace: Text | None = Field(default=None, description="the id of a workspace")
    #: In Hz. With 8000 nothing is resampled.
    sample_rate: SampleRate = None
    #: Without it, the agent's language.
    language: Text | None = Field(
        default=None,
        serialization_alias="language_type",
        description="a language as the provider names it, such as 'German'",
    )
    #: How fast it speaks; 1.0 is normal.
    speed: Ratio = Field(default=None, serialization_alias="speech_rate")
    #: How loud it speaks.
    volume: float | None = Field(default=None, ge=0, le=100, multiple_of=1)
    #: How high it speaks; 1.0 is normal.
    pitch: Ratio = Field(default=None, serialization_alias="pitch_rate")
    #: How to speak, in words; for the models with `instruct` in their names.
    instructions: Text | None = Field(default=None, description="text: how to speak")
    #: Whether the provider rewrites `instructions`.
    optimize_instructions: bool | None = None
    #: Whether numbers and signs are written out as words first.
    enable_tn: bool | None = None

    def settings(self, language: str) -> QwenSettings:
        values = {"language_type": _LANGUAGES.get(language, "Auto"), **self.given()}
        if "volume" in values:
            values["volume"] = int(values["volume"])
        return QwenSettings(api_key="", **values)


QWEN = Provider("qwen", (QwenForm,), QwenSettings, QwenVoice)
