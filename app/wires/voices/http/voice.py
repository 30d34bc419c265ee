"""A client of the custom HTTP text-to-speech standard: POST a text, receive a stream of raw PCM.

Alibaba's real-time workflow calls a customer's own text-to-speech server by this standard:
https://www.alibabacloud.com/help/en/ims/user-guide/tts-configuration
It has no cancel message, no sequence numbers and no in-band errors. To stop the server, the client
closes the connection; if the server fails, its chunked body ends early.
"""

import asyncio
import json
import logging
import time
from contextlib import closing, suppress
from urllib.parse import urlencode
from uuid import uuid4

import aiohttp

from app.errors import VoiceError, VoiceErrorKind
from app.wires.voices.connect import (
    CLOSE_S,
    CONNECT_S,
    http_deadline,
    http_failure,
    http_session,
    http_wait,
    kind_of_status,
)
from app.wires.voices.http.settings import Body, HttpSettings
from app.wires.voices.quoting import quotable
from app.wires.voices.raw_pcm import NotSpeech, RawPcm
from app.wires.voices.voice import Sound, Sounds, VoiceLine
from app.wires.voices.waits import Waits

logger = logging.getLogger(__name__)

_CONTENT_TYPES: dict[Body, str] = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
}
_LARGEST_ERROR_BYTES = 2 << 10
_LARGEST_OPTIONS_BYTES = 64 << 10
# HTTP statuses that reject the text.
_TEXT_REJECTED = frozenset({400, 413, 422})
_HINTS = {
    401: "the token was rejected; check HTTP_VOICE_TOKEN",
    403: "the token was rejected; check HTTP_VOICE_TOKEN",
    404: "not found; check the path of the url",
    405: "POST is not allowed; check the path of the url",
    415: "the server cannot read this encoding; check body (json or form)",
    422: "the server cannot read the request; check body (json or form)",
    429: "too many requests",
}


