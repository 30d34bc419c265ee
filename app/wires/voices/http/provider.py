"""A speech server of the owner's as a provider."""

from typing import Literal

from pydantic import Field, model_validator

from app.errors import ConfigError
from app.wires.form import Text, fault
from app.wires.voices.http.settings import Body, HttpSettings
from app.wires.voices.http.voice import HttpVoice
from app.wires.voices.provider import Provider, ProviderForm, SampleRate


class HttpForm(ProviderForm):
    """A speech server of the owner's, by the custom HTTP text-to-speech standard."""

    #: Who speaks.
    provider: Literal["http"] = "http"
    #: Where texts are posted to.
    url: Text = Field(description="the address of your speech server")
    #: Whether `url` may be plain http on another machine.
    allow_http: bool = False
    #: Which of the server's voices.
    name: Text | None = Field(
        default=None, serialization_alias="voice_id", description="a voice's name"
    )
    #: In Hz. With 8000 nothing is resampled.
    sample_rate: SampleRate = None
    #: How a text is posted: `json` as the standard's sample server reads it, or `form` as the
    #: standard's table of fields has it.
    body: Body = "json"
    #: How the voice feels.
    emotion: Literal["neutral", "happy", "sad"] | None = None
    #: Sent to the server with each text.
    user_data: Text | None = Field(default=None, description="text")

    def settings(self, language: str) -> HttpSettings:
        return HttpSettings(**self.given())

    @model_validator(mode="after")
    def _can_be_used(self) -> "HttpForm":
        try:
            self.settings("")
        except ConfigError as error:
            raise fault("{said}", said=error.problems[0]) from None
        return self


HTTP = Provider("http", (HttpForm,), HttpSettings, HttpVoice)
