"""The agent file's [voice]: who speaks, the model or an external voice, and who stands in."""

from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from app.call.agent import Voice as OwnVoice
from app.config.agent.forms import Form, Text, fault
from app.errors import ConfigError
from app.wires.voices.http import HttpSettings
from app.wires.voices.providers import VoiceSettings
from app.wires.voices.qwen.voice import QwenSettings
from app.wires.voices.voice import is_here
from app.wires.voices.volcengine.voice import VolcengineSettings

_OPENAI, _QWEN, _VOLCENGINE, _HTTP = PROVIDERS = ("openai", "qwen", "volcengine", "http")
_OWN = OwnVoice()

# Which providers know a key; a key that is not in here is for all.
_FOR: dict[str, tuple[str, ...]] = {
    "speed": (_OPENAI, _QWEN, _VOLCENGINE),
    "url": (_QWEN, _VOLCENGINE, _HTTP),
    "sample_rate": (_QWEN, _VOLCENGINE, _HTTP),
    "model": (_QWEN, _VOLCENGINE),
    "language": (_QWEN, _VOLCENGINE),
    "volume": (_QWEN, _VOLCENGINE),
    "pitch": (_QWEN, _VOLCENGINE),
    "emotion": (_VOLCENGINE, _HTTP),
    "mode": (_QWEN,),
    "workspace": (_QWEN,),
    "instructions": (_QWEN,),
    "optimize_instructions": (_QWEN,),
    "enable_tn": (_QWEN,),
    "transport": (_VOLCENGINE,),
    "operation": (_VOLCENGINE,),
    "cluster": (_VOLCENGINE,),
    "resource_id": (_VOLCENGINE,),
    "enable_emotion": (_VOLCENGINE,),
    "emotion_scale": (_VOLCENGINE,),
    "extra_param": (_VOLCENGINE,),
    "additions": (_VOLCENGINE,),
    "gzip": (_VOLCENGINE,),
    "user_data": (_HTTP,),
    "allow_http": (_HTTP,),
}
# ... and which numbers each takes.
_RANGES: dict[tuple[str, str], tuple[float, float]] = {
    ("speed", _OPENAI): (0.25, 1.5),
    ("speed", _QWEN): (0.5, 2.0),
    ("speed", _VOLCENGINE): (0.5, 2.0),
    ("volume", _QWEN): (0, 100),
    ("volume", _VOLCENGINE): (0.5, 2.0),
    ("pitch", _QWEN): (0.5, 2.0),
    ("pitch", _VOLCENGINE): (0.1, 3.0),
    ("emotion_scale", _VOLCENGINE): (1, 5),
}
_RATES: dict[str, tuple[int, ...]] = {
    _QWEN: (8000, 16000, 24000, 48000),
    _VOLCENGINE: (8000, 16000, 24000),
    _HTTP: (8000, 16000, 24000, 48000),
}
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
_V1_ONLY = ("operation", "cluster", "pitch", "extra_param", "language")
_V3_ONLY = ("resource_id", "additions")


