"""The handshake of a media stream: URLs that are not allowed, refusals, timeouts."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.simulator.twilio import CallEnded, PhoneLine
from tests.simulator.twilio.twilio_bridge import PUBLIC, STREAM, TOKEN, TinyBridge, tiny_bridge

CONNECT = f"<Connect>{STREAM}</Connect>"


@pytest.fixture
async def bridge() -> AsyncIterator[TinyBridge]:
    async with tiny_bridge() as bridge:
        bridge.answer("/incoming-call", CONNECT)
        yield bridge


@pytest.fixture
async def line(bridge: TinyBridge) -> AsyncIterator[PhoneLine]:
    async with PhoneLine(bridge.url, auth_token=TOKEN, public_url=PUBLIC) as line:
        yield line


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ws://bridge.example.com/media-stream", 31922),
        ("https://bridge.example.com/media-stream", 31922),
        ("wss://bridge.example.com/media-stream?token=1", 31920),
    ],
)
async def test_a_stream_url_that_twilio_refuses(
    line: PhoneLine, bridge: TinyBridge, url: str, code: int
) -> None:
    bridge.answer("/incoming-call", f'<Connect><Stream url="{url}"/></Connect>')
    call = await line.call()
    await call.wait_ended()
    assert call.error_codes == [code]
    with pytest.raises(CallEnded, match=str(code)):
        await call.wait_connected()


async def test_a_refused_handshake(line: PhoneLine, bridge: TinyBridge) -> None:
    bridge.handshake_status = 403
    bridge.answer(
        "/incoming-call",
        '<Connect action="/done"><Stream url="wss://bridge.example.com/media-stream" '
        'name="main" statusCallback="/stream"/></Connect>',
    )
    call = await line.call()
    await call.wait_ended()
    assert call.errors[0][0] == 31920
    assert "403" in call.errors[0][1]
    (callback,) = bridge.requested("/stream")
    assert callback["StreamEvent"] == "stream-error"
    assert callback["StreamName"] == "main"
    assert "403" in callback["StreamError"]
    assert len(bridge.requested("/done")) == 1


async def test_hanging_up_during_a_handshake_without_answer(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    bridge.hold_handshakes = True
    call = line.ring()
    await bridge.holding.wait()
    call.hang_up()
    await call.wait_ended()
    assert call.streams == []
    assert call.status == "completed"
    assert call.errors == []


async def test_a_handshake_that_takes_too_long(bridge: TinyBridge) -> None:
    bridge.hold_handshakes = True
    async with PhoneLine(bridge.url, public_url=PUBLIC, handshake_timeout_s=0.05) as line:
        call = await line.call()
        await call.wait_ended()
    assert call.error_codes == [31901]


async def test_a_handshake_that_is_cut_off(bridge: TinyBridge) -> None:
    async with PhoneLine(bridge.url, public_url=PUBLIC) as line:
        bridge.hold_handshakes = True
        call = line.ring()
        await bridge.holding.wait()
        bridge.cut_off()
        await call.wait_ended()
    assert call.error_codes == [31920]


async def test_hanging_up_as_the_socket_connects_costs_the_next_call_nothing(
    line: PhoneLine, bridge: TinyBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def connect_and_hang_up(tcp: Any, address: Any) -> None:
        await connect(tcp, address)
        if call.requests:  # the webhook's answer is there: this is the media socket
            call.hang_up()

    monkeypatch.setattr(loop, "sock_connect", connect_and_hang_up)
    call = line.ring()
    await call.wait_ended()
    assert (call.streams, call.errors) == ([], [])
    monkeypatch.undo()
    following = await line.call()
    await following.wait_connected()
    assert following.errors == []
