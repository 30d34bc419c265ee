"""The listening socket: accepted one by one here, because the loops' own ways lose callers.

Without a descriptor left, uvloop accepts connections and closes them, without a word; asyncio logs
a traceback for every try. Both strike callers and strangers alike.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

from app.errors import ConfigError
from app.server.limits import STRANGERS_A_TURN
from app.server.registry import Registry

logger = logging.getLogger(__name__)

BACKLOG = 2048
SOON_S = 0.01  # until what was closed has given its descriptor back
LATER_S = 0.25

NO_DESCRIPTOR = "no file descriptor is left for connections"
RAISE_IT = "raise the limit: ulimit -n, or LimitNOFILE= of a systemd unit"

_SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def bind(host: str, port: int) -> socket.socket:
    """Take the port before anything else is opened.

    Raises ConfigError when it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (socket.gaierror, UnicodeError):
        raise ConfigError(
            f"HOST: expected an address of this machine such as 127.0.0.1 or 0.0.0.0, got {host!r}"
        ) from None
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise ConfigError(f"HOST: {host} is no address of this machine") from None
        raise ConfigError(
            f"PORT: {host}:{port} cannot be listened on ({error.strerror}); "
            "end the program that holds it, or set PORT (and HOST) to something else"
        ) from None
    # Inherited by each connection: asyncio's own loop does it only for sockets that it made.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class Listener:
    """Accepts connections from its making to `close`. `speaks`: makes a connection's protocol."""

    def __init__(
        self,
        listening: socket.socket,
        speaks: Callable[[], asyncio.BufferedProtocol],
        registry: Registry,
    ) -> None:
        self._socket = listening
        self._speaks = speaks
        self._registry = registry
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        self._loop.add_reader(listening, self._accept)

    def close(self) -> None:
        """Accept no more. Connections that the kernel took and that were not accepted are reset."""
        self._loop.remove_reader(self._socket)
        if self._retry is not None:
            self._retry.cancel()
        for task in self._opening:
            task.cancel()
        self._socket.close()

    def _accept(self) -> None:
        for _ in range(STRANGERS_A_TURN):
            try:
                accepted, _address = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _SHORT:
                    self._wait_for_descriptor(error)
                    return
                continue  # that one was gone before it was accepted
            accepted.setblocking(False)
            task = self._loop.create_task(self._open(accepted))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._speaks, accepted)
        except OSError:  # reset meanwhile
            accepted.close()
        except asyncio.CancelledError:
            accepted.close()
            raise

    def _wait_for_descriptor(self, error: OSError) -> None:
        """Strangers make room for who waits; if there are none, another part of the process holds
        the descriptors, and lets go of them or not."""
        why = f"{error.strerror}; {RAISE_IT}"
        self._registry.refusals.add(NO_DESCRIPTOR, why, level=logging.ERROR)
        closed = self._registry.close_one(NO_DESCRIPTOR)
        self._loop.remove_reader(self._socket)
        self._retry = self._loop.call_later(SOON_S if closed else LATER_S, self._go_on)

    def _go_on(self) -> None:
        self._retry = None
        self._loop.add_reader(self._socket, self._accept)
        self._accept()
