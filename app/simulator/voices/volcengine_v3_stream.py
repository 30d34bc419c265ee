"""Volcengine's v3 one-way stream (`unidirectional/stream`), the server's side: one text a request,
its sound in events. A connection takes one request after the other.

(Volcengine: one-way streaming WebSocket v3, "2.1 request" and "2.3 events")
"""

import asyncio
import gzip
import json
import struct
import zlib
from typing import Any
from uuid import uuid4

from websockets.exceptions import ConnectionClosed

from app.simulator.voices.volcengine_service import Refusal
from app.simulator.voices.volcengine_v3 import INVALID, V3Connection

PATH = "/api/v3/tts/unidirectional/stream"

_FINISH_CONNECTION = b"\x11\x14\x10\x00" + struct.pack(">i", 2)


class V3Stream(V3Connection):
    """One connection. `once`: close it after one request."""

    async def run(self) -> None:
        try:
            async for frame in self._socket:
                if isinstance(frame, bytes) and frame.startswith(_FINISH_CONNECTION):
                    await self._finish_connection()
                else:
                    await self._request(_read(frame))
        except Refusal as refusal:
            await self._fail(refusal)
        except ConnectionClosed:
            pass
        finally:
            await self._silence()

    async def _request(self, body: dict[str, Any]) -> None:
        if self._session is not None:
            raise Refusal(INVALID, "one request at a time")
        params = self._params(None, body)
        session = self._opened(str(uuid4()), params)
        session.texts.put_nowait(self._text(session, params))
        session.texts.put_nowait(None)
        session.finishing = True
        session.speaking = asyncio.create_task(self._speak(session))


def _read(frame: str | bytes) -> dict[str, Any]:
    """The JSON of a request. Raises Refusal if it cannot be read."""
    if isinstance(frame, str) or frame[:4] not in (b"\x11\x10\x10\x00", b"\x11\x10\x11\x00"):
        raise Refusal(INVALID, "not the header of a request")
    payload = frame[8:]
    if frame[4:8] != struct.pack(">I", len(payload)):
        raise Refusal(INVALID, "payload size does not match")
    try:
        body = json.loads(gzip.decompress(payload) if frame[2] & 1 else payload)
    except (OSError, EOFError, ValueError, zlib.error):
        raise Refusal(INVALID, "a request that cannot be read") from None
    if not isinstance(body, dict):
        raise Refusal(INVALID, "payload is no object")
    return body
