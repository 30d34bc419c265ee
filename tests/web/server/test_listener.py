"""Accepting connections, also after file descriptors ran out for a while."""

import asyncio
import errno
import socket
from typing import Any

import pytest

from app.web.server import Server, bind
from app.web.server.listener import NO_DESCRIPTOR, Listener
from tests.web.server.fake_transport import stage

HELLO = b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


async def answer(listening: socket.socket) -> bytes:
    return await answer_of(*listening.getsockname()[:2])


async def answer_of(host: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(HELLO)
    heard = await reader.read()
    writer.close()
    return heard


class ExhaustedSocket:
    """A listening socket whose `accept` fails `times` times with the error `code`."""

    def __init__(self, listening: socket.socket, code: int, times: int) -> None:
        self.code = code
        self.times = times
        self._listening = listening

    def accept(self) -> tuple[socket.socket, Any]:
        if self.times:
            self.times -= 1
            raise OSError(self.code, "out of resources")
        return self._listening.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listening, name)


def running(server: Server, listening: Any, has_readers: bool) -> Listener:
    return Listener(listening, server.connection, server.registry, has_readers=has_readers)


@pytest.fixture(params=[True, False], ids=["readers", "no readers"])
def has_readers(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::", "0::0"])
async def test_every_address_of_ipv6_is_every_address_of_ipv4_too(host: str) -> None:
    async with stage() as s:
        listening = bind(host, 0)
        listener = running(s.server, listening, has_readers=True)
        assert listening.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 0
        port = listening.getsockname()[1]
        for address in ("127.0.0.1", "::1"):
            assert b'"hello"' in await answer_of(address, port)
        await s.server.registry.wait_empty()
        listener.close()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_one_address_of_ipv6_is_that_address_alone() -> None:
    with bind("::1", 0) as listening:
        assert listening.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


async def test_many_connections_at_once_are_all_answered(has_readers: bool) -> None:
    async with stage() as s:
        listening = bind("127.0.0.1", 0)
        listener = running(s.server, listening, has_readers)
        heard = await asyncio.gather(*(answer(listening) for _ in range(50)))
        assert all(b'"hello"' in each for each in heard)
        await s.server.registry.wait_empty()
        listener.close()


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ECONNABORTED])
async def test_a_failed_accept_is_retried_and_logged(has_readers: bool, code: int) -> None:
    async with stage() as s:
        listening = bind("127.0.0.1", 0)
        exhausted = ExhaustedSocket(listening, code, times=3)
        listener = running(s.server, exhausted, has_readers)
        assert b'"hello"' in await answer(listening)
        refusals = s.refusals(NO_DESCRIPTOR)
        if code == errno.ECONNABORTED:
            assert not refusals
        else:
            assert list(refusals.values()) == [3] and "ulimit -n" in "".join(refusals)
        await s.server.registry.wait_empty()
        listener.close()


async def test_a_connection_reset_before_it_is_accepted_is_not_an_error(has_readers: bool) -> None:
    async with stage() as s:
        listening = bind("127.0.0.1", 0)
        listener = running(s.server, listening, has_readers)
        for _ in range(20):
            gone = socket.create_connection(listening.getsockname())
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            gone.close()
        assert b'"hello"' in await answer(listening)
        await s.server.registry.wait_empty()
        listener.close()
