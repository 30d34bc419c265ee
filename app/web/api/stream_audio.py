"""`POST /stream-audio`: the agent's voices for other programs, by the custom HTTP text-to-speech
standard.

The standard puts the token into the body; no other route accepts it there. Once audio was sent, a
failure shows only as a truncated body, and the client stops the speech by closing the connection.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from secrets import token_hex
from typing import Any, NoReturn

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.types import Message, Receive, Scope, Send

from app.audio import pcm16_size
from app.errors import VoiceError
from app.web import authenticated
from app.web.api.speech_request import (
    SpeechRequest,
    fields_of,
    speech_request,
    token_of,
)
from app.web.api_token import count_wrong_token, request_fields
from app.web.app_state import State, state_of
from app.web.bearer import bearer_of
from app.web.problems import problem
from app.web.stream_voices import StreamAudio
from app.wires.voices.resampler import Resampler
from app.wires.voices.voice import Sound, Voice, with_deadlines

logger = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False)

SPEECH = "/stream-audio"
LARGEST_BODY_BYTES = 64 << 10
BODY_S = 20.0  # for servers without a limit of their own
STUCK_S = 30.0  # a client that takes no audio for so long is disconnected
WRITE_MS = 60  # of audio per chunk of the body


def check_speech_token(request: Request) -> None:
    """Demand the token in the Authorization header. Raises HTTPException 401 or 429."""
    speaker = state_of(request.app).stream_audio
    if not speaker.admits(request.headers.get("authorization", ""), ""):
        _refuse(request, bearer_of(request))


def _refuse(request: Request, given: str, more: str = "") -> NoReturn:
    """Refuse a request without the token.

    `given`: the wrong token, or empty. `more`: why the body could not be read. Raises
    HTTPException, 401 or 429.
    """
    extra = {
        **request_fields(request),
        "reason": "the token is wrong" if given else "there is no token",
    }
    logger.warning("request for speech without the token refused", extra=extra)
    if given:
        count_wrong_token(request)
    detail = "send the token as Token in the body, or in the header Authorization: Bearer"
    headers = {"WWW-Authenticate": "Bearer"}
    raise HTTPException(401, f"{detail} ({more})" if more else detail, headers)


@router.post(SPEECH)
async def stream_audio(request: Request, state: State) -> Response:
    """Say a text; the body streams the audio as the voice makes it."""
    speaker = state.stream_audio
    body = await _body(request)
    authorization = request.headers.get("authorization", "")
    unreadable = ""
    fields: Mapping[str, Any] = {}
    try:
        fields = fields_of(body, request.headers.get("content-type", ""))
    except ValueError as error:
        unreadable = str(error)
    if not speaker.admits(authorization, token_of(fields)):
        _refuse(request, bearer_of(request) or token_of(fields), unreadable)
    authenticated.mark_authenticated(request.scope)
    if not speaker.voices:
        raise HTTPException(
            404, "this agent has no external voice; set provider under [voice] in the agent file"
        )
    try:
        if unreadable:
            raise ValueError(unreadable)
        wanted = speech_request(fields)
        voices = speaker.voices_for(wanted.voice_id)
    except (ValueError, LookupError) as error:
        logger.warning("request for speech that is wrong refused", extra={"fault": str(error)})
        raise HTTPException(400, str(error)) from None
    return _Speech(speaker, wanted, voices)


async def _body(request: Request) -> bytes:
    body = b""
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_BODY_BYTES:
                    raise HTTPException(413, f"send at most {LARGEST_BODY_BYTES} bytes")
    except TimeoutError:
        raise HTTPException(408, "the request's body did not come") from None
    return body


class _Speech(Response):
    """The response to one text. Its status is sent with the first audio.

    Starlette's StreamingResponse would send the status before any audio. With ASGI 2.4 it also
    notices a disconnected client only when it sends.
    """

    def __init__(
        self, speaker: StreamAudio, wanted: SpeechRequest, voices: Sequence[Voice]
    ) -> None:
        super().__init__()
        self._speaker = speaker
        self._wanted = wanted
        self._voices = voices
        self._sent_bytes = 0
        self._whole = False
        self._began_s = time.monotonic()
        self._first_ms = 0
        self._extra: dict[str, Any] = {"request_id": token_hex(4), **wanted.ids}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        speaker = self._speaker
        if speaker.busy >= speaker.most_at_once:
            detail = f"{speaker.busy} texts are being said; try again in a moment"
            await problem(503, detail, {"Retry-After": "1"})(scope, receive, send)
            return
        speaker.busy += 1
        try:
            async with asyncio.TaskGroup() as group:
                speaking = group.create_task(self._speak(scope, receive, send))
                leaving = group.create_task(_disconnected(receive))
                # `http.disconnect` also follows a complete answer, while its line is closing.
                leaving.add_done_callback(lambda _: self._whole or speaking.cancel())
                speaking.add_done_callback(lambda _: leaving.cancel())
        finally:
            speaker.busy -= 1
        if speaking.cancelled():
            self._log("speech stopped: the client disconnected")

    async def _speak(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say the text with the first voice that works.

        If a voice fails after audio was sent, return without ending the body: the server then
        closes the connection, and the client sees a truncated body.
        """
        failed = VoiceError("there is no voice")
        for voice in self._voices:
            self._extra["voice"] = voice.label
            try:
                await self._say_with(voice, send)
            except VoiceError as error:
                extra = {**self._extra, "error": str(error), "sent_bytes": self._sent_bytes}
                logger.warning("a voice failed at a request for speech", extra=extra)
                if self._sent_bytes:
                    return
                failed = error
            except TimeoutError:
                self._log("speech stopped: the client does not read it")
                return
            else:
                self._log("speech sent")
                return
        await _refusal(failed)(scope, receive, send)

    async def _say_with(self, voice: Voice, send: Send) -> None:
        """Raises VoiceError, or TimeoutError if the client does not read the audio."""
        line, rate = voice.line(), _Rate(self._wanted.hz)
        try:
            for piece in self._speaker.pieces_of(self._wanted.text):
                async with aclosing(with_deadlines(line.say(piece))) as sounds:
                    async for sound in sounds:
                        await self._send(rate.feed(sound), send)
            await self._send(rate.finish(), send)
            if not self._sent_bytes:
                raise VoiceError("the text was answered without any sound")
            self._whole = True
            async with asyncio.timeout(STUCK_S):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await line.aclose()

    async def _send(self, pcm: bytes, send: Send) -> None:
        if pcm and not self._sent_bytes:
            self._first_ms = round((time.monotonic() - self._began_s) * 1000)
            await send(self._start())
        step = pcm16_size(self._wanted.hz, WRITE_MS)
        for start in range(0, len(pcm), step):
            part = pcm[start : start + step]
            self._sent_bytes += len(part)
            async with asyncio.timeout(STUCK_S):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0)  # let calls run during a burst, and notice a disconnect

    def _start(self) -> Message:
        headers = [
            (b"content-type", self._speaker.content_type.encode("latin-1")),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),  # a buffering proxy would delay the audio
        ]
        return {"type": "http.response.start", "status": 200, "headers": headers}

    def _log(self, message: str) -> None:
        figures = {
            "hz": self._wanted.hz,
            "characters": len(self._wanted.text),
            "first_sound_ms": self._first_ms,
            "sent_bytes": self._sent_bytes,
        }
        logger.info(message, extra={**self._extra, **figures})


