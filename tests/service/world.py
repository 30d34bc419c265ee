"""The service on loopback, with a simulated phone line and a simulated model.

    async with world(Script("Hello."), agent=AGENT) as w:
        call = await w.connected()

On leaving, it checks that the log has no failure, and that no task and no socket is left open.
"""

import asyncio
import logging
import os
import random
import stat
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

import app
from app.bridge import deadlines
from app.bridge.reconnects import Reconnects
from app.bridge.services import Services
from app.bridge.switchboard import Switchboard
from app.config.settings import Settings
from app.main import create_app
from app.records.store import Store
from app.simulator.realtime import Brain, RealtimeServer, Script
from app.simulator.realtime.script import Options
from app.simulator.twilio import Call, Network, PhoneLine
from app.web.app_state import AppState, state_of
from app.web.server import Limits, Server, bind
from app.wires.model import OpenWire

ACCOUNT_SID = "AC" + "1" * 32
AUTH_TOKEN = "the auth token"
API_TOKEN = "the operator's token"
PUBLIC_URL = "https://bridge.example.com"

AGENT = """
name = "Tester"
instructions = "Be brief."
greeting = "Hello."
[turns]
silence_ms = 100
"""

# What asyncio logs for a burst that is sent before the loop notices that the peer closed.
_HARMLESS = "socket.send() raised exception."
_SERVICE = Path(app.__file__).parent
_SIMULATOR = _SERVICE / "simulator"


def noise(duration_ms: int, seed: object = 0) -> bytes:
    """µ-law, loud enough for turn detection, different for each seed."""
    return random.Random(str(seed)).randbytes(duration_ms * 8)


