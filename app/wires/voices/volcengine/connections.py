"""WebSocket connections to Volcengine, and the background tasks that open and close them.

A voice has one `Connections`. Its `aclose` leaves no connection and no task behind.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response
from websockets.protocol import State

from app.errors import ProtocolError, VoiceError
from app.wires.voices.connect import SILENCE_S, open_websocket, websocket_lost
from app.wires.voices.volcengine.errors import handshake_error
from app.wires.voices.waits import Waits

logger = logging.getLogger(__name__)

#: How long an idle connection is reused. When the service closes it is not documented.
FRESH_S = 30.0

Read = TypeVar("Read")


class Connection:
    """One connection. It serves one text at a time.

    `has_session_ids`: True for v3, whose events name their session; v1's frames name no text.
    """

    def __init__(self, socket: ClientConnection, *, has_session_ids: bool) -> None:
        #: It was idle before the current text. The peer may have closed it unnoticed meanwhile.
        self.reused = False
        self._socket = socket
        self._waits = Waits()  # for frames
        self._has_session_ids = has_session_ids
        self._trusted_until_s = asyncio.get_running_loop().time() + FRESH_S
        response = socket.response
        #: `X-Tt-Logid`, which Volcengine's support asks for; empty if the server sent none.
        self.logid = response.headers.get("X-Tt-Logid", "") if response is not None else ""

    @property
    def open(self) -> bool:
        return self._socket.state is State.OPEN

    def set_idle(self) -> None:
        """Call it at the end of a text, to reuse the connection within `FRESH_S`."""
        self._trusted_until_s = asyncio.get_running_loop().time() + FRESH_S

    async def reusable(self) -> bool:
        """Whether the connection can serve another text; sets `reused` then.

        It must be open and not idle for longer than `FRESH_S`. Without session ids it must not have
        received anything either: a late frame would count as the next text's.
        """
        if not self.open or asyncio.get_running_loop().time() > self._trusted_until_s:
            return False
        self.reused = True
        return self._has_session_ids or await self._silent()

    async def _silent(self) -> bool:
        try:
            async with asyncio.timeout(0):
                await self._socket.recv()
        except TimeoutError:
            return True
        except ConnectionClosed:
            pass
        return False

    async def send(self, frame: bytes) -> None:
        """Send a frame.

        Raises:
            VoiceError: the connection is lost, or its write buffer stays full for `SILENCE_S`.
        """
        try:
            async with asyncio.timeout(SILENCE_S):
                await self._socket.send(frame)
        except ConnectionClosed as error:
            raise websocket_lost("volcengine", error, self._id) from None
        except TimeoutError:
            raise VoiceError(f"volcengine read nothing for {SILENCE_S:g} s{self._id}") from None

    async def receive(self, parse: Callable[[bytes], Read]) -> Read:
        """The next frame, parsed.

        Raises:
            VoiceError: the connection is lost or silent for `SILENCE_S`, or the frame is malformed.
        """
        try:
            with self._waits.within(SILENCE_S):
                message = await self._socket.recv()
            if isinstance(message, str):
                raise ProtocolError("a text message came, expected binary")
            return parse(message)
        except ConnectionClosed as error:
            raise websocket_lost("volcengine", error, self._id) from None
        except TimeoutError:
            raise VoiceError(f"volcengine was silent for {SILENCE_S:g} s{self._id}") from None
        except ProtocolError as error:
            raise VoiceError(f"volcengine violated its protocol: {error}{self._id}") from None

    async def close(self) -> None:
        """Close the connection. The close handshake takes `CLOSE_S` at most."""
        try:
            await self._socket.close()
        finally:
            self.abort()

    def abort(self) -> None:
        """Close the connection without a close handshake."""
        self._waits.close()
        self._socket.transport.abort()

    @property
    def _id(self) -> str:
        return f" (logid {self.logid})" if self.logid else ""


class Connections:
    """A voice's connections and background tasks. Call `aclose` at the end."""

    def __init__(self) -> None:
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def open(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        has_session_ids: bool,
        private: Sequence[str],
        label: str,
    ) -> Connection:
        """Open a connection within `CONNECT_S`.

        Args:
            url: The WebSocket address.
            headers: Of the handshake.
            has_session_ids: See `Connection`.
            private: Strings that no error message may quote.
            label: The voice's, for the log.

        Raises:
            VoiceError: the server refused the connection or is unreachable, or the voice is closed.
        """
        if self._closed:
            raise VoiceError("the voice is closed", kind="fatal")
        loop = asyncio.get_running_loop()
        began_s = loop.time()

        def refused(response: Response) -> VoiceError:
            body = (response.body or b"").decode("utf-8", "replace")
            logid = response.headers.get("X-Tt-Logid", "")
            return handshake_error(response.status_code, body, private=private, logid=logid)

        socket = await open_websocket("volcengine", url, headers, refused)
        connection = Connection(socket, has_session_ids=has_session_ids)
        if self._closed:
            connection.abort()
            raise VoiceError("the voice is closed", kind="fatal")
        self._connections.add(connection)
        connect_ms = round((loop.time() - began_s) * 1000)
        extra = {"voice": label, "logid": connection.logid, "connect_ms": connect_ms}
        logger.info("voice connected", extra=extra)
        return connection

    def close_in_background(self, connection: Connection) -> None:
        """Close a connection without waiting for the close handshake."""
        self.run_in_background(self._close(connection))

    def run_in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Run a coroutine as a task; `aclose` cancels it. None: the voice is closed already."""
        if self._closed:
            work.close()
            return None
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """Cancel all tasks and abort all connections."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in self._connections:
            connection.abort()
        self._connections.clear()

    async def _close(self, connection: Connection) -> None:
        self._connections.discard(connection)
        await connection.close()