def _refusal(error: VoiceError) -> Response:
    # A provider's own deadline for its connection has passed if the context is a TimeoutError.
    if error.kind == "late" or isinstance(error.__context__, TimeoutError):
        return problem(504, "the voice gave no sound in time; try again")
    details = {
        "passing": "the voice failed; try again",
        "text": "the voice cannot say this text; change it",
        "fatal": "the voice cannot be used; the log of this service says why",
    }
    return problem(502, details[error.kind])


class _Rate:
    """Converts all audio of a request to its sample rate.

    It keeps one Resampler as long as the voice's rate does not change: a new one for each piece
    would be audible at the seams.
    """

    def __init__(self, hz: int) -> None:
        self._hz = hz
        self._from_hz = 0
        self._resampler: Resampler | None = None

    def feed(self, sound: Sound) -> bytes:
        """Convert a sound; returns the PCM that is ready."""
        before = b""
        if self._resampler is None or sound.hz != self._from_hz:
            before = self.finish()
            self._resampler = Resampler(sound.hz, self._hz)
            self._from_hz = sound.hz
        return before + self._resampler.feed(sound.pcm)

    def finish(self) -> bytes:
        """The PCM that the resampler still held back."""
        return self._resampler.finish() if self._resampler is not None else b""


async def _disconnected(receive: Receive) -> None:
    """Wait until the client disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass
