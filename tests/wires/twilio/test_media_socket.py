"""The media socket's outbox: order, backpressure, errors."""

import asyncio
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any

import pytest

from app.wires.twilio import media_socket
from app.wires.twilio.media_socket import Direct, MediaOutbox


class Socket:
    """An ASGI server's `send`, which waits while the socket is full. `offers_direct`: and
    `send_now`, which sends nothing then."""

    def __init__(self, offers_direct: bool = False) -> None:
        self.offers_direct = offers_direct
        self.sent: list[str] = []
        self.free = asyncio.Event()
        self.free.set()
        self.fails = False
        self.news = asyncio.Event()
        self.happened: list[str] = []

    async def send(self, message: MutableMapping[str, Any]) -> None:
        await self.free.wait()
        if self.fails:
            raise OSError("gone")
        self.sent.append(message.get("text") or message["type"])
        self.news.set()

    def note(self, what: str) -> Callable[[], None]:
        return lambda: self.happened.append(what)

    def outbox(self) -> MediaOutbox:
        direct = Direct(lambda _one, _all: None, self.send_now) if self.offers_direct else None
        return MediaOutbox(self.send, self.note("blocked"), self.note("unblocked"), direct)

    def send_now(self, messages: list[str]) -> bool:
        if self.fails or not self.free.is_set():
            return False
        self.sent += messages
        self.news.set()
        return True

    async def until(self, count: int) -> None:
        while len(self.sent) < count:
            self.news.clear()
            await self.news.wait()


@pytest.fixture(params=[False, True], ids=["ASGI", "direct"])
def socket(request: pytest.FixtureRequest) -> Socket:
    return Socket(request.param)


async def test_a_message_is_sent_before_put_returns(socket: Socket) -> None:
    outbox = socket.outbox()
    outbox.put(["a", "b"])
    assert socket.sent == ["a", "b"]


async def test_messages_to_a_full_socket_are_queued_and_sent_in_order(socket: Socket) -> None:
    outbox = socket.outbox()
    writer = asyncio.create_task(outbox.run())
    socket.free.clear()
    outbox.put(["a", "b"])
    outbox.put(["c"])
    assert socket.sent == []
    socket.free.set()
    await socket.until(3)
    outbox.put(["d"])
    outbox.close()
    await writer
    assert socket.sent == ["a", "b", "c", "d", "websocket.close"]


async def test_backpressure_is_reported_and_so_is_its_end(
    socket: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_socket, "FULL_CHARS", 10)
    monkeypatch.setattr(media_socket, "EMPTY_CHARS", 5)
    outbox = socket.outbox()
    writer = asyncio.create_task(outbox.run())
    socket.free.clear()
    outbox.put(["x" * 8, "y" * 8])
    assert socket.happened == []
    outbox.put(["z" * 8])
    assert socket.happened == ["blocked"]
    socket.free.set()
    await socket.until(3)
    outbox.close()
    await writer
    assert socket.happened == ["blocked", "unblocked"]


@pytest.mark.parametrize("full", [False, True])
async def test_a_socket_that_fails_ends_the_writer(socket: Socket, full: bool) -> None:
    outbox = socket.outbox()
    writer = asyncio.create_task(outbox.run())
    if full:
        socket.free.clear()
    else:
        socket.fails = True
    outbox.put(["a"])
    outbox.put(["b"])
    socket.fails = True
    socket.free.set()
    with pytest.raises(OSError, match="gone"):
        await writer
    assert socket.sent == []


async def test_a_cancelled_writer_sends_nothing(socket: Socket) -> None:
    outbox = socket.outbox()
    writer = asyncio.create_task(outbox.run())
    socket.free.clear()
    outbox.put(["a"])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    writer.cancel()
    with suppress(asyncio.CancelledError):
        await writer
    assert writer.cancelled() and socket.sent == []