class HttpVoice:
    """A voice of such a server. Its lines share one pool of connections; the first line that needs
    a connection opens the pool."""

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._answers: set[aiohttp.ClientResponse] = set()
        self._closed = False

    @property
    def label(self) -> str:
        return self._settings.label

    def line(self) -> VoiceLine:
        return _HttpLine(self)

    async def aclose(self) -> None:
        """Close every connection, also those in use."""
        self._closed = True
        # Closing the session does not wake a task that waits for a body.
        for answer in list(self._answers):
            self.release(answer)
        if self._session is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._session.close()

    # --- used by its lines ---

    @property
    def rate_hz(self) -> int:
        return self._settings.sample_rate

    async def post(self, text: str, extend_data: dict[str, object]) -> aiohttp.ClientResponse:
        """POST a text. Returns when the response's head has come. Read its body, then `release` it.

        Raises:
            aiohttp.ClientError, TimeoutError: no response.
            VoiceError: the voice is closed.
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
        data = _encoded(body, chosen.body)
        session = self._opened()
        async with http_deadline():
            answer = await session.post(chosen.url, data=data, allow_redirects=False)
        self._answers.add(answer)
        return answer

    def quotable(self, message: str, text: str) -> str:
        """The server's error message if it may be logged, else empty; see `quotable`."""
        chosen = self._settings
        headers = [value for _, value in chosen.headers]
        return quotable(message, (text, chosen.token, chosen.user_data, *headers))

    def release(self, answer: aiohttp.ClientResponse) -> None:
        """Release a response. If its body was read to the end, its connection is in the pool
        already; otherwise the connection is closed without reading on."""
        self._answers.discard(answer)
        answer.close()

    async def warm(self) -> None:
        """Open a connection for the pool with an OPTIONS request. The standard has no request
        without a text; this one has neither text nor token.

        Raises:
            aiohttp.ClientError, TimeoutError: no response.
            VoiceError: the voice is closed.
        """
        answer = await self._opened().options(self._settings.url, allow_redirects=False)
        self._answers.add(answer)
        try:
            size_bytes = 0
            with closing(Waits()) as waits:
                while size_bytes <= _LARGEST_OPTIONS_BYTES and (
                    chunk := await _read(answer, waits)
                ):
                    size_bytes += len(chunk)
        finally:
            self.release(answer)

    def error(
        self, what: str, began_s: float, size_bytes: int = 0, kind: VoiceErrorKind = "passing"
    ) -> VoiceError:
        """A VoiceError with the host and the progress so far. `began_s`: monotonic seconds."""
        elapsed_ms = round((time.monotonic() - began_s) * 1000)
        message = f"{what} (at {self._settings.host}, {elapsed_ms} ms, {size_bytes} bytes of sound)"
        return VoiceError(message, kind=kind)

    def _opened(self) -> aiohttp.ClientSession:
        if self._closed:
            raise VoiceError(f"{self.label} is closed", kind="fatal")
        if self._session is None:
            self._session = http_session(
                {
                    "Content-Type": _CONTENT_TYPES[self._settings.body],
                    "Accept": "*/*",
                    "Accept-Encoding": "identity",  # a compressor buffers, which adds latency
                    **dict(self._settings.headers),
                }
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
            logger.info("voice could not be connected ahead", extra=extra)

    async def say(self, text: str, *, answer: int = 0) -> Sounds:
        voice, began_s = self._voice, time.monotonic()
        body = RawPcm(voice.rate_hz)
        response = None
        try:
            response = self._response = await voice.post(text, self._extend_data(answer))
            if self._closed:
                raise voice.error("the line is closed", began_s)
            if response.status != 200:
                what, kind = _refusal(response.status)
                if quote := voice.quotable(await _error_body(response), text):
                    what = f"{what}: {quote!r}"
                raise voice.error(what, began_s, kind=kind)
            body = RawPcm(voice.rate_hz, response.content_type)
            with closing(Waits()) as waits:
                while chunk := await _read(response, waits):
                    if pcm := body.feed(chunk):
                        yield Sound(pcm, voice.rate_hz)
            if pcm := body.finish():
                yield Sound(pcm, voice.rate_hz)
        except NotSpeech as error:
            raise voice.error(str(error), began_s, body.size_bytes, error.kind) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise voice.error(http_failure(error), began_s, body.size_bytes) from None
        finally:
            if response is not None:
                voice.release(response)
        if body.ended_odd:
            logger.warning("the voice's sound ended in mid-sample", extra={"voice": voice.label})

    async def aclose(self) -> None:
        self._closed = True
        if self._response is not None:
            self._voice.release(self._response)

    def _extend_data(self, answer: int) -> dict[str, object]:
        """`SentenceId` is the same for all texts of one answer (the standard's definition)."""
        return {
            "InstanceId": self._instance_id,
            "ChannelId": self._channel_id,
            "SentenceId": answer,
        }


async def _error_body(response: aiohttp.ClientResponse) -> str:
    async with http_deadline():
        body = await response.content.read(_LARGEST_ERROR_BYTES)
    return body.decode("utf-8", "replace")


async def _read(answer: aiohttp.ClientResponse, waits: Waits) -> bytes:
    """The next bytes of the body; empty at its end."""
    try:
        with http_wait(waits):
            return await answer.content.readany()
    except RuntimeError:  # aiohttp raises it if this side has closed the connection
        raise aiohttp.ClientConnectionError from None


def _refusal(status: int) -> tuple[str, VoiceErrorKind]:
    what = f"HTTP {status}"
    if 300 <= status < 400:
        return f"{what}, a redirect, which is not followed; set url to its target", "fatal"
    if hint := _HINTS.get(status):
        what = f"{what}, {hint}"
    if status in _TEXT_REJECTED:
        return what, "text"
    return what, kind_of_status(status)


def _encoded(fields: dict[str, object], body: Body) -> bytes:
    """The body of a request. A form leaves out lone surrogates, which UTF-8 cannot encode."""
    if body == "form":
        return urlencode(fields, errors="ignore").encode()
    return _compact(fields).encode()


def _compact(value: dict[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"))
