"""Starts and stops a stand-in that serves WebSockets on the loopback."""

import logging
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

_HOST = "127.0.0.1"

# At DEBUG the library logs every header and frame.
_library_logger = logging.getLogger(f"{__name__}.websockets")
_library_logger.setLevel(logging.INFO)


class Listening(ABC):
    """Listens inside `async with`. `port`: 0 takes a free one."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: Server | None = None

    @property
    def port(self) -> int:
        if self._server is None:
            raise RuntimeError("the stand-in does not listen; use it in `async with`")
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def address(self) -> str:
        """The URL without a path."""
        return f"ws://{_HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            _HOST,
            self._port,
            process_request=self._admit,
            process_response=self._respond,
            compression=None,
            ping_interval=None,
            close_timeout=1,
            logger=_library_logger,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    @abstractmethod
    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """The HTTP response that refuses a handshake; None: it is accepted."""

    @abstractmethod
    async def _serve(self, connection: ServerConnection) -> None:
        """Serve a connection to its end."""

    def _respond(
        self, _connection: ServerConnection, _request: Request, response: Response
    ) -> Response:
        """The response of an accepted handshake."""
        return response
