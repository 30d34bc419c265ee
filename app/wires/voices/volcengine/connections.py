"""Sockets to Volcengine: opened with a deadline, closed in the background, every one accounted for.

A voice has one `Sockets`; what it opened and what it still does is gone after its `aclose`.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.protocol import State

from app.errors import ProtocolError, VoiceError
from app.wires.voices.volcengine.errors import turned_away

logger = logging.getLogger(__name__)

# The library would log every header and frame at DEBUG, so the token and the text.
_library_logger = logging.getLogger(f"{__name__}.frames")
_library_logger.setLevel(logging.INFO)

CONNECT_S = 5.0
SILENCE_S = 8.0  # the vendor's own SDK gives up on a socket that says nothing for so long
GOODBYE_S = 1.0
FRESH_S = 30.0  # how long an idle socket is trusted; when the service hangs up is not documented
LARGEST_MESSAGE_BYTES = 16 << 20  # `query` answers in one frame

Read = TypeVar("Read")


class Connection:
    """A socket that speaks in frames. `logid`: what Volcengine's support asks for. `waited`: it was
    not opened for the text that is said on it now, so it may be dead without knowing. `tagged`:
    its frames name the text that they belong to."""

    def __init__(self, socket: ClientConnection, *, tagged: bool) -> None:
        self.waited = False
        self._socket = socket
        self._tagged = tagged
        self._trusted_until_s = asyncio.get_running_loop().time() + FRESH_S
        response = socket.response
        self.logid = response.headers.get("X-Tt-Logid", "") if response is not None else ""

    @property
    def open(self) -> bool:
        return self._socket.state is State.OPEN

    def rest(self) -> None:
        """It has done its work, and another text may follow."""
        self._trusted_until_s = asyncio.get_running_loop().time() + FRESH_S

    async def rested(self) -> bool:
        """Whether it can be trusted with another text: open, not too old, and silent, since what
        comes unasked would be taken for the next text's unless it says whose it is."""
        if not self.open or asyncio.get_running_loop().time() > self._trusted_until_s:
            return False
        self.waited = True
        return self._tagged or await self._silent()

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
        """Raises VoiceError: the connection is lost, or takes nothing."""
        try:
            async with asyncio.timeout(SILENCE_S):
                await self._socket.send(frame)
        except ConnectionClosed as error:
            raise self._lost(error) from None
        except TimeoutError:
            raise VoiceError(f"volcengine took nothing for {SILENCE_S:g} s{self._id}") from None

    async def receive(self, parse: Callable[[bytes], Read]) -> Read:
        """The next frame, read.

        Raises:
            VoiceError: the connection is lost or silent, or what came is no frame.
        """
        try:
            async with asyncio.timeout(SILENCE_S):
                message = await self._socket.recv()
            if isinstance(message, str):
                raise ProtocolError("a text came in place of a frame")
            return parse(message)
        except ConnectionClosed as error:
            raise self._lost(error) from None
        except TimeoutError:
            raise VoiceError(f"volcengine was silent for {SILENCE_S:g} s{self._id}") from None
        except ProtocolError as error:
            raise VoiceError(f"volcengine broke its own protocol: {error}{self._id}") from None

    async def close(self) -> None:
        """Say goodbye, for at most `GOODBYE_S`, and let go."""
        try:
            await self._socket.close()
        finally:
            self.abort()

    def abort(self) -> None:
        """Let go, now."""
        self._socket.transport.abort()

    def _lost(self, error: ConnectionClosed) -> VoiceError:
        # the reason is left out: it may repeat the request
        how = "without a goodbye" if error.rcvd is None else f"with code {error.rcvd.code}"
        return VoiceError(f"volcengine closed the connection {how}{self._id}")

    @property
    def _id(self) -> str:
        return f" (logid {self.logid})" if self.logid else ""


class Sockets:
    """Every connection of a voice, and what it does in the background."""

    def __init__(self) -> None:
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def open(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        tagged: bool,
        private: Sequence[str],
        label: str,
    ) -> Connection:
        """Open a connection within `CONNECT_S`. `tagged`: see `Connection`. `private`: what no
        message may repeat.

        Raises:
            VoiceError: refused or unreachable.
        """
        if self._closed:
            raise VoiceError("the voice is closed", kind="fatal")
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            socket = await _Connect(
                url,
                additional_headers=headers,
                compression=None,  # frames have their own
                proxy=None,
                open_timeout=CONNECT_S,
                ping_interval=None,  # as in the vendor's demo; whether it answers is unknown
                close_timeout=GOODBYE_S,
                max_size=LARGEST_MESSAGE_BYTES,
                logger=_library_logger,
            )
        except InvalidStatus as error:
            response = error.response
            body = (response.body or b"").decode("utf-8", "replace")
            logid = response.headers.get("X-Tt-Logid", "")
            raise turned_away(response.status_code, body, private=private, logid=logid) from None
        except TimeoutError:
            raise VoiceError(f"volcengine did not answer within {CONNECT_S:g} s") from None
        except InvalidURI:
            raise VoiceError("volcengine has no such address; check url", kind="fatal") from None
        except (OSError, ValueError, WebSocketException) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            host = urlsplit(url).hostname
            raise VoiceError(f"volcengine cannot be reached at {host}: {why}; check url") from None
        connection = Connection(socket, tagged=tagged)
        if self._closed:
            connection.abort()
            raise VoiceError("the voice is closed", kind="fatal")
        self._connections.add(connection)
        connect_ms = round((loop.time() - began_s) * 1000)
        extra = {"voice": label, "logid": connection.logid, "connect_ms": connect_ms}
        logger.info("voice connected", extra=extra)
        return connection

    def goodbye(self, connection: Connection) -> None:
        """Close a connection that nobody needs, without waiting for it."""
        self.run(self._close(connection))

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Do something in the background, to its end or the voice's. None: the voice is closed."""
        if self._closed:
            work.close()
            return None
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """Let go of everything; nothing runs and nothing is open afterwards."""
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


class _Connect(connect):
    """Never follows a redirect: it would show the credentials to another host."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc
