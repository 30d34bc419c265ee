"""Strangers at the port, and the callers who come through all the same."""

import asyncio
import json
import random
import resource
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.simulator.realtime import Reply, Script
from app.web.server import Limits
from app.web.server.listener import NO_DESCRIPTOR
from app.web.server.registry import MADE_ROOM, TOO_MANY
from tests.service.raw_clients import HANDSHAKE, UNFINISHED, RawClient, raw_clients
from tests.service.raw_twilio import CALL_SID, RawStream, raw_stream, request
from tests.service.test_service_process import HELLO as SAID
from tests.service.test_service_process import office
from tests.service.world import World, noise, world

HELLO = Reply("Hello.", audio=noise(100, "hello"), speed=float("inf"))
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


def port_of(w: World) -> int:
    return urlsplit(w.url).port or 0


async def a_call_is_held(w: World) -> None:
    call = await w.connected()
    await call.wait_quiet()
    assert call.heard == HELLO.audio
    call.hang_up()
    await call.wait_ended()


async def test_callers_get_through_where_strangers_hold_every_connection_they_can() -> None:
    async with (
        world(Script(HELLO), limits=Limits(connections=30)) as w,
        raw_clients(port_of(w), *UNFINISHED * 8) as many,
    ):
        await a_call_is_held(w)
        w.server.refusals.flush()
        made_room = sum(line["count"] for line in w.log.of(MADE_ROOM))
        assert made_room >= 8 * len(UNFINISHED) - 30 - 8 * 5  # some were refused before
        for stranger in many:
            stranger.socket.close()
        await w.settled()


async def test_with_few_descriptors_the_oldest_strangers_make_room_and_the_log_says_so(
    tmp_path: Path,
) -> None:
    async with (
        office(tmp_path, SAID, descriptors="256") as o,
        raw_clients(o.port, *[b""] * 300),
    ):
        await o.call()
        line = await o.process.says(MADE_ROOM)
        assert TOO_MANY in line and "count=" in line
        assert sum(MADE_ROOM in each for each in o.process.lines) == 1
        for call in o.line.calls.values():
            call.hang_up()
            await call.wait_ended()


def noticed(add: Callable[..., None], said: asyncio.Event) -> Callable[..., None]:
    def adding(*told: Any, **more: Any) -> None:
        add(*told, **more)
        said.set()

    return adding


async def test_without_descriptors_the_service_says_so_and_accepts_again_when_there_are_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world(Script()) as w:
        stranger, caller = RawClient(port_of(w)), RawClient(port_of(w))
        taken: list[socket.socket] = []
        said = asyncio.Event()
        monkeypatch.setattr(w.server.refusals, "add", noticed(w.server.refusals.add, said))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(s.socket.fileno() for s in (stranger, caller))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 20, hard))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                while True:  # another part of the process takes them
                    taken.append(socket.socket())
            await stranger.send(b"")
            await caller.send(GET)
            await said.wait()
        finally:
            for held in taken:
                held.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert b" 200 " in await asyncio.get_running_loop().sock_recv(caller.socket, 1000)
        w.server.refusals.flush()
        (line,) = w.log.of(NO_DESCRIPTOR)
        assert "LimitNOFILE" in line["why"]
        for each in (stranger, caller):
            each.socket.close()


async def test_refusals_can_be_read_though_their_clients_had_much_more_to_send() -> None:
    async with world(Script(), limits=Limits(head_s=0.2, body_s=0.2)) as w:
        wanted = {
            b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 500_000: 431,
            b"GET / HTTP/1.1\r\n" + b"X-Long: " + b"y" * 3_000_000: 431,
            b"POST /calls HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n" + b"a" * 3_000_000: 401,
            b"POST /incoming-call HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n"
            + b"a" * 3_000_000: 413,
            b"POST /nowhere HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n" + b"a" * 3_000_000: 404,
            b"GET /healthz HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n" + b"a" * 3_000_000: 200,
            b"GET /hea": 408,
            b"POST /incoming-call HTTP/1.1\r\nContent-Length: 3\r\n\r\na": 408,
            GET * 2000: 200,
        }
        async with raw_clients(port_of(w), *wanted) as here:
            heard = await asyncio.gather(*(stranger.receive() for stranger in here))
        assert [int(answer[9:12]) for answer in heard] == list(wanted.values())
        assert heard[-1].count(b" 200 ") == 17 and b" 429 " in heard[-1]


# --- from the holder of a ticket ------------------------------------------------------------------


def frames(message: bytes, count: int) -> bytes:
    assert len(message) < 126
    return (bytes([0x81, 0x80 | len(message)]) + bytes(4) + message) * count


MARK = json.dumps({"event": "mark", "mark": {"name": "1:1"}}).encode()
KEY = json.dumps({"event": "dtmf", "dtmf": {"digit": "7"}}).encode()


