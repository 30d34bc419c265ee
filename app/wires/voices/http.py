"""The custom HTTP text-to-speech standard, as its client: a POST for a text, raw PCM streamed back.

Alibaba's real-time workflow calls a customer's own text-to-speech server by it:
https://www.alibabacloud.com/help/en/ims/user-guide/tts-configuration
There is no cancelling, no numbering and no error within it: closing the connection is all that
tells the server to stop, and a body that is cut is all that tells us that it failed.
"""

import asyncio
import json
import logging
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp

from app.errors import ConfigError, VoiceError
from app.wires.voices.quoting import quotable
from app.wires.voices.voice import LONGEST_MAGIC_BYTES, Sound, Sounds, VoiceLine, file_in, is_here

logger = logging.getLogger(__name__)

RATES_HZ = (8000, 16000, 24000, 48000)
EMOTIONS = ("", "neutral", "happy", "sad")
CONNECT_S = 3.0
READ_S = 5.0
LONGEST_SOUND_S = 120  # of one text; more is no speech
GOODBYE_S = 1.0
_MOST_OF_AN_ERROR_BYTES = 2 << 10
KEEP_ALIVE_S = 60.0  # a caller may talk for so long between two answers

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t -~]*")
_MOST_OF_OPTIONS_BYTES = 64 << 10
_OF_THE_TEXT = frozenset({400, 413, 422})
_PASSING = frozenset({408, 425, 429})
_HINTS = {
    401: "the token was rejected; check it",
    403: "the token was rejected; check it",
    404: "nothing answers there; check the path of the url",
    405: "nothing takes a POST there; check the path of the url",
    429: "it asks for fewer requests",
}

Kind = Literal["passing", "text", "fatal"]


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """A server that follows the standard. `sample_rate`: what to ask for, in Hz. `headers`: beside
    the standard's, for a gateway in front of it. `user_data`: handed to the server with each text.
    `allow_http`: without TLS, to others than this machine too.

    Raises:
        ConfigError: one line per fault, naming the field. No line shows a value that may be secret.
    """

    url: str = field(repr=False)
    token: str = field(default="", repr=False)
    voice_id: str = ""
    sample_rate: int = 8000
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    emotion: str = ""
    user_data: str = field(default="", repr=False)
    allow_http: bool = False

    def __post_init__(self) -> None:
        faults = [*_url_faults(self.url, allow_http=self.allow_http)]
        if self.sample_rate not in RATES_HZ:
            faults.append(f"sample_rate: expected one of {RATES_HZ}, got {self.sample_rate}")
        if self.emotion not in EMOTIONS:
            faults.append(f"emotion: expected neutral, happy or sad, got {self.emotion!r}")
        for name, value in self.headers:
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                faults.append("headers: expected names and values of printable ASCII")
                break
        if faults:
            raise ConfigError(*faults)


def _url_faults(url: str, *, allow_http: bool) -> list[str]:
    expected = "url: expected an address such as https://tts.example.com/stream-audio"
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("https", "http") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is none
        return [expected]
    if not good or not url.isascii() or not url.isprintable() or " " in url:
        return [expected]
    if "@" in parts.netloc:
        return ["url: expected no user and password in it; the token is HTTP_VOICE_TOKEN"]
    if parts.scheme == "http" and not allow_http and not is_here(parts.hostname or ""):
        return ["url: expected https, because the token goes there; or set allow_http = true"]
    return []


