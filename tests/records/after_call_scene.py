"""An owner who receives reports, and a clock that a test moves."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import TypeAdapter

from app.call.usage import Usage
from app.records.after_call import LEASE_S, AfterCall
from app.records.record import Call, shown
from app.records.report_queue import State
from app.records.store import Store, TurnRow
from app.wires.twilio.call import CallStatus

TURNS = [
    TurnRow(0, "assistant", "Hello, how may", "item_a", 10.0, True, True, 640.0),
    TurnRow(1, "user", "Zwei Pizzen, bitte.", "item_b", 900.0),
    TurnRow(2, "tool", '{"ok": true}', extra={"name": "order", "arguments": "{}"}),
]
TRANSFER = {
    "destination": "desk",
    "outcome": "no-answer",
    "reason": "a complaint",
    "summary": "The pizza was cold.",
    "warm": False,
    "seconds": None,
}


class VirtualClock:
    """Moves only when a test calls `pass_`."""

    def __init__(self) -> None:
        self._now = datetime.now(UTC)
        self._moved = asyncio.Event()
        self._rests: asyncio.Queue[float] = asyncio.Queue()

    def now(self) -> datetime:
        return self._now

    async def wait(self, event: asyncio.Event, for_s: float) -> None:
        until = self._now + timedelta(seconds=for_s)
        self._rests.put_nowait(for_s)
        woken = asyncio.create_task(event.wait())
        try:
            while not event.is_set() and self._now < until:
                moved = asyncio.create_task(self._moved.wait())
                await asyncio.wait([woken, moved], return_when=asyncio.FIRST_COMPLETED)
                moved.cancel()
        finally:
            woken.cancel()

    async def rest(self) -> float:
        """Wait until the user of this clock waits once more. Returns for how many seconds."""
        return await self._rests.get()

    def pass_(self, seconds: float) -> None:
        """Let time pass. Earlier results of `rest` are dropped."""
        while not self._rests.empty():
            self._rests.get_nowait()
        self._now += timedelta(seconds=seconds)
        self._moved.set()
        self._moved = asyncio.Event()


class Owner:
    """The receiver of reports. `statuses`: of its responses, the last one repeated, with `headers`.
    `held`: responses wait until it is set."""

    def __init__(self) -> None:
        self.url = ""
        self.statuses: list[int] = [204]
        self.headers: dict[str, str] = {}
        self.held = asyncio.Event()
        self.held.set()
        self.at_once = self.most_at_once = 0
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self._news: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()

    async def report(self) -> dict[str, Any]:
        """Wait for one more report. Returns its body."""
        _, body = await self._news.get()
        report: dict[str, Any] = json.loads(body)
        return report

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.requests]

    async def handle(self, request: web.Request) -> web.Response:
        received = (
            {name.lower(): value for name, value in request.headers.items()},
            await request.read(),
        )
        self.requests.append(received)
        self._news.put_nowait(received)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.held.wait()
        finally:
            self.at_once -= 1
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return web.Response(status=status, headers=self.headers)


@asynccontextmanager
async def an_owner() -> AsyncIterator[Owner]:
    owner = Owner()
    app = web.Application()
    app.router.add_post("/calls", owner.handle)
    async with TestServer(app) as server:
        owner.url = str(server.make_url("/calls"))
        yield owner
        owner.held.set()


@asynccontextmanager
async def after_calls(
    store: Store, url: str | None, clock: VirtualClock, **options: Any
) -> AsyncIterator[AfterCall]:
    """A started `AfterCall`. `options`: its arguments."""
    options = {"is_live": lambda call_sid: False, **options}
    after = AfterCall(store, url, clock=clock, **options)
    after.start()
    try:
        yield after
    finally:
        await after.aclose(within_s=0)


async def becomes(store: Store, clock: VirtualClock, call_sid: str, state: State) -> None:
    """Wait until a report is in this state."""
    while await store.report_queue.state(call_sid) != state:
        await clock.rest()


async def put_off_by(store: Store, owner: Owner, clock: VirtualClock) -> float:
    """Wait until the owner has refused the one due report. Returns the seconds until it is due
    again; 0: it is not due any more."""
    await owner.report()
    while True:
        due_at = await store.report_queue.next_due_at(clock.now())
        wait_s = (due_at - clock.now()).total_seconds() if due_at else 0.0
        if wait_s != LEASE_S:
            return wait_s
        await clock.rest()


async def a_call(store: Store, call_sid: str = "CA1") -> None:
    """Store a call with an agent that has ended."""
    started = datetime(2026, 3, 14, 9, 26, 53, 500_000, UTC)
    store.save_call(
        call_sid, account_sid="AC1", from_number="+15550100001", to_number="+15550109999",
        agent_name="Mia", status="in-progress", started_at=started,
    )  # fmt: skip
    store.save_turns(call_sid, TURNS)
    store.save_call(
        call_sid, status="completed", ended_at=started + timedelta(seconds=20), duration_s=20.0,
        ended_by="caller", answered_by="human", usage=asdict(Usage(input_text=5, output_audio=70)),
        transfers=[TRANSFER], recording="/var/lib/agent/recordings/CA1.wav",
        cost={"total": 0.01}, timings={"model_ready_ms": 250.0},
    )  # fmt: skip
    await store.flush()


async def ended(store: Store, *call_sids: str, status: CallStatus = "completed") -> None:
    for call_sid in call_sids:
        store.save_call(call_sid, status=status)
    await store.flush()


async def as_the_api_tells_it(store: Store, call_sid: str = "CA1") -> dict[str, Any]:
    """The record as the API answers with it, but for the events."""
    row = await store.get_call(call_sid)
    assert row is not None
    record = shown(row, await store.turns(call_sid), [])
    told: dict[str, Any] = TypeAdapter(Call).dump_python(record, mode="json", by_alias=True)
    del told["events"]
    return told
