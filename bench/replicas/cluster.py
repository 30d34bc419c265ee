"""The replicas as processes, with what they share: proxy, database, Redis, phone line, model."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from app.simulator.realtime import RealtimeServer
from app.simulator.realtime.script import Options
from app.simulator.twilio import Call, Callee, PhoneLine, now_ms
from bench.line import ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL
from bench.process import AGENT_FILE, SERVICE, Process, free_port, ready, running
from bench.replicas.proxy import RandomProxy
from bench.replicas.script import (
    AGENT,
    API_TOKEN,
    DESK,
    LATE,
    NIGHT,
    OWN,
    TOOLS,
    WARM,
    answer,
    transcribe,
)
from bench.strangers.gaps import Stalls
from tests.postgres import PostgresServer
from tests.redis_server import RedisServer, redis_server

COUNT = 3
TICK_S = 0.005
STALLED_MS = 2.0
RECORD_WITHIN_S = 20.0
OVER_WITHIN_S = 5.0
SCALE = 0.1  # of Twilio's waits
HOLD_MS = 100.0
CALLEES = {
    DESK: Callee(answers_after_ms=100, presses="1", talks_ms=500),
    NIGHT: Callee(goes="no-answer"),
    WARM: Callee(answers_after_ms=100, presses="1", talks_ms=500),
    LATE: Callee(answers_after_ms=1500, presses="1", talks_ms=8000),
}


class Replica:
    """A process of the service that is started again on the same port."""

    def __init__(self, port: int, model_port: int, settings: dict[str, str]) -> None:
        self.port = port
        self.process: Process
        self._model_port = model_port
        files = {AGENT_FILE: AGENT, "tools.py": TOOLS}
        self._subject = replace(SERVICE, files=files, settings=settings)
        self._started = ExitStack()

    async def start(self) -> None:
        """Start it, in place of the one before, and wait until it answers."""
        self.close()
        one = running(self._subject, self._model_port, self.port)
        self.process = self._started.enter_context(one)
        if sys.platform == "linux":  # on every core, as the other processes
            os.sched_setaffinity(self.process.pid, range(os.cpu_count() or 1))
        await ready(self.process)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.signal(number)

    def close(self) -> None:
        """Stop it."""
        self._started.close()


class Stores:
    """A PostgreSQL and a Redis of the bench's own."""

    def __init__(self, postgres: PostgresServer, redis: RedisServer) -> None:
        self.postgres = postgres
        self.redis = redis

    def redis_keys(self) -> list[str]:
        """The names of all keys, sorted."""
        with self.redis.client() as client:
            return sorted(client.scan_iter(count=1000))


@contextmanager
def stores() -> Iterator[Stores]:
    """Start both, and stop them at the end."""
    postgres = PostgresServer()
    try:
        postgres.start()
        with redis_server() as redis:
            yield Stores(postgres, redis)
    finally:
        postgres.close()


class Cluster:
    """Running replicas and their world."""

    def __init__(
        self,
        replicas: list[Replica],
        proxy: RandomProxy,
        line: PhoneLine,
        model: RealtimeServer,
        stores: Stores | None,
        http: aiohttp.ClientSession,
    ) -> None:
        self.replicas = replicas
        self.proxy = proxy
        self.line = line
        self.model = model
        self._stores = stores
        self.stalls = Stalls()
        self._http = http

    @property
    def stores(self) -> Stores:
        """What the replicas share."""
        if self._stores is None:
            raise RuntimeError("one process alone shares nothing")
        return self._stores

    def holder(self, call: Call) -> int | None:
        """The replica that has the last stream of a call."""
        return self.proxy.holder(call.streams[-1].order.url) if call.streams else None

    async def api(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """(status, JSON) of a request to the HTTP API, of any replica. Status 0: no answer."""
        url = f"http://127.0.0.1:{self.proxy.port}{path}"
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        try:
            async with self._http.request(method, url, json=body, headers=headers) as answer:
                return answer.status, await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return 0, repr(error)

    async def text(self, number: int, path: str) -> str:
        """A page of one replica."""
        url = f"http://127.0.0.1:{self.replicas[number].port}{path}"
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        async with self._http.get(url, headers=headers) as answer:
            return await answer.text()

    async def record(self, call_sid: str, within_s: float = RECORD_WITHIN_S) -> dict[str, Any]:
        """The record of a call that is over, once it is whole: several replicas write it. If it is
        not whole in time, what there is of it; empty: it has no end."""
        found: dict[str, Any] = {}
        loop = asyncio.get_running_loop()
        until_s = loop.time() + within_s
        while loop.time() < until_s:
            status, record = await self.api("GET", f"/calls/{call_sid}")
            if status == 200 and record.get("ended_at"):
                found = record
                if record.get("ended_by"):
                    break
            await asyncio.sleep(0.2)
        return found

    async def watch(self) -> None:
        """Record when this process did not run, until this is cancelled."""
        while True:
            due_ms = now_ms() + TICK_S * 1000
            await asyncio.sleep(TICK_S)
            if (at_ms := now_ms()) - due_ms > STALLED_MS:
                self.stalls.late(at_ms, at_ms - due_ms)


@asynccontextmanager
async def cluster(
    shared: Stores | None,
    folder: Path,
    *,
    count: int = COUNT,
    seed: object = 0,
    remembers: bool = True,
    **settings: str,
) -> AsyncIterator[Cluster]:
    """Run the replicas with an empty database and an empty Redis.

    `shared`: None: one process alone, without Redis. `remembers`: the model keeps what it got.
    """
    ports = [free_port() for _ in range(count)]
    async with AsyncExitStack() as stack:
        options = Options(remembers=remembers)
        server = RealtimeServer(answer, transcribe=transcribe, options=options)
        model = await stack.enter_async_context(server)
        proxy = RandomProxy(ports, seed)
        stack.push_async_callback(proxy.aclose)
        await proxy.start()
        line = await stack.enter_async_context(
            PhoneLine(
                f"http://127.0.0.1:{proxy.port}/incoming-call",
                account_sid=ACCOUNT_SID,
                auth_token=AUTH_TOKEN,
                public_url=PUBLIC_URL,
                status_callback_url="/call-status",
                ring_scale=SCALE,
                gather_scale=SCALE,
                hold_ms=HOLD_MS,
            )
        )
        line.callees = dict(CALLEES)
        values = {
            "TWILIO_API_BASE_URL": line.rest_url,
            "TWILIO_PHONE_NUMBER": OWN,
            "API_TOKEN": API_TOKEN,
            "DATABASE_URL": f"sqlite:///{folder}/one.sqlite",
        }
        if shared is not None:
            with shared.redis.client() as client:
                client.flushall()
            url = shared.postgres.new_database()
            values |= {"DATABASE_URL": url, "REDIS_URL": shared.redis.url}
        replicas = [Replica(each, model.port, {**values, **settings}) for each in ports]
        for each in replicas:
            stack.callback(each.close)
        await asyncio.gather(*(each.start() for each in replicas))
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=10))
        )
        run = Cluster(replicas, proxy, line, model, shared, http)
        watching = asyncio.create_task(run.watch())
        try:
            yield run
        finally:
            watching.cancel()
            for call in line.calls.values():
                call.hang_up()
            if over := [asyncio.ensure_future(each.wait_ended()) for each in line.calls.values()]:
                await asyncio.wait(over, timeout=OVER_WITHIN_S)