class HttpVoice:
    """A voice of such a server. Its lines share one pool of connections, opened with the first."""

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._host = urlsplit(settings.url).netloc
        self._session: aiohttp.ClientSession | None = None
        self._answers: set[aiohttp.ClientResponse] = set()
        self._closed = False

    @property
    def label(self) -> str:
        return f"http/{self._settings.voice_id or self._host}"

    def line(self) -> VoiceLine:
        return _HttpLine(self)

    async def aclose(self) -> None:
        """Close every connection, those in use too."""
        self._closed = True
        for answer in list(self._answers):  # a closed session wakes nobody who waits for a body
            self.let_go(answer)
        if self._session is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await self._session.close()

    # --- for its lines ---

    @property
    def rate_hz(self) -> int:
        return self._settings.sample_rate

    async def post(self, text: str, extend_data: dict[str, object]) -> aiohttp.ClientResponse:
        """Have a text said; the answer's body is still to come, and it is to be let go of.

        Raises aiohttp.ClientError or TimeoutError.
        """
        chosen = self._settings
        body: dict[str, object] = {"Text": text}
        if chosen.voice_id:
            body["VoiceId"] = chosen.voice_id
        body["SampleRate"] = chosen.sample_rate
        if chosen.token:
            body["Token"] = chosen.token
        if chosen.emotion:
            extend_data["Emotion"] = chosen.emotion
        if chosen.user_data:
            extend_data["UserData"] = chosen.user_data
        body["ExtendData"] = _compact(extend_data)
        # A redirect would take the token to somebody else.
        answer = await self._opened().post(
            chosen.url, data=_compact(body).encode(), allow_redirects=False
        )
        self._answers.add(answer)
        return answer

    def quotable(self, message: str, text: str) -> str:
        """What the server says of an error, if it gives nothing away."""
        chosen = self._settings
        headers = [value for _, value in chosen.headers]
        return quotable(message, (text, chosen.token, chosen.user_data, *headers))

    def let_go(self, answer: aiohttp.ClientResponse) -> None:
        """Be done with an answer. Of a body that was read to its end the connection is back in the
        pool already; any other is dropped, because reading on would be waiting."""
        self._answers.discard(answer)
        answer.close()

    async def warm(self) -> None:
        """Have a connection in the pool. OPTIONS asks for nothing: the standard has no request that
        says nothing, and neither token nor text is in this one.

        Raises aiohttp.ClientError or TimeoutError.
        """
        answer = await self._opened().options(self._settings.url, allow_redirects=False)
        self._answers.add(answer)
        try:
            size_bytes = 0
            while size_bytes <= _MOST_OF_OPTIONS_BYTES and (chunk := await _read(answer)):
                size_bytes += len(chunk)
        finally:
            self.let_go(answer)

    def error(
        self, what: str, began_s: float, size_bytes: int = 0, kind: Kind = "passing"
    ) -> VoiceError:
        """A failure, with what may be told of it. `began_s`: monotonic seconds."""
        elapsed_ms = round((time.monotonic() - began_s) * 1000)
        told = f"{what} (at {self._host}, {elapsed_ms} ms, {size_bytes} bytes of sound)"
        return VoiceError(told, kind=kind)

    def _opened(self) -> aiohttp.ClientSession:
        if self._closed:
            raise VoiceError(f"{self.label} is closed", kind="fatal")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={
                    "Content-Type": "application/json",
                    "Accept": "*/*",
                    "Accept-Encoding": "identity",  # what packs a stream holds it back
                    **dict(self._settings.headers),
                },
                # aiohttp's own deadline counts the whole body, however long it plays.
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=CONNECT_S, sock_connect=CONNECT_S, sock_read=READ_S
                ),
            )
        return self._session


