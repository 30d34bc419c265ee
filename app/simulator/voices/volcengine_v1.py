"""Volcengine's v1 (`ws_binary`), the server's side: strict about requests, one after the other.

Written from the protocol alone; it shares no code with the bridge's codec.
"""

import asyncio
import audioop
import contextlib
import gzip
import json
import struct
import zlib
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from app.simulator.voices.mouth import Said
from app.simulator.voices.volcengine_service import (
    ENCODINGS,
    LARGEST_TEXT_BYTES,
    Broken,
    Refusal,
    Service,
    nothing_to_say,
    within,
)

PATH = "/api/v1/tts/ws_binary"

_RATES = {8000, 16000, 24000}
_RATIOS = {
    "speed_ratio": (0.1, 3.0),
    "volume_ratio": (0.1, 3.0),
    "pitch_ratio": (0.1, 3.0),
    "loudness_ratio": (0.5, 2.0),
    "emotion_scale": (1.0, 5.0),
}
_ACK = b"\x11\xb0\x00\x00"
_SILENT_RMS = 100


class V1Connection:
    """One connection. `once`: close it after one request."""

    def __init__(self, socket: ServerConnection, service: Service, *, once: bool) -> None:
        self._socket = socket
        self._service = service
        self._once = once
        self._said: Said | None = None

    async def run(self) -> None:
        answering: asyncio.Task[None] | None = None
        try:
            async for frame in self._socket:
                if answering is not None:
                    if not answering.done() and not (self._said and self._said.whole):
                        await self._fail(Refusal(3001, "one request at a time"), "")
                        return
                    await answering
                answering = asyncio.create_task(self._answer(frame))
        except ConnectionClosed:
            pass
        finally:
            if answering is not None:
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)

    async def _answer(self, frame: str | bytes) -> None:
        self._said = None
        reqid = ""
        try:
            body = _read(frame)
            reqid = str(_section(body, "request").get("reqid", ""))
            await self._speak(self._checked(body))
        except Refusal as refusal:
            await self._fail(refusal, reqid)
        except Broken as broken:
            if broken.fault == "error":
                await self._fail(Refusal(3031, "processing error"), reqid)
            elif broken.fault == "drop":
                self._socket.transport.abort()
        except ConnectionClosed:
            pass
        except Exception as error:
            self._service.failures.append(error)
            self._service.tell()
            await self._socket.close(1011)
        else:
            if self._once:
                await self._socket.close()

    async def _speak(self, body: dict[str, Any]) -> None:
        request, sound = body["request"], body["audio"]
        plan = self._service.plan(request["text"])
        if plan.fault == "refuse":
            raise Refusal(3003, "quota exceeded for types: concurrency")
        said = self._said = await self._service.listen(request["text"], sound.get("rate", 24000))
        query = request["operation"] == "query"
        if not query:  # a query is answered with a single frame
            await self._socket.send(_ACK)
        if str(request.get("with_timestamp", "")) == "1":
            await self._socket.send(self._frame(0xC0, 1, b"", json.dumps(_timestamps(said))))
        count = 0

        async def send(piece: bytes, last: bool) -> None:
            nonlocal count
            count += 1
            number = struct.pack(">i", -count if last else count)
            await self._socket.send(self._frame(0xB3 if last else 0xB1, 0, number, piece))

        encoding = sound.get("encoding", "pcm")
        await self._service.say(said, plan, encoding, send, at_once=query)

    def _frame(self, kind: int, serialization: int, fields: bytes, payload: bytes | str) -> bytes:
        data = payload.encode() if isinstance(payload, str) else payload
        if self._service.gzip:
            data = gzip.compress(data)
        head = bytes((0x11, kind, serialization << 4 | self._service.gzip, 0))
        return head + fields + struct.pack(">I", len(data)) + data

    async def _fail(self, refusal: Refusal, reqid: str) -> None:
        told = {"reqid": reqid, "code": refusal.code, "message": refusal.message}
        frame = self._frame(0xF0, 1, struct.pack(">I", refusal.code), json.dumps(told))
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(frame)
            await self._socket.close()

    def _checked(self, body: dict[str, Any]) -> dict[str, Any]:
        """The request. Raises Refusal if it is wrong."""
        service = self._service
        app, user, sound, request = (
            _section(body, name) for name in ("app", "user", "audio", "request")
        )
        if service.app_id and app.get("appid") != service.app_id:
            raise Refusal(3001, "authenticate request: load grant: requested grant not found")
        for section, name in ((app, "appid"), (app, "token"), (app, "cluster"), (user, "uid"),
                              (sound, "voice_type"), (request, "reqid")):  # fmt: skip
            if not isinstance(section.get(name), str) or not section[name]:
                raise Refusal(3001, f"invalid {name}")
        if service.voices and sound["voice_type"] not in service.voices:
            raise Refusal(3050, "voice type not found")
        if str(sound.get("encoding", "pcm")) not in ENCODINGS:
            raise Refusal(3001, "invalid encoding")
        rate = sound.get("rate", 24000)
        if not isinstance(rate, int) or rate not in _RATES:
            raise Refusal(3001, "invalid rate")
        for name, (low, high) in _RATIOS.items():
            if not within(sound.get(name, 1.0), low, high):
                raise Refusal(3001, f"invalid {name}")
        if request.get("operation") not in ("submit", "query"):
            raise Refusal(3001, "invalid operation")
        if request.get("text_type", "plain") not in ("plain", "ssml"):
            raise Refusal(3001, "invalid text_type")
        if request.get("text_type") == "ssml" and "with_timestamp" in request:
            raise Refusal(3001, "with_timestamp takes no ssml")
        if not isinstance(request.get("extra_param", ""), str):
            raise Refusal(3001, "extra_param is a string")
        if request["reqid"] in service.used_ids:
            raise Refusal(3006, "duplicated reqid")
        service.used_ids.add(request["reqid"])
        text = request.get("text")
        if not isinstance(text, str) or nothing_to_say(text):
            raise Refusal(3011, "illegal input text!")
        if len(text.encode()) > LARGEST_TEXT_BYTES:
            raise Refusal(3010, "text too long")
        return body


