"""A server of the custom HTTP text-to-speech standard, as an owner would write it, with a synthetic
voice, a token and faults.

https://www.alibabacloud.com/help/en/ims/user-guide/tts-configuration
"""

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from app.simulator.voices.mouth import Heard, Mouth, Plan, PlanFor, Said, always, tones

_RATES_HZ = (8000, 16000, 24000, 48000)
_EMOTIONS = ("neutral", "happy", "sad")
_FORMS = ("/x-www-form-urlencoded", "/form-data")
_WRITE_BYTES = 4096
#: Type of each field, and whether it is required.
_FIELDS: Mapping[str, tuple[type, bool]] = {
    "Text": (str, True),
    "VoiceId": (str, False),
    "SampleRate": (int, True),
    "Token": (str, False),
    "ExtendData": (str, True),
}
_EXTENDED: Mapping[str, tuple[type, bool]] = {
    "InstanceId": (str, True),
    "ChannelId": (str, True),
    "SentenceId": (int, True),
    "Emotion": (str, False),
    "UserData": (str, False),
}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpStandIn:
    """Answers `POST /stream-audio` with PCM, labelled audio/mpeg as servers of the standard do.

    It takes JSON and forms, and answers a missing, unknown or mistyped field with 400 and the
    field's name. It sends its headers before any sound exists. Of a plan's faults, refuse is a 503;
    error is a 500, or a cut body after the first sound: the standard has no other way to report it.

    `token`: the token that a text needs; empty: none.
    """

    def __init__(
        self, mouth: Mouth = tones, plan: PlanFor = always, token: str = "", port: int = 0
    ) -> None:
        self.heard = Heard()
        #: Every accepted body, with ExtendData decoded.
        self.requests: list[dict[str, Any]] = []
        #: Where to send texts.
        self.url = ""
        self._mouth = mouth
        self._plan = plan
        self._token = token
        self._port = port
        self._runner: web.AppRunner | None = None
        self._connections: set[object] = set()
        self._speaking = 0
        self._silent = asyncio.Event()
        self._silent.set()

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._count])
        app.add_routes([web.post("/stream-audio", self._stream_audio)])
        # Without handler_cancellation a client that left is noticed at the next write only.
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/stream-audio"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def wait_silent(self) -> None:
        """Wait until no text is being said: each is complete, broken or dropped."""
        await self._silent.wait()

    @web.middleware
    async def _count(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if request.protocol not in self._connections:
            self._connections.add(request.protocol)
            self.heard.connections += 1
        return await handler(request)

    async def _stream_audio(self, request: web.Request) -> web.StreamResponse:
        try:
            body = _checked(await _fields(request))
        except ValueError as fault:
            return web.Response(status=400, text=str(fault))
        if self._token and not hmac.compare_digest(
            str(body.get("Token", "")).encode(), self._token.encode()
        ):
            return web.Response(status=401, text="Token: not the one")
        self.requests.append(body)
        text, hz = body["Text"], body["SampleRate"]
        plan = self._plan(text)
        if plan.fault == "refuse":
            return web.Response(status=503, text="not now")
        said = Said(text, self._mouth(text, hz), hz)
        self.heard.said.append(said)
        if plan.fault == "error" and not plan.fault_after_bytes:
            return web.Response(status=500, text="no voice")
        response = web.StreamResponse(headers={"Content-Type": "audio/mpeg"})
        self._speaking += 1
        self._silent.clear()
        try:
            await response.prepare(request)
            if await self._say(response, said, plan):
                await response.write_eof()
                said.whole = True
        except ConnectionError:
            said.dropped = True
            return response
        except asyncio.CancelledError:
            said.dropped = True
            raise
        finally:
            self._speaking -= 1
            if not self._speaking:
                self._silent.set()
        if not said.whole and request.transport is not None:
            request.transport.close()  # after what was sent, without the end of the body
        return response

    async def _say(self, response: web.StreamResponse, said: Said, plan: Plan) -> bool:
        """Send the sound. Returns whether all of it was sent; a stall lasts until cancelled."""
        pcm, bytes_per_s = said.spoken.pcm, said.hz * 2
        end = min(plan.fault_after_bytes, len(pcm)) if plan.fault else len(pcm)
        step = max(2, plan.chunk_ms * bytes_per_s // 1000 & ~1)
        loop = asyncio.get_running_loop()
        first_s = loop.time() + plan.delay_ms / 1000
        for start in range(0, end, step):
            wait_s = first_s + start / bytes_per_s / plan.speed - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            piece = pcm[start : min(start + step, end)]
            for at in range(0, len(piece), _WRITE_BYTES):
                part = piece[at : at + _WRITE_BYTES]
                await response.write(part)
                said.sent_bytes += len(part)
        if plan.fault == "stall":
            await loop.create_future()
        return not plan.fault


async def _fields(request: web.Request) -> object:
    """The fields of a body. A form has text alone: its SampleRate is converted. Raises ValueError
    for invalid JSON."""
    if not request.content_type.endswith(_FORMS):
        return json.loads(await request.text())
    fields: dict[str, object] = dict(await request.post())
    rate = fields.get("SampleRate")
    if isinstance(rate, str) and rate.isdecimal():
        fields["SampleRate"] = int(rate)
    return fields


def _checked(fields: object) -> dict[str, Any]:
    """The body, with ExtendData decoded. Raises ValueError with the name of a wrong field."""
    body = _object("body", fields, _FIELDS)
    if body["SampleRate"] not in _RATES_HZ:
        raise ValueError(f"SampleRate: expected one of {_RATES_HZ}")
    body["ExtendData"] = _object("ExtendData", json.loads(body["ExtendData"]), _EXTENDED)
    if body["ExtendData"].get("Emotion", "neutral") not in _EMOTIONS:
        raise ValueError(f"Emotion: expected one of {_EMOTIONS}")
    return body


def _object(place: str, value: object, fields: Mapping[str, tuple[type, bool]]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{place}: expected an object")
    if unknown := sorted(value.keys() - fields.keys()):
        raise ValueError(f"{place}: {', '.join(unknown)} is unknown")
    for name, (kind, required) in fields.items():
        if name not in value:
            if required:
                raise ValueError(f"{name}: missing")
        elif type(value[name]) is not kind:
            raise ValueError(f"{name}: expected {kind.__name__}")
    return value
