"""Fuzzing one peer: its connection always ends, leaves nothing behind, and logs no error."""

import asyncio
import logging
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.web.server.fake_transport import HELLO, Wire, stage
from tests.web.server.test_websocket_limits import frame, handshake

PIECES = [
    HELLO, b"GET ", b"POST ", b"/hello", b"/waits", b"/body", b"/late", b"/refused", b"/media",
    b"/never", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"Host: a\r\n",
    b"Content-Length: 7\r\n", b"Content-Length: 0\r\n", b"Content-Length: -1\r\n",
    b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"ffffffff\r\n", b"1;e=a",
    b"Connection: Upgrade\r\n", b"Upgrade: websocket\r\n", b"Upgrade: h2c\r\n",
    b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"Sec-WebSocket-Version: 13\r\n",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"X: " + b"y" * 600 + b"\r\n",
    handshake(), handshake("/never"), handshake("/nowhere"), frame(1, b"hello"), frame(8),
    frame(9, b"?"), frame(1, b"a", fin=False), frame(0, b"b"), b"POST /body HTTP/1.1\r\n",
    b"\xff\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /waits HTTP/1.1\r\n\r\n",
]  # fmt: skip

SENT = st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), min_size=1, max_size=9)
STEPS = st.one_of(
    st.tuples(st.just("sends"), SENT.map(b"".join)),
    st.tuples(st.just("waits"), st.sampled_from([0.5, 5.0, 11.0, 80.0])),
    st.tuples(st.sampled_from(["reads", "does not read", "disconnects", "application", "stop"])),
)


async def play(steps: list[tuple[Any, ...]]) -> None:
    limits = {"head_bytes": 2000, "body_bytes": 4000, "headers": 12, "pipelined": 3, "frames": 50}
    async with stage(**limits) as s:
        wire = s.wire()
        for step in steps:
            if wire.ended in ("closed", "aborted"):
                break
            match step:
                case ("sends", data):
                    await wire.sends(data)
                case ("waits", seconds):
                    await s.clock.advance(seconds)
                case ("reads",):
                    reads(wire)
                case ("does not read",):
                    wire.unread = 100_000
                    wire.connection.pause_writing()
                case ("disconnects",):
                    await wire.disconnects()
                case ("application",):
                    s.go_on.set()
                case ("stop",):
                    wire.connection.shutdown()
                    wire.connection.shutdown()
        s.go_on.set()
        await s.clock.advance(500)
        assert wire.ended in ("closed", "aborted")
        assert not s.server.registry.members and not s.server.server_state.connections
        assert s.server.registry._held_bytes == 0 and s.server.registry._calls == 0
        tasks = {str(task.get_coro()) for task in s.server.server_state.tasks}
        assert not [name for name in tasks if "RequestResponseCycle" in name]


def reads(wire: Wire) -> None:
    if wire.unread:
        wire.unread = 0
        wire.connection.resume_writing()


class _Failures(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@settings(
    derandomize=True,
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.lists(STEPS, min_size=1, max_size=8))
@example([("sends", handshake() + frame(8, b"\x03\xe8") + frame(8))])
@example([("does not read",), ("sends", HELLO * 9), ("stop",)])
@example([("sends", handshake()), ("does not read",), ("sends", frame(9, b"?") * 60), ("stop",)])
def test_every_connection_ends_and_leaves_nothing_behind(steps: list[tuple[Any, ...]]) -> None:
    failures = _Failures()
    logging.getLogger().addHandler(failures)
    try:
        asyncio.run(play(steps))
    finally:
        logging.getLogger().removeHandler(failures)
    assert not [record.getMessage() for record in failures.records]