class ProviderForm(Form):
    """One voice. Which keys it takes depends on its provider, which comes first."""

    provider: Literal["openai", "qwen", "volcengine", "http"] = Field(
        default="openai", description="'openai', 'qwen', 'volcengine' or 'http'"
    )
    transport: Literal["v1", "v3"] = Field(default="v1", description="'v1' or 'v3'")
    name: Text | None = Field(default=None, description="a voice's name, such as 'marin'")
    speed: float | None = Field(default=None, description="a number, 1.0 for normal")
    url: Text | None = Field(default=None, description="the address of the provider's server")
    sample_rate: int | None = Field(default=None, description="a sample rate in Hz")
    model: Text | None = Field(default=None, description="a model's name")
    language: Text | None = Field(default=None, description="a language, as the provider names it")
    volume: float | None = Field(default=None, description="a number")
    pitch: float | None = Field(default=None, description="a number, 1.0 for normal")
    emotion: Text | None = Field(default=None, description="an emotion, such as 'happy'")
    mode: Literal["commit", "server_commit"] = Field(
        default="commit", description="'commit' or 'server_commit'"
    )
    workspace: Text | None = Field(default=None, description="the id of a workspace")
    instructions: Text | None = Field(default=None, description="text: how to speak")
    optimize_instructions: bool | None = Field(default=None, description="true or false")
    enable_tn: bool | None = Field(default=None, description="true or false")
    operation: Literal["submit", "query"] = Field(
        default="submit", description="'submit' or 'query'"
    )
    cluster: Text | None = Field(default=None, description="a cluster's name")
    resource_id: Text | None = Field(default=None, description="the id of a resource")
    enable_emotion: bool | None = Field(default=None, description="true or false")
    emotion_scale: float | None = Field(default=None, description="a number from 1 to 5")
    extra_param: Text | None = Field(default=None, description="JSON as a string")
    additions: Text | None = Field(default=None, description="JSON as a string")
    gzip: bool = Field(default=False, description="true or false")
    user_data: Text | None = Field(default=None, description="text")
    allow_http: bool = Field(default=False, description="true or false")

    @field_validator("*")
    @classmethod
    def _fits_provider(cls, value: Any, info: ValidationInfo) -> Any:
        key, provider = str(info.field_name), info.data.get("provider")
        if provider is None:  # it is wrong itself, and that is said
            return value
        takers = _FOR.get(key, PROVIDERS)
        if provider not in takers:
            names = " or ".join(f"'{each}'" for each in takers)
            raise fault("belongs to provider = {names}; remove it or change provider", names=names)
        if provider == _VOLCENGINE:
            transport = info.data.get("transport", "v1")
            wanted = "v1" if key in _V1_ONLY else "v3" if key in _V3_ONLY else transport
            if wanted != transport:
                raise fault(
                    "belongs to transport = '{wanted}'; remove it or change transport",
                    wanted=wanted,
                )
        if key == "sample_rate" and value not in _RATES[provider]:
            rates = [str(each) for each in _RATES[provider]]
            raise _expected(f"{', '.join(rates[:-1])} or {rates[-1]}")
        low, high = _RANGES.get((key, provider), (value, value))
        if not isinstance(value, bool) and isinstance(value, int | float):
            if not low <= value <= high:
                raise _expected(f"a number from {low:g} to {high:g}")
        if key == "volume" and provider == _QWEN and value != int(value):
            raise _expected("a whole number from 0 to 100")
        if key == "emotion" and provider == _HTTP and value not in ("neutral", "happy", "sad"):
            raise _expected("'neutral', 'happy' or 'sad'")
        if key == "url" and provider != _HTTP:
            parts = urlsplit(value)
            if parts.scheme not in ("ws", "wss") or not parts.hostname:
                raise _expected("an address such as wss://example.com/path")
            if parts.scheme == "ws" and not is_here(parts.hostname):
                raise fault("expected wss, because the credentials go there")
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> "ProviderForm":
        if self.provider == _HTTP and not self.url:
            raise fault("provider = 'http' needs a url: the address of your speech server")
        if self.provider == _VOLCENGINE and not self.name:
            raise fault("provider = 'volcengine' needs a name: the voice_type that you bought")
        if self.provider == _HTTP:
            try:
                self.settings("en")
            except ConfigError as error:
                raise fault("{said}", said=error.problems[0]) from None
        return self

    def own(self) -> OwnVoice:
        """The model's own voice, as this describes it."""
        return OwnVoice(self.name or _OWN.name, self.speed or _OWN.speed)

    def settings(self, language: str) -> VoiceSettings:
        """The external voice that this describes, without its secrets. `language`: ISO 639-1, of
        the agent."""
        if self.provider == _QWEN:
            return self._qwen(language)
        return self._volcengine() if self.provider == _VOLCENGINE else self._http()

    def _qwen(self, language: str) -> QwenSettings:
        return QwenSettings(
            api_key="",
            mode=self.mode,
            language_type=self.language or _QWEN_LANGUAGES.get(language, "Auto"),
            speech_rate=self.speed,
            volume=None if self.volume is None else int(self.volume),
            pitch_rate=self.pitch,
            instructions=self.instructions,
            optimize_instructions=self.optimize_instructions,
            enable_tn=self.enable_tn,
            **self._given(
                model="model",
                voice="name",
                url="url",
                workspace="workspace",
                sample_rate="sample_rate",
            ),
        )

    def _volcengine(self) -> VolcengineSettings:
        if self.transport == "v1":
            rates: dict[str, Any] = {
                "speed_ratio": self.speed,
                "volume_ratio": self.volume,
                "pitch_ratio": self.pitch,
            }
        else:
            rates = {"speech_rate": _percent(self.speed), "loudness_rate": _percent(self.volume)}
        return VolcengineSettings(
            transport=self.transport,
            operation=self.operation,
            gzip=self.gzip,
            enable_emotion=self.enable_emotion,
            emotion_scale=self.emotion_scale,
            **rates,
            **self._given(
                voice_type="name",
                url="url",
                rate="sample_rate",
                model="model",
                explicit_language="language",
                emotion="emotion",
                cluster="cluster",
                resource_id="resource_id",
                extra_param="extra_param",
                additions="additions",
            ),
        )

    def _http(self) -> HttpSettings:
        return HttpSettings(
            url=self.url or "",
            allow_http=self.allow_http,
            **self._given(
                voice_id="name", sample_rate="sample_rate", emotion="emotion", user_data="user_data"
            ),
        )

    def _given(self, **names: str) -> dict[str, Any]:
        """The keys that were set, by the provider's names for them: the others have defaults."""
        values = {theirs: getattr(self, ours) for theirs, ours in names.items()}
        return {name: value for name, value in values.items() if value is not None}


class VoiceForm(ProviderForm):
    fallback: list[ProviderForm] = Field(
        default=[], description="an array of providers' names or tables: [[voice.fallback]]"
    )

    @field_validator("fallback", mode="before")
    @classmethod
    def _names_are_short(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [{"provider": each} if isinstance(each, str) else each for each in value]

    @model_validator(mode="after")
    def _own_voice_comes_last(self) -> "VoiceForm":
        if any(each.provider == _OPENAI for each in [*self._all()][:-1]):
            raise fault("nothing can stand in for provider = 'openai': put it last, or remove it")
        return self

    def _all(self) -> Iterator[ProviderForm]:
        yield self
        yield from self.fallback

    def own_voice(self) -> OwnVoice:
        """The model's own, which speaks where no other one does."""
        return next((each.own() for each in self._all() if each.provider == _OPENAI), _OWN)

    def external(self, language: str) -> tuple[VoiceSettings, ...]:
        """The external voices in their order, without their secrets."""
        voices = (each for each in self._all() if each.provider != _OPENAI)
        return tuple(each.settings(language) for each in voices)


def _expected(what: str) -> PydanticCustomError:
    return PydanticCustomError("expected", "{what}", {"what": what})


def _percent(ratio: float | None) -> int | None:
    return None if ratio is None else round((ratio - 1) * 100)