class _HttpLine:
    def __init__(self, voice: HttpVoice) -> None:
        self._voice = voice
        self._instance_id = uuid4().hex
        self._channel_id = uuid4().hex
        self._response: aiohttp.ClientResponse | None = None
        self._closed = False

    async def prepare(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._voice.warm()
        except (aiohttp.ClientError, TimeoutError, VoiceError) as error:
            extra = {"voice": self._voice.label, "error": type(error).__name__}
            logger.info("no connection ahead for a voice", extra=extra)

    async def say(self, text: str, *, answer: int = 0) -> Sounds:
        voice, began_s = self._voice, time.monotonic()
        body = _RawPcm(voice.rate_hz)
        response = None
        try:
            response = self._response = await voice.post(text, self._extend_data(answer))
            if self._closed:
                raise voice.error("the line is closed", began_s)
            if response.status != 200:
                what, kind = _refusal(response.status)
                if said := voice.quotable(await _beginning(response), text):
                    what = f"{what}: {said!r}"
                raise voice.error(what, began_s, kind=kind)
            # The standard's own sample names a wrong type of sound, but these are none.
            if response.content_type.startswith(("text/", "application/json")):
                what = f"it answered with {response.content_type}, which is no sound"
                raise voice.error(what, began_s, kind="fatal")
            while chunk := await _read(response):
                if pcm := body.feed(chunk):
                    yield Sound(pcm, voice.rate_hz)
            if pcm := body.finish():
                yield Sound(pcm, voice.rate_hz)
        except _NotSpeech as error:
            raise voice.error(str(error), began_s, body.size_bytes, error.kind) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise voice.error(_trouble(error), began_s, body.size_bytes) from None
        finally:
            if response is not None:
                voice.let_go(response)
        if body.ended_odd:
            logger.warning("the voice's sound ended in mid-sample", extra={"voice": voice.label})

    async def aclose(self) -> None:
        self._closed = True
        if self._response is not None:
            self._voice.let_go(self._response)

    def _extend_data(self, answer: int) -> dict[str, object]:
        """`SentenceId` is the same for all that belongs to one answer (the standard's words)."""
        return {
            "InstanceId": self._instance_id,
            "ChannelId": self._channel_id,
            "SentenceId": answer,
        }


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """The first of an error's body."""
    body = await response.content.read(_MOST_OF_AN_ERROR_BYTES)
    return body.decode("utf-8", "replace")


class _NotSpeech(Exception):
    """The body is not what the standard promises."""

    def __init__(self, what: str, kind: Kind) -> None:
        super().__init__(what)
        self.kind = kind


class _RawPcm:
    """The body as whole samples. Where it is cut into chunks means nothing: most are odd."""

    def __init__(self, rate_hz: int) -> None:
        self.size_bytes = 0
        self._most_bytes = LONGEST_SOUND_S * rate_hz * 2
        self._held = b""
        self._looked_at = False

    @property
    def ended_odd(self) -> bool:
        return self.size_bytes % 2 == 1

    def feed(self, chunk: bytes) -> bytes:
        """The samples that are whole by now, maybe none. Raises _NotSpeech."""
        self.size_bytes += len(chunk)
        if self.size_bytes > self._most_bytes:
            raise _NotSpeech(f"more than {LONGEST_SOUND_S} s of sound came for one text", "text")
        data = self._held + chunk
        if not self._looked_at and len(data) < LONGEST_MAGIC_BYTES:
            self._held = data
            return b""
        self._look_at(data)
        whole = len(data) & ~1
        self._held = data[whole:]
        return data[:whole]

    def finish(self) -> bytes:
        """What was held back. Raises _NotSpeech when there was nothing at all."""
        if self.size_bytes < 2:
            raise _NotSpeech("the answer had no sound in it", "passing")
        self._look_at(self._held)
        return self._held[: len(self._held) & ~1]

    def _look_at(self, data: bytes) -> None:
        if not self._looked_at and (found := file_in(data)):
            raise _NotSpeech(f"the server returned {found} in place of raw PCM", "fatal")
        self._looked_at = True


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """What has come; empty at the end."""
    try:
        return await answer.content.readany()
    except RuntimeError:  # aiohttp's word for a connection that this side closed
        raise aiohttp.ClientConnectionError from None


def _refusal(status: int) -> tuple[str, Kind]:
    what = f"HTTP {status}"
    if 300 <= status < 400:
        return f"{what}, a redirect, which is not followed; set the url to where it leads", "fatal"
    if hint := _HINTS.get(status):
        what = f"{what}, {hint}"
    if status in _OF_THE_TEXT:
        return what, "text"
    return what, "passing" if status in _PASSING or status >= 500 else "fatal"


def _trouble(error: Exception) -> str:
    """What is wrong, in words of ours: aiohttp's own show the URL, and its query may be secret."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return f"no connection within {CONNECT_S:g} s"
        case TimeoutError():
            return f"nothing came for {READ_S:g} s"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return "no TLS connection; check its certificate"
        case aiohttp.ClientConnectorError():
            return "it cannot be reached"
        case aiohttp.ClientPayloadError():
            return "the sound was cut off"
        case _:
            return f"the connection failed ({type(error).__name__})"


def _compact(value: dict[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"))
