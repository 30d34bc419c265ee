"""Which connection is closed when there are too many."""

import gc
import weakref

import pytest

from app.web.server.limits import DESCRIPTORS_PER_CALL, RESERVED_DESCRIPTORS
from app.web.server.registry import MADE_ROOM, NO_ROOM, TOO_MANY, TOO_MUCH
from tests.web.server.fake_transport import HELLO, Stage, Wire, settled, stage
from tests.web.server.test_websocket_limits import handshake

SIGNED = HELLO.replace(b"/hello", b"/signed")


async def authenticated(s: Stage, request: bytes = SIGNED) -> Wire:
    wire = s.wire()
    await wire.sends(request)
    return wire


async def test_the_oldest_unauthenticated_connection_is_closed_whatever_its_address() -> None:
    async with stage(connections=10) as s:
        twilio = await authenticated(s)
        strangers = [s.wire() for _ in range(300)]
        await settled()
        assert [wire.ended for wire in strangers] == ["aborted"] * 291 + [""] * 9
        assert not twilio.ended
        assert s.refusals(MADE_ROOM) == {TOO_MANY: 291}
        late = await authenticated(s)  # a call comes in during the flood
        assert late.status == 200 and strangers[291].ended


async def test_a_kept_connection_stays_authenticated() -> None:
    async with stage(connections=10) as s:
        twilio = await authenticated(s)
        await twilio.sends(HELLO[:10])  # its next request has just begun
        for _ in range(20):
            s.wire()
        await settled()
        assert not twilio.ended


async def test_idle_connections_are_closed_before_a_new_one_is_refused() -> None:
    async with stage(connections=10) as s:
        old = [await authenticated(s) for _ in range(10)]
        await old[0].sends(b"GET /waits HTTP/1.1\r\n\r\n")
        new = await authenticated(s)
        await settled()
        assert (new.status, old[1].ended) == (200, "aborted")
        assert not old[0].ended and not old[2].ended


async def test_if_all_are_authenticated_and_busy_the_new_one_is_refused_and_logged() -> None:
    async with stage(connections=8) as s:
        busy = [await authenticated(s) for _ in range(8)]
        for wire in busy:
            await wire.sends(b"GET /waits HTTP/1.1\r\n\r\n")
        new = s.wire()
        await settled()
        assert new.ended == "aborted" and not any(wire.ended for wire in busy)
        assert s.refusals(MADE_ROOM) == {NO_ROOM: 1}


async def test_a_call_reserves_descriptors_for_itself_and_the_next_one() -> None:
    free = 40
    async with stage(descriptors=RESERVED_DESCRIPTORS + DESCRIPTORS_PER_CALL + free) as s:
        strangers = [s.wire() for _ in range(free)]
        assert s.server.registry.room == free
        calls = [await authenticated(s, handshake()) for _ in range(5)]
        await settled()
        assert s.server.registry.room == free - 5 * DESCRIPTORS_PER_CALL
        assert len(s.server.registry) == s.server.registry.room
        assert not any(wire.ended for wire in calls)
        for wire in calls:
            await wire.disconnects()
        assert s.server.registry.room == free
        assert sum(not wire.ended for wire in strangers) == free - 5 * DESCRIPTORS_PER_CALL - 5


async def test_a_call_without_a_descriptor_left_harms_no_live_call() -> None:
    async with stage(descriptors=RESERVED_DESCRIPTORS + DESCRIPTORS_PER_CALL * 12 + 10) as s:
        calls = [await authenticated(s, handshake()) for _ in range(20)]
        await settled()
        alive = [wire.status == 101 and not wire.ended for wire in calls]
        assert alive == sorted(alive, reverse=True) and 8 <= sum(alive) < 20
        assert s.refusals(MADE_ROOM) == {NO_ROOM: 20 - sum(alive)}


async def test_a_connection_that_becomes_a_media_socket_counts_as_a_call() -> None:
    async with stage(descriptors=200) as s:
        room = s.server.registry.room
        wire = await authenticated(s)  # a proxy's, used for another request before
        await wire.sends(handshake())
        assert s.server.registry.room == room - DESCRIPTORS_PER_CALL
        await wire.disconnects()
        assert s.server.registry.room == room


async def test_unfinished_requests_of_unauthenticated_peers_have_a_limit_in_total() -> None:
    async with stage(held_bytes=100_000) as s:
        wires = [s.wire() for _ in range(20)]
        for wire in wires:
            await wire.sends(
                b"POST /body HTTP/1.1\r\nContent-Length: 50000\r\n\r\n" + b"a" * 10_000
            )
        assert [wire.ended for wire in wires].count("aborted") == 11
        assert all(wire.ended for wire in wires[:11])
        assert s.refusals(MADE_ROOM) == {TOO_MUCH: 11}
        for wire in wires[11:]:
            await wire.sends(b"a" * 40_000)
        assert s.bodies and s.server.registry._held_bytes == 0


async def test_an_answered_request_is_no_longer_held() -> None:
    async with stage(held_bytes=5000) as s:
        wire = s.wire()
        for _ in range(1000):
            await wire.sends(HELLO)
        assert not wire.ended


async def test_unauthenticated_peers_share_a_part_of_each_turn_and_all_are_served() -> None:
    async with stage() as s:
        wires = [s.wire() for _ in range(100)]
        for wire in wires:
            wire.connection.get_buffer(-1)[: len(HELLO)] = HELLO
            wire.connection.buffer_updated(len(HELLO))
        assert sum(wire.paused for wire in wires) == 92
        while any(not wire.sent for wire in wires):
            await settled()
        assert not any(wire.paused for wire in wires)


async def test_a_connection_that_fails_in_its_turn_costs_no_other_its_own(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage() as s:
        wires = [s.wire() for _ in range(20)]
        for wire in wires:
            wire.connection.get_buffer(-1)[: len(HELLO)] = HELLO
            wire.connection.buffer_updated(len(HELLO))
        broken = next(wire for wire in wires if wire.paused)

        def fail(_data: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(broken.connection.protocol, "data_received", fail)
        while any(not wire.sent for wire in wires if wire is not broken):
            await settled()
        assert broken.ended == "aborted"
        assert [record.getMessage() for record in caplog.records] == ["connection failed"]


@pytest.mark.parametrize("kind", ["evicted", "disconnected"])
async def test_a_connection_that_ends_while_it_waits_for_its_turn_is_not_an_error(
    kind: str,
) -> None:
    async with stage(connections=20) as s:
        wires = [s.wire() for _ in range(20)]
        for wire in wires:
            wire.connection.get_buffer(-1)[: len(HELLO)] = HELLO
            wire.connection.buffer_updated(len(HELLO))
        if kind == "evicted":
            for _ in range(20):
                s.wire()
        else:
            for wire in wires:
                wire.close()
        await settled()
        assert all(wire.ended for wire in wires)


@pytest.mark.parametrize("said", [b"", HELLO, b"nonsense\r\n\r\n", handshake(), handshake("/no")])
async def test_an_ended_connection_leaves_no_reference_cycle(
    said: bytes,
) -> None:
    """In a flood, garbage collection of cycles would delay the calls."""
    async with stage() as s:
        gc.collect()
        gc.disable()
        try:
            wire = s.wire()
            await wire.sends(said)
            await s.clock.advance(0.1)
            await wire.disconnects()
            await s.clock.advance(100)
            connection = weakref.ref(wire.connection)
            del wire.connection  # as transports forget their protocols
            assert connection() is None
        finally:
            gc.enable()
