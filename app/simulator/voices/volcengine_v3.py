"""Volcengine's v3 (`bidirection`), the server's side: sessions, strict about the order of events.

Written from the protocol alone; it shares no code with the bridge's codec.

Texts of one session are joined, as the service does with fragments: a sentence is said when its end
arrives, when no text follows for 200 ms, or when the session is finished.
"""

import asyncio
import contextlib
import gzip
import json
import re
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from app.simulator.voices.volcengine_service import (
    ENCODINGS,
    LARGEST_TEXT_BYTES,
    Broken,
    Refusal,
    Service,
    nothing_to_say,
    within,
)

PATH = "/api/v3/tts/bidirection"

_RATES = {8000, 16000, 22050, 24000, 32000, 44100, 48000}
INVALID, _NO_TEXT, _TOO_LONG, _CONCURRENCY = 45000001, 45002001, 40402003, 45000292
_SERVER = 55000000
_USAGE_HEADER = "X-Control-Require-Usage-Tokens-Return"
_PAUSE_S = 0.2
# The end of a sentence. A full stop after a digit waits for more text: it may be a decimal point.
_ENDED = re.compile(r"(?:[!?。！？…；\n]|(?<!\d)\.)[\s\"'”’」)]*\Z")


@dataclass(slots=True)
class V3Session:
    """A session: texts in, sound out."""

    id: str
    hz: int
    encoding: str
    #: Texts as they came; None after the last one.
    texts: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)
    #: Characters said so far.
    said: int = 0
    speaking: asyncio.Task[None] | None = None
    finishing: bool = False


