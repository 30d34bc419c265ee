"""The settings of a voice on a speech server of the custom HTTP text-to-speech standard."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Self, get_args
from urllib.parse import urlsplit

from app.errors import ConfigError
from app.wires.extra_headers import can_be_sent, parse_headers
from app.wires.voices.provider import Credentials, Facts, VoiceSettings
from app.wires.voices.voice import is_here

RATES_HZ = (8000, 16000, 24000, 48000)
EMOTIONS = ("", "neutral", "happy", "sad")
#: How a request is encoded: the standard's sample server reads JSON, its table of fields is a form.
Body = Literal["json", "form"]


@dataclass(frozen=True, slots=True)
class HttpSettings(VoiceSettings):
    """A server that implements the standard.

    Raises:
        ConfigError: one line per fault, naming the field. No line shows a value that may be secret.
    """

    credentials: ClassVar[tuple[str, ...]] = ("HTTP_VOICE_TOKEN", "HTTP_VOICE_HEADERS")
    suggested: ClassVar[tuple[str, ...]] = ("HTTP_VOICE_TOKEN",)

    url: str = field(repr=False)
    #: Sent in the body, as the standard has it. Empty: none.
    token: str = field(default="", repr=False)
    #: The voice's name. Empty: the server's default voice.
    voice_id: str = ""
    #: Hz, one of `RATES_HZ`, requested with each text.
    sample_rate: int = 8000
    #: Further HTTP headers, for a gateway in front of the server.
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    #: One of `EMOTIONS`; empty for none.
    emotion: str = ""
    #: Sent to the server with each text.
    user_data: str = field(default="", repr=False)
    #: The encoding of requests: `json`, or `form` (application/x-www-form-urlencoded).
    body: Body = "json"
    #: Whether http (without TLS) is allowed to hosts other than this machine.
    allow_http: bool = False

    def __post_init__(self) -> None:
        faults = [*_url_faults(self.url, allow_http=self.allow_http)]
        if self.sample_rate not in RATES_HZ:
            faults.append(f"sample_rate: expected one of {RATES_HZ}, got {self.sample_rate}")
        if self.emotion not in EMOTIONS:
            faults.append(f"emotion: expected neutral, happy or sad, got {self.emotion!r}")
        if self.body not in get_args(Body):
            faults.append(f"body: expected json or form, got {self.body!r}")
        if not can_be_sent(self.headers):
            faults.append("headers: expected names and values of printable ASCII")
        if faults:
            raise ConfigError(*faults)

    @property
    def host(self) -> str:
        """The server's host and port."""
        return urlsplit(self.url).netloc

    @property
    def label(self) -> str:
        return f"http/{self.voice_id or self.host}"

    @property
    def facts(self) -> Facts:
        return Facts(self.emotion, self.sample_rate, self.url)

    def with_credentials(self, given: Credentials) -> Self:
        try:
            headers = parse_headers(given["HTTP_VOICE_HEADERS"])
        except ValueError:
            raise ConfigError(
                "HTTP_VOICE_HEADERS: expected Name: value, several separated by ;"
            ) from None
        return replace(self, token=given["HTTP_VOICE_TOKEN"], headers=headers)


def _url_faults(url: str, *, allow_http: bool) -> list[str]:
    expected = "url: expected an address such as https://tts.example.com/stream-audio"
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("https", "http") and parts.hostname and parts.port != 0
    except ValueError:  # an invalid port
        return [expected]
    if not good or not url.isascii() or not url.isprintable() or " " in url:
        return [expected]
    if "@" in parts.netloc:
        return ["url: expected no user and password; set HTTP_VOICE_TOKEN to the token"]
    if parts.scheme == "http" and not allow_http and not is_here(parts.hostname or ""):
        return ["url: expected https, because the token goes there; or set allow_http = true"]
    return []
