"""The listening socket. This module accepts connections itself, instead of the event loop.

When file descriptors run out, uvloop accepts connections and closes them without a log line, and
asyncio logs a traceback for every attempt; both lose callers. Here an unauthenticated connection is
closed to make room.
"""

import asyncio
import errno
import logging
import socket
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from ipaddress import IPv6Address
from typing import Any

from app.errors import ConfigError
from app.web.server.limits import UNAUTHENTICATED_PER_TURN
from app.web.server.registry import Registry

BACKLOG = 2048
RETRY_S = 0.01  # after a connection was closed: its descriptor is free by then
LATE_RETRY_S = 0.25  # when no connection could be closed

NO_DESCRIPTOR = "no file descriptor is left for connections"
RAISE_IT = "raise the limit: ulimit -n, or LimitNOFILE= of a systemd unit"

_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def bind(host: str, port: int) -> socket.socket:
    """Listen on this address; `::` is every address of this machine, IPv4 too. Call it before
    anything else is opened.

    Raises:
        ConfigError: the address is wrong, or the port is in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server(
            (host, port), family=family, backlog=BACKLOG, dualstack_ipv6=_is_every_address(host)
        )
    except (socket.gaierror, UnicodeError):
        raise ConfigError(
            f"HOST: expected an address of this machine such as 127.0.0.1 or 0.0.0.0, got {host!r}"
        ) from None
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise ConfigError(f"HOST: {host} is not an address of this machine") from None
        raise ConfigError(
            f"PORT: {host}:{port} cannot be listened on ({error.strerror}); "
            "end the program that holds it, or set PORT (and HOST) to something else"
        ) from None
    # Accepted connections inherit it. asyncio sets it only on sockets that it accepts itself.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _is_every_address(host: str) -> bool:
    """Whether the host is IPv6's unspecified address, on a machine that can take IPv4 with it."""
    try:
        return IPv6Address(host).is_unspecified and socket.has_dualstack_ipv6()
    except ValueError:  # a name, or an IPv4 address
        return False


class Listener:
    """Accepts connections until `close`.

    `protocol_factory`: makes a connection's protocol. `has_readers`: whether the loop supports
    `add_reader`; that of Windows does not.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol_factory: Callable[[], asyncio.BufferedProtocol],
        registry: Registry,
        *,
        has_readers: bool = sys.platform != "win32",
    ) -> None:
        self._socket = listening
        self._protocol_factory = protocol_factory
        self._registry = registry
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        if has_readers:
            self._loop.add_reader(listening, self._accept_some)
        else:
            self._start(self._accept_each())

    def close(self) -> None:
        """Stop accepting. The kernel resets the connections in its backlog."""
        with suppress(NotImplementedError):
            self._loop.remove_reader(self._socket)
        if self._retry is not None:
            self._retry.cancel()
        for task in self._tasks:
            task.cancel()
        self._socket.close()

    def _accept_some(self) -> None:
        """The socket is readable: accept a few connections in this turn of the loop."""
        for _ in range(UNAUTHENTICATED_PER_TURN):
            try:
                accepted, _address = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _OUT_OF_RESOURCES:
                    self._loop.remove_reader(self._socket)
                    self._retry = self._loop.call_later(self._make_room(error), self._go_on)
                    return
                continue  # the peer disconnected before it was accepted
            accepted.setblocking(False)
            self._start(self._open(accepted))

    def _go_on(self) -> None:
        self._retry = None
        self._loop.add_reader(self._socket, self._accept_some)

    async def _accept_each(self) -> None:
        while True:
            try:
                accepted, _address = await self._loop.sock_accept(self._socket)
            except OSError as error:
                if error.errno in _OUT_OF_RESOURCES:
                    await asyncio.sleep(self._make_room(error))
                continue
            self._start(self._open(accepted))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol_factory, accepted)
        except OSError:  # reset by the peer
            accepted.close()
        except asyncio.CancelledError:
            accepted.close()
            raise

    def _make_room(self, error: OSError) -> float:
        """Close the connection that matters least, to free a descriptor. Returns the seconds until
        the next attempt: longer if no connection could be closed."""
        why = f"{error.strerror}; {RAISE_IT}"
        self._registry.refusals.add(NO_DESCRIPTOR, why, level=logging.ERROR)
        return RETRY_S if self._registry.close_one(NO_DESCRIPTOR) else LATE_RETRY_S
