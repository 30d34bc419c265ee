"""Our voices for others: the custom HTTP text-to-speech standard, as its server.

It is the one route whose token may come in the body, because the standard has it there. A body that
is cut is all that tells the caller of a failure once sound was sent, and closing the connection is
all that tells us to stop.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from hmac import compare_digest
from secrets import token_hex
from typing import Any, NoReturn

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.types import Message, Receive, Scope, Send

from app.call.words.blank import stripped
from app.errors import VoiceError
from app.web import authenticated
from app.web.api.speech_request import (
    SpeechRequest,
    fields_of,
    is_speakable,
    speech_request,
    token_of,
)
from app.web.api_token import bearer_of, hold_up, token_matches, where
from app.web.problems import problem
from app.wires.voices.resampler import Resampler
from app.wires.voices.voice import LONGEST_TEXT, Sound, Voice, with_deadlines

logger = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False)

SPEECH = "/stream-audio"
LARGEST_BODY_BYTES = 64 << 10
BODY_S = 20.0  # where the server has no limit of its own
STUCK_S = 30.0  # a caller who takes nothing for so long is gone
WRITE_MS = 60

_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*\s|[。！？]")

SplitText = Callable[[str], list[str]]
"""Cuts a long text into pieces to be said one after the other; together they are the text."""


def whole(text: str) -> list[str]:
    """A text in one piece."""
    return [text]


class StreamAudio:
    """Who says what others ask for. `voices`: those there are, the first for who names none.
    `token`: what every request has to bear; an empty one lets nobody in. `content_type`: what the
    PCM is called; the published sample has audio/mpeg. `most_at_once`: texts; others are asked to
    come back. `cut`: takes texts longer than `LONGEST_TEXT` apart; what it leaves too long is cut
    at its last sentence, space or character that fits."""

    def __init__(
        self,
        voices: Sequence[Voice],
        *,
        token: str,
        content_type: str = "audio/mpeg",
        most_at_once: int = 8,
        cut: SplitText = whole,
    ) -> None:
        self.content_type = content_type
        self.most_at_once = most_at_once
        self.busy = 0
        self.voices = tuple(voices)
        self._token = token
        self._cut = cut

    def admits(self, authorization: str, token: str) -> bool:
        """Whether a request may be answered. `authorization`: its header. `token`: its body's."""
        scheme, _, bearer = authorization.partition(" ")
        if scheme.lower() == "bearer" and token_matches(bearer.strip(), self._token):
            return True
        given = token.encode("utf-8", "surrogatepass")
        return bool(self._token) and compare_digest(given, self._token.encode())

    def voices_for(self, voice_id: str) -> Sequence[Voice]:
        """Who may say a text, in order: one of that label, or of that part of it, or anybody.

        Raises:
            LookupError: there is none like that; the message names those there are.
        """
        if not voice_id:
            return self.voices
        for names in (_whole, _behind_slash, _before_slash):
            for voice in self.voices:
                if names(voice.label) == voice_id:
                    return (voice,)
        known = ", ".join(voice.label for voice in self.voices)
        raise LookupError(f"VoiceId: expected one of {known}, or none")

    def pieces_of(self, text: str) -> list[str]:
        """A text as its voice is given it, piece by piece."""
        cut = self._cut(text) if len(text) > LONGEST_TEXT else [text]
        pieces = (stripped(piece) for each in cut for piece in _fitting(each))
        return [piece for piece in pieces if is_speakable(piece)]


def _whole(label: str) -> str:
    return label


def _behind_slash(label: str) -> str:
    return label.partition("/")[2]


def _before_slash(label: str) -> str:
    return label.partition("/")[0]


def _fitting(text: str) -> list[str]:
    pieces = []
    while len(text) > LONGEST_TEXT:
        head = text[:LONGEST_TEXT]
        ends = [found.end() for found in _SENTENCE_END.finditer(head)]
        end = ends[-1] if ends else head.rfind(" ") + 1 or LONGEST_TEXT
        pieces.append(text[:end])
        text = text[end:]
    return [*pieces, text]


