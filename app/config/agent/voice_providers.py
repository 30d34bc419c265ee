"""The forms of voices: the keys that each provider takes in the agent file's [voice].

The names of the provider's own settings are serialization aliases: `settings` hands a form's values
on under those.
"""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from app.call.agent import Voice as OwnVoice
from app.config.agent.forms import Form, Text, fault
from app.errors import ConfigError
from app.wires.voices.http import HttpSettings
from app.wires.voices.providers import VoiceSettings
from app.wires.voices.qwen.voice import QwenSettings
from app.wires.voices.voice import is_here
from app.wires.voices.volcengine.voice import VolcengineSettings

OWN_VOICE = OwnVoice()
PROVIDERS = ("openai", "qwen", "volcengine", "http")
EXPECTED_PROVIDER = "'openai', 'qwen', 'volcengine' or 'http'"
_RATIO = "a number from 0.5 to 2"
_QWEN_LANGUAGES = {
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


def _secure(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError
    if parts.scheme == "ws" and not is_here(parts.hostname):
        raise fault("expected wss, because the credentials go there")
    return value


WebSocketUrl = Annotated[str, AfterValidator(_secure)]


class OpenAIForm(Form):
    """The model's own voice."""

    #: Who speaks.
    provider: Literal["openai"] = Field(default="openai", description=EXPECTED_PROVIDER)
    #: Which of the model's voices.
    name: Text = Field(default=OWN_VOICE.name, description="a voice's name, such as 'marin'")
    #: How fast it speaks.
    speed: float = Field(
        default=OWN_VOICE.speed, ge=0.25, le=1.5, description="a number from 0.25 to 1.5"
    )

    def own(self) -> OwnVoice:
        return OwnVoice(self.name, self.speed)


class ExternalForm(Form):
    """What all external voices have in common."""

    def settings(self, language: str) -> VoiceSettings:
        """The voice, without its secrets. `language`: of the agent, ISO 639-1."""
        raise NotImplementedError

    def _given(self) -> dict[str, Any]:
        """The keys that were set, under the names of the provider's settings."""
        return self.model_dump(by_alias=True, exclude_none=True, exclude={"provider"})


class QwenForm(ExternalForm):
    """A voice of Alibaba Cloud Model Studio (DashScope)."""

    #: Who speaks.
    provider: Literal["qwen"] = Field(default="qwen", description=EXPECTED_PROVIDER)
    #: Which of the provider's voices.
    name: Text | None = Field(
        default=None, serialization_alias="voice", description="a voice's name, such as 'Cherry'"
    )
    #: Which of the provider's models.
    model: Text | None = Field(default=None, description="a model's name")
    #: `commit` keeps one session for all texts; `server_commit` opens one for each.
    mode: Literal["commit", "server_commit"] = Field(
        default="commit", description="'commit' or 'server_commit'"
    )
    #: The server, in the region that the key belongs to.
    url: WebSocketUrl | None = Field(
        default=None, description="an address such as wss://example.com/path"
    )
    #: The workspace that is billed; without it the key's default one.
    workspace: Text | None = Field(default=None, description="the id of a workspace")
    #: In Hz. With 8000 nothing is resampled.
    sample_rate: Literal[8000, 16000, 24000, 48000] | None = Field(
        default=None, description="8000, 16000, 24000 or 48000"
    )
    #: Without it, the agent's language.
    language: Text | None = Field(
        default=None,
        serialization_alias="language_type",
        description="a language as the provider names it, such as 'German'",
    )
    #: How fast it speaks; 1.0 is normal.
    speed: float | None = Field(
        default=None, ge=0.5, le=2, serialization_alias="speech_rate", description=_RATIO
    )
    #: How loud it speaks.
    volume: float | None = Field(
        default=None, ge=0, le=100, multiple_of=1, description="a whole number from 0 to 100"
    )
    #: How high it speaks; 1.0 is normal.
    pitch: float | None = Field(
        default=None, ge=0.5, le=2, serialization_alias="pitch_rate", description=_RATIO
    )
    #: How to speak, in words; for the models with `instruct` in their names.
    instructions: Text | None = Field(default=None, description="text: how to speak")
    #: Whether the provider rewrites `instructions`.
    optimize_instructions: bool | None = Field(default=None, description="true or false")
    #: Whether numbers and signs are written out as words first.
    enable_tn: bool | None = Field(default=None, description="true or false")

    def settings(self, language: str) -> QwenSettings:
        known = {"language_type": _QWEN_LANGUAGES.get(language, "Auto")}
        volume = {} if self.volume is None else {"volume": int(self.volume)}
        return QwenSettings(api_key="", **{**known, **self._given(), **volume})


class VolcengineForm(ExternalForm):
    """What both protocols of Volcengine's voices take."""

    #: Who speaks.
    provider: Literal["volcengine"] = Field(default="volcengine", description=EXPECTED_PROVIDER)
    #: The `voice_type`.
    name: Text = Field(
        serialization_alias="voice_type", description="the voice_type that you bought"
    )
    #: The server, if it is not the provider's usual one.
    url: WebSocketUrl | None = Field(
        default=None, description="an address such as wss://example.com/path"
    )
    #: In Hz. With 8000 nothing is resampled.
    sample_rate: Literal[8000, 16000, 24000] | None = Field(
        default=None, serialization_alias="rate", description="8000, 16000 or 24000"
    )
    #: Which of the provider's models.
    model: Text | None = Field(default=None, description="a model's name")
    #: How the voice feels, if it can.
    emotion: Text | None = Field(default=None, description="an emotion, such as 'happy'")
    #: Whether `emotion` is applied.
    enable_emotion: bool | None = Field(default=None, description="true or false")
    #: How strong the emotion is.
    emotion_scale: float | None = Field(
        default=None, ge=1, le=5, description="a number from 1 to 5"
    )
    #: Whether requests are compressed.
    gzip: bool = Field(default=False, description="true or false")


class VolcengineV1Form(VolcengineForm):
    """A voice of Volcengine, over its first protocol."""

    #: The protocol.
    transport: Literal["v1"] = Field(default="v1", description="'v1' or 'v3'")
    #: How fast it speaks; 1.0 is normal.
    speed: float | None = Field(
        default=None, ge=0.5, le=2, serialization_alias="speed_ratio", description=_RATIO
    )
    #: How loud it speaks; 1.0 is normal.
    volume: float | None = Field(
        default=None, ge=0.5, le=2, serialization_alias="volume_ratio", description=_RATIO
    )
    #: How high it speaks; 1.0 is normal.
    pitch: float | None = Field(
        default=None,
        ge=0.1,
        le=3,
        serialization_alias="pitch_ratio",
        description="a number from 0.1 to 3",
    )
    #: `submit` streams the audio; `query` answers with all of it at once.
    operation: Literal["submit", "query"] = Field(
        default="submit", description="'submit' or 'query'"
    )
    #: Where the voice runs: `volcano_icl` for a cloned one.
    cluster: Text | None = Field(default=None, description="a cluster's name")
    #: The language of the text.
    language: Text | None = Field(
        default=None,
        serialization_alias="explicit_language",
        description="a language as the provider names it, such as 'en'",
    )
    #: Further parameters of the provider's.
    extra_param: Text | None = Field(default=None, description="JSON as a string")

    def settings(self, language: str) -> VolcengineSettings:
        return VolcengineSettings(**self._given())


class VolcengineV3Form(VolcengineForm):
    """A voice of Volcengine, over its third protocol."""

    #: The protocol.
    transport: Literal["v3"] = Field(description="'v1' or 'v3'")
    #: How fast it speaks; 1.0 is normal.
    speed: float | None = Field(default=None, ge=0.5, le=2, description=_RATIO)
    #: How loud it speaks; 1.0 is normal.
    volume: float | None = Field(default=None, ge=0.5, le=2, description=_RATIO)
    #: Which family of voices, such as `seed-tts-2.0`.
    resource_id: Text | None = Field(default=None, description="the id of a resource")
    #: Further parameters of the provider's.
    additions: Text | None = Field(default=None, description="JSON as a string")

    def settings(self, language: str) -> VolcengineSettings:
        given = self._given()
        for key, theirs in (("speed", "speech_rate"), ("volume", "loudness_rate")):
            if key in given:  # they count in percent above or below the normal
                given[theirs] = round((given.pop(key) - 1) * 100)
        return VolcengineSettings(**given)


class HttpForm(ExternalForm):
    """A speech server of the owner's, by the custom HTTP text-to-speech standard."""

    #: Who speaks.
    provider: Literal["http"] = Field(default="http", description=EXPECTED_PROVIDER)
    #: Where texts are posted to.
    url: Text = Field(description="the address of your speech server")
    #: Whether `url` may be plain http on another machine.
    allow_http: bool = Field(default=False, description="true or false")
    #: Which of the server's voices.
    name: Text | None = Field(
        default=None, serialization_alias="voice_id", description="a voice's name"
    )
    #: In Hz. With 8000 nothing is resampled.
    sample_rate: Literal[8000, 16000, 24000, 48000] | None = Field(
        default=None, description="8000, 16000, 24000 or 48000"
    )
    #: How the voice feels.
    emotion: Literal["neutral", "happy", "sad"] | None = Field(
        default=None, description="'neutral', 'happy' or 'sad'"
    )
    #: Sent to the server with each text.
    user_data: Text | None = Field(default=None, description="text")

    @model_validator(mode="after")
    def _can_be_used(self) -> "HttpForm":
        try:
            self.settings("")
        except ConfigError as error:
            raise fault("{said}", said=error.problems[0]) from None
        return self

    def settings(self, language: str) -> HttpSettings:
        return HttpSettings(**self._given())
