"""Volcengine as a provider, with one form for each of its two protocols."""

from typing import Annotated, Literal

from pydantic import Field

from app.wires.form import Text
from app.wires.voices.provider import (
    ModelName,
    Provider,
    ProviderForm,
    Ratio,
    WebSocketUrl,
)
from app.wires.voices.volcengine.settings import VolcengineSettings
from app.wires.voices.volcengine.voice import VolcengineVoice

_TRANSPORT = "'v1' or 'v3'"
_Json = Annotated[Text | None, Field(description="JSON as a string")]


class VolcengineForm(ProviderForm):
    """What both protocols of Volcengine's voices take."""

    #: Who speaks.
    provider: Literal["volcengine"] = "volcengine"
    #: The `voice_type`.
    name: Text = Field(
        serialization_alias="voice_type", description="the voice_type that you bought"
    )
    #: The server, if it is not the provider's usual one.
    url: WebSocketUrl = None
    #: In Hz. With 8000 nothing is resampled.
    sample_rate: Literal[8000, 16000, 24000] | None = Field(
        default=None, serialization_alias="rate"
    )
    #: Which of the provider's models.
    model: ModelName = None
    #: How the voice feels, if it can.
    emotion: Text | None = Field(default=None, description="an emotion, such as 'happy'")
    #: Whether `emotion` is applied.
    enable_emotion: bool | None = None
    #: How strong the emotion is.
    emotion_scale: float | None = Field(default=None, ge=1, le=5)
    #: Whether requests are compressed.
    gzip: bool = False

    def settings(self, language: str) -> VolcengineSettings:
        return VolcengineSettings(**self.given())


class VolcengineV1Form(VolcengineForm):
    """A voice of Volcengine, over its first protocol."""

    #: The protocol.
    transport: Literal["v1"] = Field(default="v1", description=_TRANSPORT)
    #: How fast it speaks; 1.0 is normal.
    speed: Ratio = Field(default=None, serialization_alias="speed_ratio")
    #: How loud it speaks; 1.0 is normal.
    volume: Ratio = Field(default=None, serialization_alias="volume_ratio")
    #: How high it speaks; 1.0 is normal.
    pitch: float | None = Field(default=None, ge=0.1, le=3, serialization_alias="pitch_ratio")
    #: `submit` streams the audio; `query` answers with all of it at once.
    operation: Literal["submit", "query"] = "submit"
    #: Where the voice runs: `volcano_icl` for a cloned one.
    cluster: Text | None = Field(default=None, description="a cluster's name")
    #: The language of the text.
    language: Text | None = Field(
        default=None,
        serialization_alias="explicit_language",
        description="a language as the provider names it, such as 'en'",
    )
    #: Further parameters of the provider's.
    extra_param: _Json = None


class VolcengineV3Form(VolcengineForm):
    """A voice of Volcengine, over its third protocol."""

    #: The protocol.
    transport: Literal["v3"] = Field(description=_TRANSPORT)
    #: How fast it speaks; 1.0 is normal.
    speed: Ratio = Field(default=None, serialization_alias="speech_rate")
    #: How loud it speaks; 1.0 is normal.
    volume: Ratio = Field(default=None, serialization_alias="loudness_rate")
    #: Which family of voices, such as `seed-tts-2.0`.
    resource_id: Text | None = Field(default=None, description="the id of a resource")
    #: Further parameters of the provider's.
    additions: _Json = None

    def settings(self, language: str) -> VolcengineSettings:
        values = self.given()
        for key in {"speech_rate", "loudness_rate"} & values.keys():
            values[key] = round((values[key] - 1) * 100)  # percent above or below the normal
        return VolcengineSettings(**values)


VOLCENGINE = Provider(
    "volcengine", (VolcengineV1Form, VolcengineV3Form), VolcengineSettings, VolcengineVoice
)