@pytest.mark.parametrize(
    "flood",
    [
        bytes([0x01, 0x80]) + bytes(4) + (bytes([0x00, 0x80]) + bytes(4)) * 2_000_000,
        frames(MARK, 50_000),
        frames(KEY, 20_000),
        frames(b'{"event":"dreamt"}', 50_000),
        frames(b"{", 50_000),
    ],
    ids=["fragments", "marks", "keys", "unknown", "malformed"],
)
async def test_a_flood_from_a_ticket_holder_ends_their_stream_alone(flood: bytes) -> None:
    async with world(Script(HELLO, HELLO)) as w:
        call = await w.connected()
        url = (await request(w)).stream_url
        async with raw_stream(w, url) as stream:
            await stream.start()
            await media_of_the_greeting(stream)
            transport = stream.socket._response.connection.transport  # type: ignore[union-attr]
            assert transport is not None
            transport.write(flood)
            assert await stream.close_code() == 1008
        await call.wait_quiet()
        assert call.heard == HELLO.audio
        w.server.refusals.flush()
        (line,) = w.log.of("connections refused")
        assert (line["count"], line["peer"]) == (1, "127.0.0.1")
        await request(w, "/call-status", {"CallSid": CALL_SID, "CallStatus": "completed"})
        call.hang_up()
        await call.wait_ended()
        await w.settled()
        record = await w.record(CALL_SID)
        assert len(record["events"]) < 400


async def media_of_the_greeting(stream: RawStream) -> None:
    while (await stream.receive())["event"] != "mark":
        pass


async def test_marks_and_keys_that_no_call_has_are_dropped_and_counted() -> None:
    async with world(Script(HELLO, HELLO)) as w:
        url = (await request(w)).stream_url
        async with raw_stream(w, url) as stream:
            await stream.start()
            await media_of_the_greeting(stream)
            for _ in range(1000):
                await stream.send({"event": "mark", "mark": {"name": "never sent"}})
                await stream.send({"event": "dtmf", "dtmf": {"digit": "7"}})
            await stream.send({"event": "stop"})
            await stream.close_code()
        await request(w, "/call-status", {"CallSid": CALL_SID, "CallStatus": "completed"})
        await w.settled()
        (line,) = w.log.of("surplus messages dropped")
        assert line["marks"] >= 990 and 700 <= line["keys"] < 1000
        assert line["call_sid"] == CALL_SID


# --- nonsense -------------------------------------------------------------------------------------

PIECES = [
    b"GET ", b"POST ", b"/healthz", b"/calls", b"/incoming-call", b"/media-stream/x", b" HTTP/1.1",
    b"\r\n", b"\r\n\r\n", b"Host: a\r\n", b"Content-Length: 7\r\n", b"Content-Length: -1\r\n",
    b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"ffffffffffffffffff\r\n",
    b"Connection: Upgrade\r\n", b"Upgrade: websocket\r\n", b"Upgrade: h2c\r\n", HANDSHAKE,
    b"Expect: 100-continue\r\n", b"Connection: close\r\n", GET, b"\x81\x85\0\0\0\0hello",
    b"\x88\x80\0\0\0\0", b"%ff%00%zz", b"\xff\xfe\0", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"X: " + b"y" * 5000 + b"\r\n", b"a:\r\n" * 120, b"Authorization: Bearer \xff\r\n",
]  # fmt: skip


def nonsense(rng: random.Random) -> list[bytes]:
    """What one stranger sends, in a few portions."""
    said = b"".join(rng.choice(PIECES) for _ in range(rng.randrange(1, 12)))
    if rng.random() < 0.3:
        said = bytes(byte ^ (rng.random() < 0.02) * rng.randrange(256) for byte in said)
    cuts = sorted(rng.randrange(len(said) + 1) for _ in range(rng.randrange(3)))
    return [said[start:end] for start, end in zip([0, *cuts], [*cuts, len(said)], strict=True)]


async def says_nonsense(port: int, rng: random.Random) -> None:
    stranger = RawClient(port)
    for portion in nonsense(rng):
        await stranger.send(portion)
    match rng.randrange(4):
        case 0:
            stranger.reset()
        case 1:
            try:
                stranger.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            await stranger.receive()
        case 2:
            await stranger.receive()
    stranger.socket.close()


async def test_no_malformed_request_and_no_disconnect_makes_the_service_fail() -> None:
    rng = random.Random(20)
    limits = Limits(head_s=0.3, body_s=0.3, handshake_s=0.3, idle_s=0.3, linger_s=0.3)
    async with world(Script(HELLO), limits=limits) as w:
        for _ in range(15):
            await asyncio.gather(*(says_nonsense(port_of(w), rng) for _ in range(40)))
        await a_call_is_held(w)
        await w.settled()
        while len(w.server.registry):  # their deadlines end them
            await w.server.registry.wait_empty()
        assert w.server.registry._held_bytes == 0
        assert not w.server.server_state.tasks and not w.server.server_state.connections
        w.server.refusals.flush()
        failures = [record for record in w.log.records if record.levelname == "ERROR"]
        assert not failures and not w.log.failures()