class Log(logging.Handler):
    """The records that the service logged."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def of(self, message: str) -> list[dict[str, Any]]:
        """The fields of each record with this message."""
        return [record.__dict__ for record in self.records if record.getMessage() == message]

    def failures(self) -> list[str]:
        """Tracebacks, and errors of uvicorn and asyncio."""
        formatter = logging.Formatter()
        return [
            formatter.format(record)
            for record in self.records
            if record.exc_info
            or (record.name in ("uvicorn.error", "asyncio") and record.getMessage() != _HARMLESS)
        ]

    def __enter__(self) -> Self:
        logger = logging.getLogger("app")
        self._level_before = logger.level
        logger.setLevel(logging.INFO)
        logging.getLogger().addHandler(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        logging.getLogger().removeHandler(self)
        logging.getLogger("app").setLevel(self._level_before)


class World:
    """A running service and its simulated peers. `url`: where it listens."""

    def __init__(
        self,
        url: str,
        line: PhoneLine,
        model: RealtimeServer,
        server: Server,
        log: Log,
        http: aiohttp.ClientSession,
        settings: Settings,
    ) -> None:
        self.url = url
        self.line = line
        self.model = model
        self.server = server
        self.log = log
        self.http = http
        self.settings = settings

    @property
    def switchboard(self) -> Switchboard:
        return self.state.switchboard

    @property
    def reconnects(self) -> Reconnects:
        return self.state.reconnects

    @property
    def store(self) -> Store:
        return self.state.store

    @property
    def state(self) -> AppState:
        """What the service's routes share."""
        application: Any = self.server.config.app
        return state_of(application)

    async def connected(self, **ring: Any) -> Call:
        """A call whose stream has started."""
        call = await self.line.call(**ring)
        await call.wait_connected()
        return call

    async def settled(self) -> None:
        """Wait until no leg runs and no media socket is open."""
        await _all_of(lambda: {t for t in asyncio.all_tasks() if t.get_name().startswith("leg ")})
        await _all_of(lambda: set(self.server.server_state.tasks))
        await _all_of(lambda: deadlines.abandoned)
        while any("WebSocket" in type(c).__name__ for c in self.server.server_state.connections):
            await self.status_of("/healthz")
            await asyncio.sleep(0.01)

    async def record(self, call_sid: str) -> dict[str, Any]:
        """The record of a call, as the HTTP API returns it."""
        await self.store.flush()
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        async with self.http.get(f"{self.url}/calls/{call_sid}", headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            found: dict[str, Any] = await answer.json()
            return found

    async def status_of(self, path: str) -> int:
        """The HTTP status of a plain GET."""
        async with self.http.get(f"{self.url}{path}") as answer:
            return answer.status


async def _all_of(tasks: Callable[[], set[asyncio.Task[Any]]]) -> None:
    while waiting := tasks():
        await asyncio.wait(waiting)


def names(record: Mapping[str, Any], kind: str = "event") -> list[str]:
    """The names of a record's events, or of its commands."""
    return [entry["name"] for entry in record["events"] if entry["kind"] == kind]


@asynccontextmanager
async def restarted(w: World) -> AsyncIterator[None]:
    """Stop the service, and start it again with the same database."""
    (serving,) = [task for task in asyncio.all_tasks() if "Server.serve" in str(task.get_coro())]
    w.server.should_exit = True
    await asyncio.wait({serving})
    listener = bind("127.0.0.1", int(w.url.rpartition(":")[2]))
    w.server = Server(create_app(w.settings), w.settings.drain_seconds)
    serving = asyncio.create_task(w.server.serve(sockets=[listener]))
    await w.status_of("/healthz")
    try:
        yield
    finally:
        w.server.should_exit = True
        await serving


def decisions(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(decision, reason) of each decision in a record."""
    made = [each["data"] for each in record["events"] if each["name"] == "DecisionMade"]
    return [(each["decision"], each["reason"]) for each in made]


def tasks_of_calls() -> set[str]:
    """The names of the coroutines that the service runs for calls."""
    found = set()
    for task in asyncio.all_tasks():
        code = getattr(task.get_coro(), "cr_code", None)
        if code is None or code.co_name == "_write_batches":  # the store's, for all calls
            continue
        path = Path(code.co_filename)
        if path.is_relative_to(_SERVICE) and not path.is_relative_to(_SIMULATOR):
            found.add(code.co_qualname)
    return found


def open_sockets() -> int:
    """How many sockets this process has open."""
    count = 0
    for name in os.listdir("/dev/fd"):
        try:
            count += stat.S_ISSOCK(os.fstat(int(name)).st_mode)
        except OSError:  # the listing's own descriptor
            continue
    return count


@asynccontextmanager
async def world(
    brain: Brain | Script | RealtimeServer,
    *,
    agent: str = AGENT,
    tools: str = "",
    options: Options | None = None,
    network: Network | None = None,
    line: Mapping[str, Any] | None = None,
    fails: bool = False,
    limits: Limits | None = None,
    open_wire: OpenWire | None = None,
    **settings: Any,
) -> AsyncIterator[World]:
    """Run the service and its peers. `agent`, `tools`: the text of the agent file and its tools.
    `line`: arguments of the PhoneLine. `fails`: the log may contain failures. `limits`: of
    connections. `open_wire`: for another kind of model than Realtime's. `settings`: in place of the
    usual ones."""
    tasks_before, sockets_before = tasks_of_calls(), open_sockets()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "agent.toml").write_text(agent)
        (folder / "tools.py").write_text(tools)
        log = stack.enter_context(Log())
        model = brain if isinstance(brain, RealtimeServer) else RealtimeServer(brain)
        if options is not None:
            model.options = options
        await stack.enter_async_context(model)
        listener = bind("127.0.0.1", 0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        usual_line = {
            "account_sid": ACCOUNT_SID,
            "auth_token": AUTH_TOKEN,
            "public_url": PUBLIC_URL,
            "status_callback_url": "/call-status",
        }
        phone_line = await stack.enter_async_context(
            PhoneLine(f"{url}/incoming-call", network=network, **{**usual_line, **(line or {})})
        )
        values = {
            "openai_api_key": "the model's key",
            "openai_base_url": model.base_url,
            "twilio_account_sid": ACCOUNT_SID,
            "twilio_auth_token": AUTH_TOKEN,
            "twilio_api_base_url": phone_line.rest_url,
            "public_url": PUBLIC_URL,
            "api_token": API_TOKEN,
            "agent_file": folder / "agent.toml",
            "database_url": f"sqlite:///{folder / 'calls.db'}",
            "recordings_dir": folder / "recordings",
            **settings,
        }
        chosen = Settings(_env_file=None, **values)  # type: ignore[call-arg] # pydantic-settings'
        services = None
        if open_wire is not None:
            services = replace(await Services.open(chosen), open_wire=open_wire)
        application = create_app(chosen, services)
        server = Server(application, chosen.drain_seconds, limits or Limits())
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        here = World(url, phone_line, model, server, log, http, chosen)
        await here.status_of("/healthz")  # the kernel holds it until the service listens
        try:
            yield here
            for call in phone_line.calls.values():
                call.hang_up()
                await call.wait_ended()
        finally:
            server.should_exit = True
            await serving
            await _all_of(lambda: deadlines.abandoned)
    assert fails or not log.failures(), log.failures()[0]
    assert tasks_of_calls() == tasks_before
    assert open_sockets() == sockets_before
