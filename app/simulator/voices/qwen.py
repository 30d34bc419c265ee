"""A Qwen realtime voice on the loopback, strict about client events.

It speaks raw JSON over real sockets and imports nothing from the bridge's wires. It sends every
documented event, in the documented order.

    async with QwenStandIn() as qwen:
        ...  # connect to qwen.url, with ?model=
        await qwen.until(lambda: len(qwen.heard.said) == 1)

(DashScope: Qwen-TTS Realtime API, client events and server events)
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from app.simulator.voices.listening import Listening
from app.simulator.voices.mouth import Heard, Mouth, PlanFor, always, tones
from app.simulator.voices.qwen_session import QwenSession

__all__ = ["QwenSession", "QwenStandIn"]

_PATH = "/api-ws/v1/realtime"


class QwenStandIn(Listening):
    """Listens inside `async with`.

    Args:
        mouth: the voice.
        plan: how each text is said. A plan that refuses the empty text refuses handshakes with 503;
            another refused text gets an error before its first sound.
        api_key: the only key that is accepted; empty: every key.
        port: 0 takes a free one.
    """

    def __init__(
        self, mouth: Mouth = tones, plan: PlanFor = always, api_key: str = "", port: int = 0
    ) -> None:
        super().__init__(port)
        self.heard = Heard()
        #: Every session, in order.
        self.sessions: list[QwenSession] = []
        #: The HTTP statuses of refused handshakes.
        self.refusals: list[int] = []
        self._mouth, self._plan, self._api_key = mouth, plan, api_key
        self._news = asyncio.Event()

    @property
    def url(self) -> str:
        """The URL for clients, which add the model."""
        return f"{self.address}{_PATH}"

    @property
    def open_sessions(self) -> list[QwenSession]:
        return [session for session in self.sessions if session.open]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition, checked whenever an event was sent or received."""
        while not condition():
            self._news.clear()
            await self._news.wait()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        status = self._judge(request)
        if status is None:
            return None
        self.refusals.append(status)
        self._news.set()
        return connection.respond(status, f"{status.phrase}\n")

    def _judge(self, request: Request) -> HTTPStatus | None:
        """The status that refuses a handshake; None: it is accepted."""
        scheme, _, key = (request.headers.get("Authorization") or "").partition(" ")
        if scheme != "Bearer" or not key.strip() or self._api_key not in ("", key):
            return HTTPStatus.UNAUTHORIZED
        address = urlsplit(request.path)
        if address.path != _PATH:
            return HTTPStatus.NOT_FOUND
        models = parse_qs(address.query).get("model", [])
        if len(models) != 1:
            return HTTPStatus.BAD_REQUEST
        if self._plan("").fault == "refuse":
            return HTTPStatus.SERVICE_UNAVAILABLE
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        model = parse_qs(urlsplit(connection.request.path).query)["model"][0]
        self.heard.connections += 1
        session = QwenSession(
            connection,
            self.heard,
            number=self.heard.connections,
            model=model,
            mouth=self._mouth,
            plan=self._plan,
            on_news=self._news.set,
        )
        self.sessions.append(session)
        with suppress(ConnectionClosed):
            await session.run()
        self._news.set()
