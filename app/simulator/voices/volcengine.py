"""A stand-in for Volcengine's speech service on the loopback: v1 and both of v3 on one port.

async with VolcengineStandIn(token="t0ken") as volcengine:
    ...  # point the voice's url at volcengine.url
    await volcengine.until(lambda heard: heard.said and heard.said[0].dropped)
"""

import hmac
from collections.abc import Callable, Collection
from http import HTTPStatus
from types import TracebackType
from uuid import uuid4

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from app.simulator.voices.listening import Listening
from app.simulator.voices.mouth import Heard, Mouth, PlanFor, always, tones
from app.simulator.voices.volcengine_service import Service
from app.simulator.voices.volcengine_v1 import PATH as V1_PATH
from app.simulator.voices.volcengine_v1 import V1Connection
from app.simulator.voices.volcengine_v3 import PATH as V3_PATH
from app.simulator.voices.volcengine_v3 import V3Connection
from app.simulator.voices.volcengine_v3_stream import PATH as V3_STREAM_PATH
from app.simulator.voices.volcengine_v3_stream import V3Stream

_PROTOCOLS: dict[str, type[V1Connection] | type[V3Connection]] = {
    V1_PATH: V1Connection,
    V3_PATH: V3Connection,
    V3_STREAM_PATH: V3Stream,
}
_GRANT = "authenticate request: load grant: requested grant not found"


class VolcengineStandIn(Listening):
    """Listens inside `async with`.

    Leaving `async with` without another error raises the first exception of `mouth` or `plan`.

    Args:
        mouth: the voice.
        plan: how each text is said.
        token: the access token, also accepted as `X-Api-Key`; empty: every token.
        app_id: the application; empty: every application.
        port: 0 takes a free one.
        gzip: compress answers.
        encoding: the encoding of all answers; empty: the requested one.
        voices: the voices that exist; empty: every one.
        once: close a connection after one text, as some pages of the documentation say.
    """

    def __init__(
        self,
        mouth: Mouth = tones,
        plan: PlanFor = always,
        *,
        token: str = "",
        app_id: str = "",
        port: int = 0,
        gzip: bool = False,
        encoding: str = "",
        voices: Collection[str] = (),
        once: bool = False,
    ) -> None:
        super().__init__(port)
        self._service = Service(mouth, plan, app_id, token, gzip, encoding, frozenset(voices))
        self._once = once

    @property
    def heard(self) -> Heard:
        return self._service.heard

    @property
    def url(self) -> str:
        """The URL without a path; clients add the path of v1 or v3."""
        return self.address

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs of v1 and of both protocols of v3."""
        return tuple(self.address + path for path in _PROTOCOLS)

    async def until(self, condition: Callable[[Heard], object]) -> None:
        """Wait for a condition, checked after every change of `heard`."""
        while not condition(self.heard):
            await self._service.news()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await super().__aexit__(kind, error, trace)
        if error is None and self._service.failures:
            raise self._service.failures[0]

    async def _serve(self, connection: ServerConnection) -> None:
        self.heard.connections += 1
        self._service.tell()
        path = connection.request.path if connection.request is not None else ""
        await _PROTOCOLS[path](connection, self._service, once=self._once).run()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path not in _PROTOCOLS:
            return connection.respond(HTTPStatus.NOT_FOUND, "no such path\n")
        known = self._known_v1(request) if request.path == V1_PATH else self._known_v3(request)
        if not known:
            return connection.respond(HTTPStatus.UNAUTHORIZED, _GRANT)
        if request.path != V1_PATH and not request.headers.get("X-Api-Resource-Id"):
            return connection.respond(HTTPStatus.BAD_REQUEST, "no X-Api-Resource-Id\n")
        return None

    def _known_v1(self, request: Request) -> bool:
        scheme, semicolon, token = request.headers.get("Authorization", "").partition(";")
        return (
            scheme == "Bearer" and bool(semicolon) and self._is(token.strip(), self._service.token)
        )

    def _known_v3(self, request: Request) -> bool:
        headers = request.headers
        if "X-Api-Key" in headers:
            return self._is(headers["X-Api-Key"], self._service.token)
        app_id = headers.get("X-Api-App-Key") or headers.get("X-Api-App-Id", "")  # by page
        return self._is(app_id, self._service.app_id) and self._is(
            headers.get("X-Api-Access-Key", ""), self._service.token
        )

    @staticmethod
    def _is(shown: str, wanted: str) -> bool:
        if not wanted:
            return bool(shown)
        return hmac.compare_digest(shown.encode(), wanted.encode())

    def _respond(
        self, _connection: ServerConnection, _request: Request, response: Response
    ) -> Response:
        response.headers["X-Tt-Logid"] = uuid4().hex
        return response
