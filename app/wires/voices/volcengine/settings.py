"""The settings of a Volcengine voice, for the v1 and the v3 protocol."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

_SERVICE = "wss://openspeech.bytedance.com"


@dataclass(frozen=True, slots=True)
class VolcengineSettings:
    """A Volcengine voice.

    A setting that is None or empty is not sent, so that the service's default applies. Values are
    sent unchanged; the service checks their ranges. The encoding is always `pcm`.
    """

    #: The application's id.
    app_id: str = ""
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
        """The voice's name as people see it."""
        return f"volcengine/{self.voice_type}"

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
