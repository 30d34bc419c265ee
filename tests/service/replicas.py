"""Several replicas of the service behind a proxy, each a process of its own, with one database.

async with replicas(tmp_path, redis_url, postgres_url, RealtimeServer(brain)) as r:
    call = await r.connected()
    r.kill(r.holder)
"""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from app.records.record import CallRow, TimelineRow, TurnRow
from app.records.store import Store
from app.simulator.realtime import RealtimeServer
from app.simulator.twilio import Call, PhoneLine
from tests.ports import free_port
from tests.service.process import Process, serve
from tests.service.world import ACCOUNT_SID, AGENT, AUTH_TOKEN, PUBLIC_URL

API_TOKEN = "the token of all replicas"
CHUNK = 65536


class Proxy:
    """Passes each connection to a replica at random. `up`: those that get connections."""

    def __init__(self, ports: list[int], seed: object) -> None:
        self.up = set(range(len(ports)))
        #: The replicas that got the media streams, in order.
        self.streams: list[int] = []
        #: If set, the replicas for media streams; the others get the rest.
        self.for_streams: set[int] | None = None
        self._ports = ports
        self._dice = random.Random(str(seed))
        self._server: asyncio.Server | None = None

    async def start(self, port: int) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        try:
            head = await client.readuntil(b"\r\n\r\n")
            is_stream = b"/media-stream" in head.split(b"\r\n", 1)[0]
            chosen = self._choose(is_stream)
            service, requests = await asyncio.open_connection("127.0.0.1", self._ports[chosen])
        except (OSError, asyncio.IncompleteReadError):
            answers.close()
            return
        if is_stream:
            self.streams.append(chosen)
        else:  # one request for each connection, so that each may reach another replica
            head = head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        requests.write(head)
        pumps = [
            asyncio.create_task(_pump(client, requests)),
            asyncio.create_task(_pump(service, answers)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for each in (answers, requests):
            each.close()
        await asyncio.gather(*pumps, return_exceptions=True)

    def _choose(self, is_stream: bool) -> int:
        up = sorted(self.up)
        if self.for_streams is not None:
            wanted = [each for each in up if (each in self.for_streams) == is_stream]
            up = wanted or up
        return self._dice.choice(up)

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()


class Replicas:
    """The running replicas, their proxy, phone line and model."""

    def __init__(
        self,
        processes: list[Process],
        proxy: Proxy,
        line: PhoneLine,
        model: RealtimeServer,
        store: Store,
        url: str,
    ) -> None:
        #: Of the proxy.
        self.url = url
        self.processes = processes
        self.proxy = proxy
        self.line = line
        self.model = model
        self.store = store

    @property
    def holder(self) -> int:
        """The replica that got the last media stream."""
        return self.proxy.streams[-1]

    async def connected(self, **ring: Any) -> Call:
        """A call whose stream has started."""
        call = await self.line.call(**ring)
        await call.wait_connected()
        return call

    def kill(self, number: int) -> None:
        """As a machine that loses power."""
        self.proxy.up.discard(number)
        self.processes[number].signal(signal.SIGKILL)

    def hang(self, number: int) -> None:
        """As a machine that answers nothing, and keeps its sockets."""
        self.proxy.up.discard(number)
        self.processes[number].signal(signal.SIGSTOP)

    def wake(self, number: int) -> None:
        """It goes on where it was; it gets no connections."""
        self.processes[number].signal(signal.SIGCONT)

    async def row(self, call_sid: str) -> CallRow:
        row = await self.store.get_call(call_sid)
        assert row is not None
        return row

    async def until(self, call_sid: str, condition: Callable[[CallRow], bool]) -> None:
        """Wait until the row of a call is like this: the replicas tell nothing of their writes."""
        for _ in range(400):
            if condition(await self.row(call_sid)):
                return
            await asyncio.sleep(0.05)
        lines = "\n".join(line for process in self.processes for line in process.lines)
        raise AssertionError(f"{await self.row(call_sid)}\n{lines}")

    async def stored(self, call_sid: str, *texts: str) -> None:
        """Wait until these turns are stored: a replica writes what was heard within a second."""
        for _ in range(400):
            turns = await self.store.turns(call_sid)
            if [turn.text for turn in turns][: len(texts)] == list(texts):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(await self.store.turns(call_sid))

    async def ended(self, call: Call) -> tuple[CallRow, list[TurnRow], list[TimelineRow]]:
        """The record of a call that is over, once it is closed."""
        await call.wait_ended()
        sid = call.call_sid
        await self.until(sid, lambda row: row.ended_at is not None)
        turns, timeline = await self.store.turns(sid), await self.store.timeline(sid)
        return await self.row(sid), turns, timeline


@asynccontextmanager
async def replicas(
    folder: Path,
    redis_url: str,
    database_url: str,
    model: RealtimeServer,
    *,
    count: int = 2,
    seed: object = 0,
    agent: str = AGENT,
    tools: str = "",
    line: Mapping[str, Any] | None = None,
    **variables: str,
) -> AsyncIterator[Replicas]:
    """Run `count` replicas. `line`: arguments of the phone line. `variables`: further settings."""
    (folder / "agent.toml").write_text(agent)
    (folder / "tools.py").write_text(tools)
    ports = [free_port() for _ in range(count)]
    proxy, port = Proxy(ports, seed), free_port()
    usual = {
        "account_sid": ACCOUNT_SID,
        "auth_token": AUTH_TOKEN,
        "public_url": PUBLIC_URL,
        "status_callback_url": "/call-status",
    }
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(model)
        phone_line = await stack.enter_async_context(
            PhoneLine(f"http://127.0.0.1:{port}/incoming-call", **{**usual, **(line or {})})
        )
        await proxy.start(port)
        stack.push_async_callback(proxy.aclose)
        settings = {
            "OPENAI_API_KEY": "the model's key",
            "OPENAI_BASE_URL": model.base_url,
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "TWILIO_API_BASE_URL": phone_line.rest_url,
            "PUBLIC_URL": PUBLIC_URL,
            "API_TOKEN": API_TOKEN,
            "AGENT_FILE": str(folder / "agent.toml"),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            **variables,
        }
        processes = [
            await stack.enter_async_context(serve(folder, PORT=str(each), **settings))
            for each in ports
        ]
        for process in processes:
            await process.says("A call comes in")
        store = await Store.open(database_url)
        stack.push_async_callback(store.aclose)
        url = f"http://127.0.0.1:{port}"
        r = Replicas(processes, proxy, phone_line, model, store, url)
        yield r
        for call in phone_line.calls.values():
            call.hang_up()
            await call.wait_ended()
        for process in processes:
            assert not any("Traceback" in line for line in process.lines), process.lines
