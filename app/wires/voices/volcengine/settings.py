"""How a Volcengine voice is set up, and what of it goes over both wires."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

_SERVICE = "wss://openspeech.bytedance.com"


@dataclass(frozen=True, slots=True)
class VolcengineSettings:
    """A voice of Volcengine. What is None or empty is not sent, so that the service's own default
    holds; nothing is clamped. The encoding is always `pcm`.

    Both wires:
        `transport`: `v1` takes a whole text and cannot be told to stop; `v3` can, and has the
        voices of the second generation. `voice_type`: which voice. `rate`: Hz, of 8000 (the
        telephone's own), 16000, 24000; v3 also 22050, 32000, 44100, 48000. `emotion`: where the
        voice has any; `emotion_scale`: 1 to 5. `model`: such as `seed-tts-1.1`. `uid`: what the
        vendor's logs call the caller; without it a new random one for each line. `url`: of another
        server; the path of the transport is added unless it has one. `app_id`, `access_token`: of
        the application. `gzip`: whether requests are compressed.
    v1 only:
        `operation`: `submit` streams, `query` answers with the whole sound in one. `cluster`:
        `volcano_tts`; `volcano_icl` for cloned voices. `speed_ratio`: 0.1 to 2.0, cloned 0.2 to 3.
        `volume_ratio`, `pitch_ratio`: 0.1 to 3. `loudness_ratio`: 0.5 to 2.0. `explicit_language`:
        `zh-cn`, `en`, `ja`, `es-mx`, `id`, `pt-br`, `de`, `fr` or `crosslingual`. `text_type`:
        `plain` or `ssml`; SSML is sent as it is and never split. `extra_param`: JSON, as a string.
    v3 only:
        `api_key`: of the new console; takes the place of `app_id` and `access_token`.
        `resource_id`: must fit the voice's family: `seed-tts-1.0`, `seed-tts-2.0`, their
        `-concurr`, `seed-icl-1.0`, `seed-icl-2.0`. `speech_rate`, `loudness_rate`: -50 to 100, in
        percent. `additions`: JSON, as a string.
    """

    app_id: str = ""
    access_token: str = field(default="", repr=False)
    voice_type: str = ""
    transport: Literal["v1", "v3"] = "v1"
    operation: Literal["submit", "query"] = "submit"
    cluster: str = "volcano_tts"
    rate: int = 8000
    speed_ratio: float | None = None
    volume_ratio: float | None = None
    pitch_ratio: float | None = None
    loudness_ratio: float | None = None
    emotion: str = ""
    enable_emotion: bool | None = None
    emotion_scale: float | None = None
    explicit_language: str = ""
    model: str = ""
    text_type: Literal["plain", "ssml"] = "plain"
    extra_param: str = ""
    gzip: bool = False
    api_key: str = field(default="", repr=False)
    resource_id: str = "seed-tts-1.0"
    speech_rate: int | None = None
    loudness_rate: int | None = None
    additions: str = ""
    uid: str = ""
    url: str = ""

    @property
    def label(self) -> str:
        """What people call the voice."""
        return f"volcengine/{self.voice_type}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message may repeat."""
        return tuple(filter(None, (self.access_token, self.api_key, self.app_id)))

    def address(self, path: str) -> str:
        """Where the service is: `path` at its own address, or at `url` if that has none."""
        url = self.url or _SERVICE
        return url if urlsplit(url).path.strip("/") else url.rstrip("/") + path


def given(values: Mapping[str, object]) -> dict[str, object]:
    """Those of the values that were set."""
    return {name: value for name, value in values.items() if value is not None and value != ""}
