"""The settings of a Qwen voice.

DashScope: Qwen-TTS Realtime API, `session.update`.
"""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from app.wires.voices.provider import Credentials, Facts, VoiceSettings

Mode = Literal["commit", "server_commit"]

# The first model and its snapshots, `qwen-tts-realtime-<date>`. They speak at 24000 Hz only.
_OLD_MODEL = "qwen-tts-realtime"
_OLD_MODEL_HZ = 24000


@dataclass(frozen=True, slots=True)
class QwenSettings(VoiceSettings):
    """How to connect to a Qwen voice, and how it speaks.

    None leaves a setting to the server. The model `qwen-tts-realtime` speaks at 24000 Hz and does
    not support the settings that may be None; they are not sent to it.
    """

    credentials: ClassVar[tuple[str, ...]] = ("DASHSCOPE_API_KEY",)

    api_key: str = field(repr=False)
    model: str = "qwen3-tts-flash-realtime"
    voice: str = "Cherry"
    #: `commit`: one session for all texts. `server_commit`: a new session for each text.
    mode: Mode = "commit"
    #: ws or wss, of the API key's region.
    url: str = "wss://dashscope.aliyuncs.com/api-ws/v1/realtime"
    #: The API key's workspace; empty for the default one.
    workspace: str = ""
    #: Hz.
    sample_rate: int = 8000
    language_type: str = "Auto"
    #: 0.5 to 2.0.
    speech_rate: float | None = None
    #: 0 to 100.
    volume: int | None = None
    #: 0.5 to 2.0.
    pitch_rate: float | None = None
    #: How to speak; for the model `qwen3-tts-instruct-flash-realtime` only.
    instructions: str | None = None
    optimize_instructions: bool | None = None
    #: Text normalization: whether numbers and symbols are converted to words.
    enable_tn: bool | None = None

    @property
    def label(self) -> str:
        return f"qwen/{self.voice}"

    @property
    def facts(self) -> Facts:
        return Facts(f"{self.model}, {self.mode}", self.session["sample_rate"], self.url)

    def needs(self, given: Credentials) -> tuple[str, ...]:
        return self.credentials

    def with_credentials(self, given: Credentials) -> Self:
        return replace(self, api_key=given["DASHSCOPE_API_KEY"])

    @property
    def address(self) -> str:
        """The url with `?model=`. Raises ValueError if `url` is invalid."""
        parts = urlsplit(self.url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True)) | {"model": self.model}
        return urlunsplit(parts._replace(query=urlencode(query)))

    @property
    def session(self) -> dict[str, Any]:
        """The session object of `session.update`. It has no `bit_rate`, because PCM has none."""
        old = self.model == _OLD_MODEL or self.model.startswith(f"{_OLD_MODEL}-")
        session: dict[str, Any] = {
            "voice": self.voice,
            "mode": self.mode,
            "response_format": "pcm",
            "sample_rate": _OLD_MODEL_HZ if old else self.sample_rate,
            "language_type": self.language_type,
        }
        if not old:
            optional = {
                "speech_rate": self.speech_rate,
                "volume": self.volume,
                "pitch_rate": self.pitch_rate,
                "instructions": self.instructions,
                "optimize_instructions": self.optimize_instructions,
                "enable_tn": self.enable_tn,
            }
            session |= {name: value for name, value in optional.items() if value is not None}
        return session
