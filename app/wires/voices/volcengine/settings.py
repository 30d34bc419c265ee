"""The settings of a Volcengine voice, for the v1 and the v3 protocol."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Self
from urllib.parse import urlsplit

from app.wires.voices.provider import Credentials, Facts, VoiceSettings

_SERVICE = "wss://openspeech.bytedance.com"


@dataclass(frozen=True, slots=True)
class VolcengineSettings(VoiceSettings):
    """A Volcengine voice.

    A setting that is None or empty is not sent, so that the service's default applies. Values are
    sent unchanged; the service checks their ranges. The encoding is always `pcm`.
    """

    credentials: ClassVar[tuple[str, ...]] = (
        "VOLCENGINE_APP_ID",
        "VOLCENGINE_ACCESS_TOKEN",
        "VOLCENGINE_API_KEY",
    )

    #: The application's id.
    app_id: str = field(default="", repr=False)
    #: The application's token.
    access_token: str = field(default="", repr=False)
    #: The voice's name.
    voice_type: str = ""
    #: `v1` takes a whole text and has no cancel. `v3` has one, and the second generation's voices.
    transport: Literal["v1", "v3"] = "v1"
    #: v1 only. `submit` streams the sound; `query` returns it in one frame.
    operation: Literal["submit", "query"] = "submit"
    #: v1 only. `volcano_icl` for cloned voices.
    cluster: str = "volcano_tts"
    #: Hz: 8000, 16000 or 24000; v3 also 22050, 32000, 44100 and 48000.
    rate: int = 8000
    #: v1 only. 0.1 to 2.0; cloned voices 0.2 to 3.
    speed_ratio: float | None = None
    #: v1 only. 0.1 to 3.
    volume_ratio: float | None = None
    #: v1 only. 0.1 to 3.
    pitch_ratio: float | None = None
    #: v1 only. 0.5 to 2.0.
    loudness_ratio: float | None = None
    #: For voices that have emotions.
    emotion: str = ""
    #: v1 only.
    enable_emotion: bool | None = None
    #: 1 to 5.
    emotion_scale: float | None = None
    #: v1 only. `zh-cn`, `en`, `ja`, `es-mx`, `id`, `pt-br`, `de`, `fr` or `crosslingual`.
    explicit_language: str = ""
    #: Such as `seed-tts-1.1`.
    model: str = ""
    #: v1 only. SSML is sent unchanged and never split.
    text_type: Literal["plain", "ssml"] = "plain"
    #: v1 only. A string of JSON.
    extra_param: str = ""
    #: Whether requests are compressed.
    gzip: bool = False
    #: v3 only. A key of the new console; replaces `app_id` and `access_token`.
    api_key: str = field(default="", repr=False)
    #: v3 only. The voice's family: `seed-tts-1.0`, `seed-tts-2.0`, each also with `-concurr`,
    #: `seed-icl-1.0` or `seed-icl-2.0`.
    resource_id: str = "seed-tts-1.0"
    #: v3 only. Percent, -50 to 100.
    speech_rate: int | None = None
    #: v3 only. Percent, -50 to 100.
    loudness_rate: int | None = None
    #: v3 only. A string of JSON.
    additions: str = ""
    #: The user id in Volcengine's logs. Empty: a random one for each line.
    uid: str = ""
    #: Another server. The transport's path is added if the url has none. Empty: Volcengine's.
    url: str = ""

    @property
    def label(self) -> str:
        return f"volcengine/{self.voice_type}"

    @property
    def facts(self) -> Facts:
        protocol = (
            f"v1, {self.operation}, {self.cluster}"
            if self.transport == "v1"
            else f"v3, {self.resource_id}"
        )
        model = ", ".join(filter(None, (self.model, protocol)))
        return Facts(model, self.rate, self.address("/"))

    def needs(self, given: Credentials) -> tuple[str, ...]:
        *application, console_key = self.credentials
        if self.transport == "v3" and not any(given[name] for name in application):
            return (console_key,)
        return tuple(application)

    def with_credentials(self, given: Credentials) -> Self:
        return replace(
            self,
            app_id=given["VOLCENGINE_APP_ID"],
            access_token=given["VOLCENGINE_ACCESS_TOKEN"],
            api_key=given["VOLCENGINE_API_KEY"] if self.transport == "v3" else "",
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """The credentials; no message may quote them."""
        return tuple(filter(None, (self.access_token, self.api_key, self.app_id)))

    def address(self, path: str) -> str:
        """The WebSocket address. `path`: the transport's, added unless `url` has a path."""
        url = self.url or _SERVICE
        return url if urlsplit(url).path.strip("/") else url.rstrip("/") + path


def given(values: Mapping[str, object]) -> dict[str, object]:
    """The values that are neither None nor empty."""
    return {name: value for name, value in values.items() if value is not None and value != ""}