def _read(frame: str | bytes) -> dict[str, Any]:
    if isinstance(frame, str) or len(frame) < 8:
        raise Refusal(3001, "not a frame")
    if frame[0] != 0x11 or frame[1] != 0x10 or frame[2] not in (0x10, 0x11) or frame[3]:
        raise Refusal(3001, "not the header of a full client request")
    payload = frame[8:]
    if struct.unpack(">I", frame[4:8]) != (len(payload),):
        raise Refusal(3001, "payload size does not match")
    try:
        body = json.loads(gzip.decompress(payload) if frame[2] & 1 else payload)
    except (OSError, EOFError, ValueError, zlib.error):
        raise Refusal(3001, "payload cannot be read") from None
    if not isinstance(body, dict):
        raise Refusal(3001, "payload is no object")
    return body


def _section(body: dict[str, Any], name: str) -> dict[str, Any]:
    section = body.get(name)
    if not isinstance(section, dict):
        raise Refusal(3001, f"no {name}")
    return section


def _timestamps(said: Said) -> dict[str, Any]:
    """The times of the words, in seconds. The mouth may join words, such as "of the": they share
    their sound by their letters."""
    spoken, per_second = said.spoken, said.hz * 2
    ends = [word.offset_bytes for word in spoken.words[1:]] + [len(spoken.pcm)]
    timed = []
    for word, behind in zip(spoken.words, ends, strict=True):
        parts = word.text.split()
        begin, end = (
            word.offset_bytes,
            _sounding_end(spoken.pcm, word.offset_bytes, behind, said.hz),
        )
        letters = sum(map(len, parts))
        for part in parts:
            until = begin + (end - begin) * len(part) / letters
            timed.append((part, begin / per_second, until / per_second))
            begin, letters = round(until), letters - len(part)
    words = [{"word": word, "start_time": at, "end_time": end} for word, at, end in timed]
    return {"phonemes": [], "words": words}


def _sounding_end(pcm: bytes, start: int, end: int, hz: int) -> int:
    """Where the silence begins that ends at `end`, to 10 ms."""
    step = hz // 100 * 2
    while end - start > step and audioop.rms(pcm[end - step : end], 2) < _SILENT_RMS:
        end -= step
    return end
