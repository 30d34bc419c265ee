"""The limits of an HTTP connection, before its peer is authenticated."""

import socket
import sys

import pytest

from app.web.server.http import BODY_LATE, HEAD_LATE, NO_REQUEST, TLS
from app.web.server.limits import READ_BYTES
from tests.web.server.fake_transport import HELLO, UPGRADE, Wire, settled, stage

POST = b"POST /%s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_requests_are_answered_one_after_the_other_on_a_kept_connection() -> None:
    async with stage() as s:
        wire = s.wire()
        for n in range(1, 4):
            await wire.sends(HELLO)
            assert wire.sent.count(b'"hello"') == n
        await wire.sends(POST % (b"body", 5) + b"abcde" + HELLO)  # the next one comes with the body
        assert (s.bodies, wire.sent.count(b'"hello"')) == ([5], 4)
        assert not wire.ended and not s.refusals()


async def test_an_idle_connection_is_kept_as_long_as_the_limit_says() -> None:
    async with stage(idle_s=75) as s:
        wire = s.wire()
        for _ in range(2):
            await wire.sends(HELLO)
            await s.clock.advance(74.9)
            assert not wire.ended
        await s.clock.advance(0.2)
        assert wire.has_ended("closed") and not s.refusals()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a socket has received")
async def test_a_request_that_has_arrived_when_a_connection_expires_is_answered() -> None:
    ours, peers = socket.socketpair()
    async with stage(idle_s=75) as s:
        wire = s.wire()
        wire.socket = ours
        await wire.sends(HELLO)
        peers.send(b"G")  # a busy loop has not read it yet
        await s.clock.advance(80)
        assert not wire.ended
        await wire.sends(HELLO)
        assert wire.sent.count(b'"hello"') == 2
        ours.recv(1)
        await s.clock.advance(80)
        assert wire.has_ended("closed")
    ours.close()
    peers.close()


