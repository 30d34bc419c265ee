"""Live calls of other replicas on a replica's board, over a bus that may lose messages."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.bridge.bus.bus import BusUnavailable, Message, NoAnswer, Owner
from app.bridge.requests import Requests
from app.call import commands as do
from app.call import events as ev
from app.web.live import exchange
from app.web.live.board import Board
from app.web.live.calls import LiveCalls
from app.web.live.exchange import LiveExchange
from app.wires.twilio.call import CallInfo
from tests.web.live.test_board import Shown, turn


class Wire:
    """Redis: what its replicas say to each other, as JSON."""

    def __init__(self) -> None:
        self.buses: dict[str, WiredBus] = {}
        self.owners: dict[str, str] = {}
        self.away = False
        #: Messages that are lost from now on.
        self.loses = 0


class WiredBus:
    shared = True

    def __init__(self, wire: Wire, replica: str) -> None:
        self.replica = replica
        self.on_news: Any = None
        self.on_request: Any = None
        #: The news that came.
        self.told: list[Message] = []
        self._wire = wire
        wire.buses[replica] = self

    async def replicas(self) -> dict[str, str]:
        if self._wire.away:
            raise BusUnavailable("away")
        return {each: "" for each in self._wire.buses if each != self.replica}

    async def ask_replica(self, replica: str, request: Message, within_s: float) -> Message:
        if self._wire.away:
            raise BusUnavailable("away")
        if replica not in self._wire.buses:
            raise NoAnswer("gone")
        outcome = await self._wire.buses[replica].on_request(json.loads(json.dumps(request)))
        answered: Message = json.loads(json.dumps(outcome))
        return answered

    async def tell(self, replica: str, news: Message) -> None:
        if self._wire.away:
            raise BusUnavailable("away")
        if self._wire.loses:
            self._wire.loses -= 1
        elif replica in self._wire.buses:
            other = self._wire.buses[replica]
            other.told.append(news)
            other.on_news(self.replica, json.loads(json.dumps(news)))

    async def owners(self, call_sids: list[str]) -> dict[str, Owner]:
        found = self._wire.owners
        return {each: Owner(found[each], 1) for each in call_sids if each in found}


class Replica:
    def __init__(self, wire: Wire, name: str) -> None:
        self.bus = cast(Any, WiredBus(wire, name))
        self.board = Board()
        self.own = Board(self.board)
        self.live = LiveCalls(self.own, "Ada")
        #: Records by call SID.
        self.records: dict[str, Any] = {}
        store: Any = SimpleNamespace(get_call=self._get_call)
        self.exchange = LiveExchange(self.bus, store, self.own, self.board, self.live)
        self.exchange.start(Requests(self.bus))

    async def _get_call(self, call_sid: str) -> Any:
        return self.records.get(call_sid)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RENEW_S", "LATE_S", "GATHER_S", "LOOK_S"):
        monkeypatch.setattr(exchange, name, 0.01)


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Wire, Replica, Replica]]:
    wire = Wire()
    here, there = Replica(wire, "here"), Replica(wire, "there")
    try:
        yield wire, here, there
    finally:
        await here.exchange.aclose()
        await there.exchange.aclose()


async def until(holds: Callable[[], object]) -> None:
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def test_nothing_is_told_while_no_one_looks() -> None:
    async with pair() as (_, here, there):
        there.own.put("CA1", Shown("CA1"))
        await asyncio.sleep(0.05)
        assert not here.bus.told and not here.board.calls
        client = here.board.follow()
        await until(lambda: "CA1" in here.board.calls)
        here.board.leave(client)
        await until(lambda: not here.board.calls)
        assert there.own.calls


async def test_a_call_of_another_replica_appears_changes_and_ends() -> None:
    async with pair() as (_, here, there):
        call, ours = Shown("CA1", "Hello"), Shown("CA2")
        there.own.put("CA1", call)
        here.own.put("CA2", ours)
        here.board.follow("CA1")
        await until(lambda: "CA1" in here.board.calls)
        assert here.board.calls["CA1"].card() == call.card()
        assert set(here.board.calls) == {"CA1", "CA2"} and set(here.own.calls) == {"CA2"}
        call.said = [turn(0, "Hello."), turn(1, "Hi.")]
        there.own.turns_changed("CA1")
        await until(lambda: len(here.board.calls["CA1"].turns()) == 2)
        call.said = [turn(0, "Hello there.")]
        there.own.turns_changed("CA1")
        await until(lambda: here.board.calls["CA1"].turns() == call.said)
        there.own.remove("CA1", call)
        await until(lambda: set(here.board.calls) == {"CA2"})


async def test_turns_come_from_the_moment_at_which_a_call_is_followed() -> None:
    async with pair() as (_, here, there):
        call = Shown("CA1")
        call.said = [turn(0, "Hello.")]
        there.own.put("CA1", call)
        here.board.follow()
        await until(lambda: "CA1" in here.board.calls)
        assert not here.board.calls["CA1"].turns()
        here.board.follow("CA1")
        await until(lambda: here.board.calls["CA1"].turns() == call.said)


@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_after_a_lost_message_everything_is_told_anew(lost: int) -> None:
    async with pair() as (wire, here, there):
        call = Shown("CA1")
        there.own.put("CA1", call)
        there.own.put("CA3", Shown("CA3"))
        wire.loses = lost
        here.board.follow()
        await until(lambda: "CA3" in here.board.calls)
        wire.loses = lost
        there.own.remove("CA1", call)
        there.own.put("CA2", Shown("CA2"))
        await until(lambda: set(here.board.calls) == {"CA2", "CA3"})


async def test_many_calls_are_told_in_messages_of_a_bounded_size() -> None:
    async with pair() as (_, here, there):
        for number in range(300):
            there.own.put(f"CA{number}", Shown(f"CA{number}", "word " * 30))
        here.board.follow()
        await until(lambda: len(here.board.calls) == 300)
        sizes = [len(json.dumps(each)) for each in here.bus.told]
        assert len(sizes) > 3 and max(sizes) < 2 * exchange.MESSAGE_BYTES


async def test_the_calls_of_a_replica_that_is_gone_are_not_shown() -> None:
    async with pair() as (wire, here, there):
        there.own.put("CA1", Shown("CA1"))
        here.board.follow()
        await until(lambda: here.board.calls)
        del wire.buses["there"]
        await until(lambda: not here.board.calls)


async def test_calls_come_back_when_redis_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "SILENT_S", 0.05)
    async with pair() as (wire, here, there):
        there.own.put("CA1", Shown("CA1"))
        here.board.follow()
        await until(lambda: here.board.calls)
        wire.away = True
        there.own.put("CA2", Shown("CA2"))
        await until(lambda: not here.board.calls)
        wire.away = False
        await until(lambda: len(here.board.calls) == 2)


async def test_a_call_without_a_leg_is_shown_until_it_ends_or_goes_on_elsewhere() -> None:
    async with pair() as (wire, here, _):
        for call_sid in ("CA1", "CA2", "CA3"):
            call = CallInfo(call_sid, "AC1", "inbound", "+15551230001", "+15551230002")
            transfer = do.TransferCall("call_1", ("desk",), "", "", True)
            for message in (ev.LegOpened(), ev.StreamStarted("MZ1"), transfer):
                here.live.watch(call, message, 0.0)
            here.records[call_sid] = SimpleNamespace(status="in-progress", ended_at=None)
        here.live.left("CA3", True)
        assert set(here.own.calls) == {"CA1", "CA2"}
        for call_sid in ("CA1", "CA2"):
            here.live.left(call_sid, False)
        await asyncio.sleep(0.05)
        assert {each.card().state for each in here.own.calls.values()} == {"transferring"}
        here.records["CA1"].status = "completed"
        await until(lambda: set(here.own.calls) == {"CA2"})
        wire.owners["CA2"] = "there"
        await until(lambda: not here.own.calls)