class V3Connection:
    """One connection. `once`: close it after one session."""

    def __init__(self, socket: ServerConnection, service: Service, *, once: bool) -> None:
        self._socket = socket
        self._service = service
        self._once = once
        self._connection_id = ""
        self._session: V3Session | None = None

    async def run(self) -> None:
        try:
            async for frame in self._socket:
                await self._take(*_read(frame))
        except Refusal as refusal:
            await self._fail(refusal)
        except ConnectionClosed:
            pass
        finally:
            await self._silence()

    async def _take(self, event: int, session: str, body: dict[str, Any]) -> None:
        if event == 1 and not self._connection_id:
            self._connection_id = str(uuid4())
            await self._tell(50, self._connection_id, {})
            return
        if not self._connection_id:
            raise Refusal(INVALID, "StartConnection comes first")
        match event:
            case 2:
                await self._finish_connection()
            case 100:
                await self._start(session, body)
            case 200 | 101 | 102 if self._session is None or self._session.id != session:
                if session not in self._service.used_ids:
                    raise Refusal(INVALID, "no such session")
            case 200:
                assert self._session is not None
                params = self._params(200, body)
                self._session.texts.put_nowait(self._text(self._session, params))
            case 102:
                assert self._session is not None
                self._session.finishing = True
                self._session.texts.put_nowait(None)
            case 101:
                await self._silence()
                await self._tell(151, session, {})
            case _:
                raise Refusal(INVALID, f"unexpected event {event}")

    async def _start(self, session: str, body: dict[str, Any]) -> None:
        if self._session is not None:
            raise Refusal(INVALID, "one session at a time")
        if not session or session in self._service.used_ids:
            raise Refusal(INVALID, "a session id is new and not empty")
        self._service.used_ids.add(session)
        opened = self._opened(session, self._params(100, body))
        await self._tell(150, session, {})
        opened.speaking = asyncio.create_task(self._speak(opened))

    def _opened(self, session: str, params: dict[str, Any]) -> V3Session:
        """The current session from now on."""
        sound = params.get("audio_params", {})
        self._session = V3Session(
            session, sound.get("sample_rate", 24000), sound.get("format", "mp3")
        )
        return self._session

    async def _finish_connection(self) -> None:
        await self._silence()
        await self._tell(52, self._connection_id, {})
        await self._socket.close()

    def _params(self, event: int | None, body: dict[str, Any]) -> dict[str, Any]:
        """The `req_params` of an event; None: of a request without one.

        Raises Refusal if they are wrong.
        """
        params = body.get("req_params")
        if not isinstance(body.get("user", {}), dict):
            raise Refusal(INVALID, "user is an object")
        named = (body.get("event", event), body.get("namespace", "BidirectionalTTS"))
        if event is not None and named != (event, "BidirectionalTTS"):
            raise Refusal(INVALID, "the envelope names another event or namespace")
        if not isinstance(params, dict) or not isinstance(params.get("audio_params", {}), dict):
            raise Refusal(INVALID, "no req_params")
        speaker, sound = params.get("speaker"), params.get("audio_params", {})
        if not isinstance(speaker, str) or not speaker:
            raise Refusal(INVALID, "speaker not found")
        if self._service.voices and speaker not in self._service.voices:
            raise Refusal(INVALID, "speaker not found")
        if str(sound.get("format", "mp3")) not in ENCODINGS:
            raise Refusal(INVALID, "invalid format")
        rate = sound.get("sample_rate", 24000)
        if not isinstance(rate, int) or rate not in _RATES:
            raise Refusal(INVALID, "invalid sample_rate")
        for name in ("speech_rate", "loudness_rate"):
            if not within(sound.get(name, 0), -50, 100):
                raise Refusal(INVALID, f"invalid {name}")
        additions = params.get("additions", "{}")
        try:
            json.loads(additions)
        except (TypeError, ValueError):
            raise Refusal(INVALID, "additions is a string with JSON") from None
        return params

    def _text(self, session: V3Session, params: dict[str, Any]) -> str:
        text = params.get("ssml") or params.get("text")
        if session.finishing or not isinstance(text, str):
            raise Refusal(INVALID, "no text, or one after FinishSession")
        return text

    async def _speak(self, session: V3Session) -> None:
        try:
            waiting: str | None = ""
            while waiting is not None:
                waiting = await self._say_next(session, waiting)
            self._session = None
            await self._tell(152, session.id, self._finished(session))
            if self._once:
                await self._socket.close()
        except Refusal as refusal:
            self._session = None
            told = {"status_code": refusal.code, "message": refusal.message}
            with contextlib.suppress(ConnectionClosed):
                await self._tell(153, session.id, told)
        except Broken as broken:
            if broken.fault == "error":
                await self._fail(Refusal(_SERVER, "server processing error"))
            elif broken.fault == "drop":
                self._socket.transport.abort()
        except ConnectionClosed:
            pass
        except Exception as error:
            self._service.failures.append(error)
            self._service.tell()
            await self._socket.close(1011)

    async def _say_next(self, session: V3Session, waiting: str) -> str | None:
        """Take the next text, and say everything that waits if it is due.

        Returns what waits for more text; None: the session is over.
        """
        try:
            async with asyncio.timeout(None if nothing_to_say(waiting) else _PAUSE_S):
                text = await session.texts.get()
        except TimeoutError:
            await self._say(session, waiting)
            return ""
        if text is not None and len(text.encode()) > LARGEST_TEXT_BYTES:
            raise Refusal(_TOO_LONG, "TTSExceededTextLimit: exceed max limit")
        waiting += text or ""
        if not nothing_to_say(waiting) and (text is None or _ENDED.search(waiting)):
            await self._say(session, waiting)
            waiting = ""
        if text is None and waiting and not session.said:
            raise Refusal(_NO_TEXT, "no readable text")
        return None if text is None else waiting

    async def _say(self, session: V3Session, text: str) -> None:
        session.said += len(text)
        plan = self._service.plan(text)
        if plan.fault == "refuse":
            raise Refusal(_CONCURRENCY, "quota exceeded for types: concurrency")
        said = await self._service.listen(text, session.hz)
        await self._tell(350, session.id, {"text": text})

        async def send(piece: bytes, _last: bool) -> None:
            await self._socket.send(self._frame(0xB4, 0, 352, session.id, piece))

        await self._service.say(said, plan, session.encoding, send)
        await self._tell(351, session.id, {"text": text})

    def _finished(self, session: V3Session) -> dict[str, Any]:
        body: dict[str, Any] = {"status_code": 20000000, "message": "ok"}
        request = self._socket.request
        if request is not None and request.headers.get(_USAGE_HEADER) in ("*", "text_words"):
            body["usage"] = {"text_words": session.said}
        return body

    async def _silence(self) -> None:
        """End the current session, if any, without sending an event."""
        session, self._session = self._session, None
        if session is not None and session.speaking is not None:
            session.speaking.cancel()
            await asyncio.gather(session.speaking, return_exceptions=True)

    async def _tell(self, event: int, name: str, body: dict[str, Any]) -> None:
        await self._socket.send(self._frame(0x94, 1, event, name, json.dumps(body).encode()))

    def _frame(self, kind: int, serialization: int, event: int, name: str, data: bytes) -> bytes:
        head = bytes((0x11, kind, serialization << 4 | self._service.gzip, 0))
        return head + struct.pack(">i", event) + _sized(name.encode()) + _sized(self._packed(data))

    async def _fail(self, refusal: Refusal) -> None:
        told = self._packed(json.dumps({"error": refusal.message}).encode())
        head = bytes((0x11, 0xF0, 0x10 | self._service.gzip, 0)) + struct.pack(">I", refusal.code)
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(head + _sized(told))
            await self._socket.close()

    def _packed(self, data: bytes) -> bytes:
        return gzip.compress(data) if self._service.gzip else data


def _read(frame: str | bytes) -> tuple[int, str, dict[str, Any]]:
    """The number, session id and JSON of an event. Raises Refusal if it cannot be read."""
    if isinstance(frame, str) or frame[:2] != b"\x11\x14" or frame[2:4] not in _HEADS:
        raise Refusal(INVALID, "not the header of an event")
    try:
        (event,) = struct.unpack_from(">i", frame, 4)
        at, session = 8, b""
        if event not in (1, 2):
            session, at = _field(frame, at)
        payload, at = _field(frame, at)
        if at != len(frame):
            raise Refusal(INVALID, "payload size does not match")
        body = json.loads(gzip.decompress(payload) if frame[2] & 1 else payload)
        if not isinstance(body, dict):
            raise Refusal(INVALID, "payload is no object")
        return event, session.decode(), body
    except (struct.error, OSError, EOFError, ValueError, zlib.error):
        raise Refusal(INVALID, "an event that cannot be read") from None


_HEADS = (b"\x10\x00", b"\x11\x00")


def _field(frame: bytes, at: int) -> tuple[bytes, int]:
    (size,) = struct.unpack_from(">I", frame, at)
    end = at + 4 + size
    return frame[at + 4 : end], end


def _sized(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