# --- sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [READ_BYTES, 300 << 20])
async def test_an_endless_head_is_refused_at_its_limit(size: int) -> None:
    async with stage(head_bytes=1000) as s:
        wire = s.wire()
        line = b"X-Long: " + b"v" * 100 + b"\r\n"
        await wire.sends(b"GET /hello HTTP/1.1\r\n" + line * (READ_BYTES // len(line)))
        assert (wire.status, wire.ended) == (431, "half")
        assert await wire.sends(bytes(size)) <= s.server.registry.limits.linger_bytes + READ_BYTES
        assert s.refusals() == {"a request's head has at most 1000 bytes": 1}


@pytest.mark.parametrize("more", [0, 1])
async def test_a_head_is_counted_to_the_byte(more: int) -> None:
    async with stage(head_bytes=len(HELLO)) as s:
        wire = s.wire()
        head = HELLO.replace(b"Host: a", b"Host: a" + b"b" * more)
        for byte in head:
            await wire.sends(bytes([byte]))
        assert wire.status == (431 if more else 200)


@pytest.mark.parametrize("where", ["a request line", "an empty header", "blank lines before"])
async def test_every_part_of_a_head_counts(where: str) -> None:
    endless = {
        "a request line": b"GET /" + b"a" * 9000,
        "an empty header": b"GET / HTTP/1.1\r\nX: " + b" " * 9000,
        "blank lines before": b"\r\n" * 4500,
    }[where]
    async with stage(head_bytes=8000) as s:
        wire = s.wire()
        await wire.sends(endless)
        assert wire.status == 431


async def test_headers_are_counted_before_they_are_stored() -> None:
    async with stage() as s:
        wire = s.wire()
        taken = await wire.sends(b"GET /hello HTTP/1.1\r\n" + b"a:\r\n" * 200)
        assert (wire.status, wire.ended) == (431, "half")
        assert taken and s.refusals() == {"a request has at most 100 header lines": 1}


async def test_trailers_count_as_headers_and_change_none() -> None:
    async with stage(headers=10) as s:
        good, bad = s.wire(), s.wire()
        await good.sends(CHUNKED + b"1\r\na\r\n0\r\n" + b"Authorization: b\r\n" * 5 + b"\r\n")
        assert (good.status, s.bodies) == (200, [1])
        await bad.sends(CHUNKED + b"0\r\n" + b"x: y\r\n" * 20)
        assert (bad.status, s.bodies) == (431, [1])


@pytest.mark.parametrize("endless", [b"1\r\na\r\n" * 9000, b"1;" + b"e" * 9000])
async def test_chunks_and_their_headers_have_a_limit(endless: bytes) -> None:
    async with stage(body_bytes=8000) as s:
        wire = s.wire()
        await wire.sends(CHUNKED + endless)
        assert (wire.status, s.bodies) == (413, [])
        assert s.refusals() == {"a request's body has at most 8000 bytes": 1}


async def test_a_body_that_is_not_read_does_not_hold_the_connection() -> None:
    async with stage() as s:
        wire = s.wire()
        await wire.sends(POST % (b"refused", 10_000_000) + b"a" * 5000)
        assert wire.status == 200 and b"connection: close" in wire.sent
        assert (
            wire.ended == "half"
        )  # further input is discarded, so that the client can read the answer
        await wire.sends(b"a" * 50_000)
        await s.clock.advance(s.server.registry.limits.linger_s)
        assert wire.ended == "aborted"


@pytest.mark.parametrize("reads", [True, False])
async def test_expect_100_continue_gets_100_or_the_final_answer(reads: bool) -> None:
    async with stage() as s:
        wire = s.wire()
        path = b"body" if reads else b"refused"
        head = (POST % (path, 3)).replace(b"Host", b"Expect: 100-continue\r\nHost")
        await wire.sends(head)
        assert wire.status == (100 if reads else 200)
        if reads:
            await wire.sends(b"abc" + HELLO)
            assert s.bodies == [3] and b'"hello"' in wire.sent
        else:
            assert wire.ended == "half"


async def test_pipelined_requests_wait_in_the_kernel() -> None:
    async with stage(pipelined=3) as s:
        wire = s.wire()
        taken = await wire.sends(b"GET /waits HTTP/1.1\r\n\r\n" + HELLO * 100_000)
        assert taken <= 2 * READ_BYTES and wire.paused and not wire.sent
        s.go_on.set()
        await settled()
        assert wire.sent.count(b'"at last"') == 1 and wire.sent.count(b'"hello"') == 3
        assert b" 429 " in wire.sent and wire.ended == "half"


async def test_a_good_request_is_answered_though_the_next_one_is_wrong() -> None:
    async with stage() as s:
        wire = s.wire()
        good = POST % (b"body", 2) + b"ab"
        await wire.sends(b"GET /waits HTTP/1.1\r\n\r\n" + good + b"\0\0\0")
        s.go_on.set()
        await settled()
        assert wire.sent.count(b" 200 ") == 2
        assert wire.ended == "half"


# --- deadlines ------------------------------------------------------------------------------------


async def test_a_connection_without_a_request_is_closed_after_ten_seconds() -> None:
    async with stage() as s:
        wire = s.wire()
        await s.clock.advance(9.9)
        assert not wire.ended
        await s.clock.advance(0.2)
        assert (wire.ended, wire.sent) == ("closed", b"")
        assert s.refusals() == {NO_REQUEST: 1}


@pytest.mark.parametrize("first", [b"", HELLO])
async def test_a_trickled_head_has_ten_seconds_in_total(first: bytes) -> None:
    async with stage() as s:
        wire = s.wire()
        await wire.sends(first)
        await s.clock.advance(0 if not first else 60)  # kept, between two requests
        for byte in HELLO[:9]:
            await wire.sends(bytes([byte]))
            await s.clock.advance(1.1)
        await s.clock.advance(0.2)
        assert wire.sent.endswith(b"}") and b" 408 " in wire.sent
        assert s.refusals() == {HEAD_LATE: 1}


async def test_a_kept_connection_is_closed_when_no_request_follows() -> None:
    async with stage() as s:
        wire = s.wire()
        await wire.sends(HELLO)
        await s.clock.advance(74.9)
        assert not wire.ended
        await s.clock.advance(0.2)
        assert wire.has_ended("closed") and not s.refusals()


@pytest.mark.parametrize("trickled", [True, False])
async def test_a_body_has_twenty_seconds_in_total(trickled: bool) -> None:
    async with stage() as s:
        wire = s.wire()
        await wire.sends(POST % (b"body", 100))
        for _ in range(19):
            await wire.sends(b"a" * trickled)
            await s.clock.advance(1)
        assert not wire.sent
        await s.clock.advance(1.1)
        assert (wire.status, wire.ended, s.bodies) == (408, "closed", [])
        assert s.refusals() == {BODY_LATE: 1}
        assert not s.server.server_state.tasks  # the application received http.disconnect


async def test_the_services_own_time_does_not_count_against_a_client() -> None:
    async with stage() as s:
        slow, late = s.wire(), s.wire()
        await slow.sends(b"GET /waits HTTP/1.1\r\n\r\n")
        taken = await late.sends(POST % (b"late", 200_000) + b"a" * 200_000)
        assert late.paused and taken < 100_000
        await s.clock.advance(100)
        assert not slow.sent and not late.sent
        s.go_on.set()
        await settled()
        await late.sends(b"a" * (200_000 - (taken - len(POST % (b"late", 200_000)))))
        assert (slow.status, late.status, s.bodies) == (200, 200, [200_000])


async def test_a_pipelined_request_has_its_own_deadlines() -> None:
    async with stage() as s:
        wire = s.wire()
        await wire.sends(b"GET /waits HTTP/1.1\r\n\r\nGET /hel")
        await s.clock.advance(30)
        s.go_on.set()
        await settled()
        assert wire.sent.count(b"at last") == 1 and not wire.ended
        await s.clock.advance(10.1)
        assert b" 408 " in wire.sent and wire.has_ended("closed")


async def test_an_answer_that_is_not_read_ends_the_connection_after_thirty_seconds() -> None:
    async with stage() as s:
        wire = s.wire()
        wire.unread = 100_000
        wire.connection.pause_writing()
        await wire.sends(HELLO)
        for _ in range(4):  # a slow reader is not disconnected
            await s.clock.advance(29)
            wire.unread -= 20_000
            await s.clock.advance(1.1)
            assert not wire.ended
        await s.clock.advance(31)
        assert wire.ended == "aborted"
        assert not s.server.server_state.tasks


async def test_a_closed_connection_whose_answer_is_not_read_is_reset() -> None:
    async with stage() as s:
        wire = s.wire()
        wire.unread = 5000
        await wire.sends(HELLO.replace(b"Host", b"Connection: close\r\nHost"))
        assert wire.ended == "closed" and len(s.server.registry) == 1
        await s.clock.advance(31)
        assert wire.ended == "aborted" and len(s.server.registry) == 0


async def test_a_client_that_does_not_read_a_refusal_is_disconnected_after_two_seconds() -> None:
    async with stage() as s:
        wire = s.wire()
        wire.unread = 5000
        await wire.sends(b"nonsense\r\n\r\n")
        assert wire.ended == "half"
        await s.clock.advance(2.1)
        assert wire.ended == "aborted" and len(s.server.registry) == 0


# --- malformed requests ---------------------------------------------------------------------------

WRONG = {
    "TLS": (bytes.fromhex("16030100c8010000c40303") + bytes(100), 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "null bytes": (bytes(100), 400),
    "both lengths": (CHUNKED.replace(b"Host", b"Content-Length: 3\r\nHost") + b"0\r\n\r\n", 400),
    "two lengths": ((POST % (b"body", 3)).replace(b"Host", b"Content-Length: 4\r\nHost"), 400),
    "a negative length": (b"POST /body HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400),
    "an endless length": (
        b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 99 + b"\r\n\r\n",
        400,
    ),
    "a wrong chunk": (CHUNKED + b"-1\r\n", 400),
    "a path of Latin-1": ("GET /grün HTTP/1.1\r\n\r\n".encode("latin-1"), 400),
    "a null in a header": (HELLO.replace(b": a", b": \0"), 400),
    "a folded header": (HELLO.replace(b": a", b": a\r\n b"), 400),
    "a proxy's request": (b"CONNECT example.com:443 HTTP/1.1\r\n\r\n", 405),
    "HTTP/3": (b"GET / HTTP/3.0\r\n\r\n", 400),
    "rubbish in percent": (b"GET /%%%zz%ff%00 HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    "no path": (b"GET nowhere HTTP/1.1\r\n\r\n", 400),
}


@pytest.mark.parametrize(("sent", "status"), WRONG.values(), ids=WRONG)
async def test_a_malformed_request_is_refused_in_one_line(sent: bytes, status: int) -> None:
    async with stage() as s:
        wire = s.wire()
        await wire.sends(sent)
        assert wire.status == status
        if status != 404:
            assert wire.ended == "half"
            assert list(s.refusals().values()) == [1]
        if sent.startswith(b"\x16"):
            assert list(s.refusals()) == [TLS]


async def test_an_upgrade_to_another_protocol_is_answered_as_http() -> None:
    offer = HELLO.replace(b"Host", b"Connection: Upgrade\r\nUpgrade: h2c\r\nHost")
    async with stage() as s:
        wire = s.wire()
        await wire.sends(offer + offer)
        await wire.sends(HELLO)
        assert wire.sent.count(b'"hello"') == 3 and not wire.ended
        with_body = s.wire()
        await with_body.sends(offer.replace(b"Host", b"Content-Length: 3\r\nHost") + b"abc")
        assert with_body.status == 400


async def test_a_client_that_disconnects_during_its_request_is_not_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with stage() as s:
        wires: list[Wire] = []
        for size in range(0, 120, 7):
            wires.append(s.wire())
            await wires[-1].sends((POST % (b"body", 100) + b"a" * 80)[:size])
            await wires[-1].disconnects()
        assert not s.server.server_state.tasks and not len(s.server.registry)
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


async def test_a_handshake_pipelined_after_an_unanswered_request_is_refused() -> None:
    async with stage() as s:
        wire = s.wire()
        await wire.sends(POST % (b"late", 2) + b"abGET /media HTTP/1.1\r\n" + UPGRADE + b"\r\n")
        s.go_on.set()
        await settled()
        assert wire.sent.count(b" 200 ") == 1 and b" 101 " not in wire.sent
        assert wire.ended == "half"