def check_speech_token(request: Request) -> None:
    """Raises HTTPException 401 unless the request bears the token in its header."""
    speaker: StreamAudio = request.app.state.stream_audio
    if not speaker.admits(request.headers.get("authorization", ""), ""):
        _refuse(request, bearer_of(request))


def _refuse(request: Request, given: str, more: str = "") -> NoReturn:
    """`given`: the wrong token, or empty. Raises HTTPException, 401 or 429."""
    extra = {**where(request), "reason": "the token is wrong" if given else "there is no token"}
    logger.warning("request for speech without the token refused", extra=extra)
    if given:
        hold_up(request)
    detail = "send the token as Token in the body, or in the header Authorization: Bearer"
    headers = {"WWW-Authenticate": "Bearer"}
    raise HTTPException(401, f"{detail} ({more})" if more else detail, headers)


@router.post(SPEECH)
async def stream_audio(request: Request) -> Response:
    """Say a text, sound by sound as it is made."""
    speaker: StreamAudio = request.app.state.stream_audio
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
    authenticated.passed(request.scope)
    if not speaker.voices:
        raise HTTPException(404, "nobody speaks here; set provider under [voice] in the agent file")
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
    """One text on its way. Its status waits for its first sound.

    Not Starlette's StreamingResponse: that sends its status before there is any sound, and hears of
    a caller who left only where the server speaks an ASGI older than 2.4.
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
                leaving = group.create_task(_left(receive))
                # The end of the answer looks the same to it, and a line may be closing then.
                leaving.add_done_callback(lambda _: self._whole or speaking.cancel())
                speaking.add_done_callback(lambda _: leaving.cancel())
        finally:
            speaker.busy -= 1
        if speaking.cancelled():
            self._log("the caller left, and its speech was dropped")

    async def _speak(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say it with the first voice that can. Left without the body's end once sound was sent,
        the server closes the connection, and the caller reads a cut body."""
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
                self._log("the caller takes nothing, and its speech was dropped")
                return
            else:
                self._log("speech sent")
                return
        await _refusal(failed)(scope, receive, send)

    async def _say_with(self, voice: Voice, send: Send) -> None:
        """Raises VoiceError, or TimeoutError when the caller takes nothing."""
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
        step = self._wanted.hz * 2 * WRITE_MS // 1000
        for start in range(0, len(pcm), step):
            part = pcm[start : start + step]
            self._sent_bytes += len(part)
            async with asyncio.timeout(STUCK_S):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0)  # a burst may not hold up the calls, nor news of who left

    def _start(self) -> Message:
        headers = [
            (b"content-type", self._speaker.content_type.encode("latin-1")),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),  # a proxy that collects the sound holds it back
        ]
        return {"type": "http.response.start", "status": 200, "headers": headers}

    def _log(self, what: str) -> None:
        told = {
            "hz": self._wanted.hz,
            "characters": len(self._wanted.text),
            "first_sound_ms": self._first_ms,
            "sent_bytes": self._sent_bytes,
        }
        logger.info(what, extra={**self._extra, **told})


def _refusal(error: VoiceError) -> Response:
    # A deadline that passed in a voice's own code counts as one as well.
    if isinstance(error.__context__, TimeoutError):
        return problem(504, "the voice gave no sound in time; try again")
    details = {
        "passing": "the voice failed; try again",
        "text": "the voice cannot say this text; say it otherwise",
        "fatal": "the voice cannot be used; the log of this service says why",
    }
    return problem(502, details[error.kind])


class _Rate:
    """Everything that is said for a request, at its rate. One Resampler for all of it: a new one
    for each piece would be heard where they meet."""

    def __init__(self, hz: int) -> None:
        self._hz = hz
        self._from_hz = 0
        self._resampler: Resampler | None = None

    def feed(self, sound: Sound) -> bytes:
        """What can be sent by now."""
        before = b""
        if self._resampler is None or sound.hz != self._from_hz:
            before = self.finish()
            self._resampler = Resampler(sound.hz, self._hz)
            self._from_hz = sound.hz
        return before + self._resampler.feed(sound.pcm)

    def finish(self) -> bytes:
        """What was held back."""
        return self._resampler.finish() if self._resampler is not None else b""


async def _left(receive: Receive) -> None:
    """Wait until the caller is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
