"""The live calls of all replicas, on the board of each replica that someone looks at.

A replica whose board has clients asks all others for their live calls, and asks again every few
seconds. Each of those sends it every call, and then what changes. Without clients nothing is sent.

A message may be lost: they are numbered, and after a gap a replica sends every call again.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import msgspec

from app.bridge.bus.bus import Bus, BusUnavailable, Message, NoAnswer
from app.bridge.requests import Requests
from app.records.store import Store, StoreUnavailable
from app.web.live.board import Board, Card, Client, LiveTurn
from app.web.live.calls import LiveCalls
from app.wires.twilio.call import TERMINAL

logger = logging.getLogger(__name__)

RENEW_S = 3.0
#: A replica that does not ask for so long gets no more news; the calls of one that sends none for
#: so long are removed.
SILENT_S = 10.0
ANSWER_S = 1.0
LATE_S = 1.0  # what has not come by then is lost
GATHER_S = 0.1  # changes within it share a message
MESSAGE_BYTES = 32 << 10
#: Calls that go on without a leg are looked up in the records so often.
LOOK_S = 2.0


@dataclass(slots=True, eq=False)
class FarCall:
    """A live call of another replica, by the news that came."""

    shown: Card
    known_turns: dict[int, LiveTurn] = field(default_factory=dict)

    def card(self) -> Card:
        return self.shown

    def turns(self) -> Sequence[LiveTurn]:
        return [self.known_turns[at] for at in sorted(self.known_turns)]


@dataclass(slots=True)
class _Teller:
    """Another replica, which sends what happens on its calls."""

    #: The series of its messages, and the number of the last one that came; empty: none did.
    series: str = ""
    number: int = 0
    #: What it had sent when it was asked last, and when that was; empty: it never was.
    promised: tuple[str, int] = ("", 0)
    promised_s: float = 0.0
    heard_s: float = 0.0
    calls: dict[str, FarCall] = field(default_factory=dict)


class LiveExchange:
    """`start` it, and `aclose` it.

    Args:
        own: the board of this process' calls.
        board: the one that clients follow.
        live: what puts calls on `own`.
    """

    def __init__(self, bus: Bus, store: Store, own: Board, board: Board, live: LiveCalls) -> None:
        self._bus = bus
        self._store = store
        self._own = own
        self._board = board
        self._live = live
        self._tellers: dict[str, _Teller] = {}
        self._listeners: dict[str, _Feed] = {}
        self._ask = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, requests: Requests) -> None:
        """Begin, if there may be other replicas."""
        if not self._bus.shared:
            return
        requests.add("live", self._answer)
        self._bus.on_news = self._take
        self._board.on_clients = self._ask.set
        for work, name in ((self._look_on, "live calls"), (self._look_up, "calls without leg")):
            task = asyncio.create_task(work(), name=name)
            self._tasks.add(task)

    async def aclose(self) -> None:
        """Send and take nothing more."""
        tasks = [*self._tasks, *(feed.task for feed in self._listeners.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- this replica's board has clients ---

    async def _look_on(self) -> None:
        while True:
            if not self._board.clients:
                for replica in [*self._tellers]:
                    self._forget(replica)
                await self._ask.wait()
            self._ask.clear()
            if self._board.clients:
                await self._ask_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(RENEW_S):
                    await self._ask.wait()

    async def _ask_all(self) -> None:
        try:
            others = await self._bus.replicas()
        except BusUnavailable:  # what is known stays on the board for a while
            others = {}
        else:
            for replica in self._tellers.keys() - others.keys():
                self._forget(replica)
        await asyncio.gather(*(self._ask_for_news(replica) for replica in others))
        silent_s = monotonic() - SILENT_S
        for replica in [each for each, it in self._tellers.items() if it.heard_s < silent_s]:
            self._forget(replica)

    async def _ask_for_news(self, replica: str) -> None:
        teller = self._tellers.setdefault(replica, _Teller(heard_s=monotonic()))
        request = {
            "request": "live",
            "to": self._bus.replica,
            "follow": sorted(self._board.followed - self._own.calls.keys()),
            "series": "" if self._has_gap(teller) else teller.series,
        }
        try:
            outcome = await self._bus.ask_replica(replica, request, ANSWER_S)
            teller.promised = str(outcome["series"]), int(outcome["number"])
            teller.promised_s = teller.heard_s = monotonic()
        except (NoAnswer, BusUnavailable):
            return
        except KeyError:
            logger.warning("replica sends no live calls", extra={"replica": replica})

    @staticmethod
    def _has_gap(teller: _Teller) -> bool:
        """Whether what it had sent a while ago has not come."""
        series, number = teller.promised
        if not series or monotonic() - teller.promised_s < LATE_S:
            return False
        return series != teller.series or number > teller.number

    def _take(self, replica: str, news: Message) -> None:
        """News of another replica."""
        teller = self._tellers.get(replica)
        if teller is None:
            return
        series, number = str(news["series"]), int(news["number"])
        if number == 1:
            for call_sid in teller.calls.keys() - set(news["calls"]):
                self._board.remove(call_sid, teller.calls.pop(call_sid))
            teller.series = series
        elif (series, number) != (teller.series, teller.number + 1):
            if teller.series:
                teller.series = ""
                self._ask.set()  # every call again
            return
        teller.number = number
        teller.heard_s = monotonic()
        for line in news.get("lines", ()):
            self._take_line(teller, line)

    def _take_line(self, teller: _Teller, line: Message) -> None:
        match line:
            case {"type": "call", "call": {"call_sid": str(call_sid)} as shown}:
                card = msgspec.convert(shown, Card)
                if (call := teller.calls.get(call_sid)) is not None:
                    call.shown = card
                    self._board.changed(call_sid)
                else:
                    teller.calls[call_sid] = call = FarCall(card)
                    self._board.put(call_sid, call)
            case {"type": "ended", "call_sid": str(call_sid)} if call_sid in teller.calls:
                self._board.remove(call_sid, teller.calls.pop(call_sid))
            case {"type": "turns", "call_sid": str(call_sid)} if call_sid in teller.calls:
                known = teller.calls[call_sid].known_turns
                for position in line["removed"]:
                    known.pop(position, None)
                for turn in msgspec.convert(line["turns"], list[LiveTurn]):
                    known[turn.position] = turn
                self._board.turns_changed(call_sid)

    def _forget(self, replica: str) -> None:
        if teller := self._tellers.pop(replica, None):
            for call_sid, call in teller.calls.items():
                self._board.remove(call_sid, call)

    # --- another replica's board has clients ---

    async def _answer(self, request: Message) -> dict[str, Any]:
        replica, follow = str(request["to"]), [str(each) for each in request["follow"]]
        feed = self._listeners.get(replica)
        if feed is None or feed.task.done() or request["series"] != feed.series:
            if feed is not None:
                feed.task.cancel()
            feed = self._listeners[replica] = _Feed(self._bus, self._own, replica, follow)
        feed.renew(follow)
        for other in [each for each, it in self._listeners.items() if it.task.done()]:
            del self._listeners[other]
        return {"series": feed.series, "number": feed.number}

    # --- calls without a leg ---

    async def _look_up(self) -> None:
        """A call that waits for a human, or for Twilio, may end or go on at another replica."""
        while True:
            await asyncio.sleep(LOOK_S)
            waiting = sorted(self._live.without_leg)
            with suppress(StoreUnavailable, BusUnavailable):
                for call_sid in waiting:
                    row = await self._store.get_call(call_sid)
                    if row is None or row.status in TERMINAL or row.ended_at is not None:
                        self._live.over(call_sid)
                for call_sid, owner in (await self._bus.owners(waiting)).items():
                    if owner.replica != self._bus.replica:
                        self._live.over(call_sid)


class _Feed:
    """Sends the calls of this process to another replica, until that asks no more."""

    def __init__(self, bus: Bus, board: Board, replica: str, follow: Iterable[str]) -> None:
        self.series = secrets.token_hex(4)
        #: Of the last message.
        self.number = 0
        self._bus = bus
        self._board = board
        self._replica = replica
        self._until_s = 0.0
        self._client: Client = board.follow(*follow)
        self._client.note_all()
        self.task = asyncio.create_task(self._tell(), name="news of live calls")

    def renew(self, follow: Iterable[str]) -> None:
        """It asks again."""
        self._until_s = monotonic() + SILENT_S
        if set(follow) != self._client.followed:
            self._client.follow(follow)

    async def _tell(self) -> None:
        try:
            await self._send({"calls": [*self._board.calls]})  # it begins the series
            while monotonic() < self._until_s and not self._client.closed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(RENEW_S):
                        await self._client.news()
                for lines in _messages(self._client.lines()):
                    await self._send({"lines": lines})
                await asyncio.sleep(GATHER_S)
        except BusUnavailable:
            pass  # it asks again when Redis is back, and gets every call
        finally:
            self._board.leave(self._client)

    async def _send(self, news: Message) -> None:
        self.number += 1
        told = {"series": self.series, "number": self.number, **news}
        await self._bus.tell(self._replica, told)


def _messages(lines: Iterable[bytes]) -> Iterator[list[Any]]:
    """Lines that share a message."""
    gathered: list[Any] = []
    size_bytes = 0
    for line in lines:
        if gathered and size_bytes + len(line) > MESSAGE_BYTES:
            yield gathered
            gathered, size_bytes = [], 0
        gathered.append(json.loads(line))
        size_bytes += len(line)
    if gathered:
        yield gathered
