"""Several replicas of the service behind one address, in one process, with a real PostgreSQL and a
real Redis. The test says which replica each request and each media socket of Twilio's reaches.

    async with replicas(Script("Hello."), postgres_url, redis_url) as r:
        r.route = by_path({"/media-stream": 1})
        call = await r.connected()
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from app.bridge import deadlines
from app.config.settings import Settings
from app.main import create_app
from app.simulator.realtime import Brain, RealtimeServer, Script
from app.simulator.twilio import Call, PhoneLine
from app.web.server import Limits, Server, bind
from tests.service.world import (
    ACCOUNT_SID,
    AGENT,
    API_TOKEN,
    AUTH_TOKEN,
    PUBLIC_URL,
    Log,
    World,
)

Route = Callable[[str], int]
"""The number of the replica that a request for this public URL reaches."""


def by_path(replicas: Mapping[str, int], otherwise: int = 0) -> Route:
    """Routes by how a path begins."""

    def route(url: str) -> int:
        path = urlsplit(url).path
        found = [number for start, number in replicas.items() if path.startswith(start)]
        return found[0] if found else otherwise

    return route


def in_turn(count: int) -> Route:
    """Each request and each socket reaches the replica after the one before."""
    last = -1

    def route(url: str) -> int:
        nonlocal last
        last = (last + 1) % count
        return last

    return route


class Replicas:
    """The replicas, each as a `World`, and what they share."""

    def __init__(self, worlds: list[World], own_urls: Mapping[str, int]) -> None:
        self.worlds = worlds
        self.route: Route = in_turn(len(worlds))
        #: Every URL that Twilio requested, with the number of the replica that it reached.
        self.reached: list[tuple[str, int]] = []
        self._own_urls = own_urls
        self._direct()

    def __getitem__(self, number: int) -> World:
        return self.worlds[number]

    @property
    def line(self) -> PhoneLine:
        return self.worlds[0].line

    @property
    def model(self) -> RealtimeServer:
        return self.worlds[0].model

    @property
    def log(self) -> Log:
        return self.worlds[0].log

    async def connected(self, **ring: Any) -> Call:
        """A call whose stream has started."""
        return await self.worlds[0].connected(**ring)

    async def settled(self) -> None:
        """Wait until no leg runs and no media socket is open."""
        for each in self.worlds:
            await each.settled()

    async def record(self, call_sid: str, number: int = 0) -> dict[str, Any]:
        """The record of a call, once all replicas have written theirs."""
        for each in self.worlds:
            await each.store.flush()
        return await self.worlds[number].record(call_sid)

    def reached_by(self, path: str) -> list[int]:
        """The replicas that requests for paths with this beginning have reached."""
        return [number for url, number in self.reached if urlsplit(url).path.startswith(path)]

    def _world_for(self, url: str) -> World:
        own = self._own_urls.get(urlsplit(url).netloc)
        number = self.route(url) if own is None else own
        self.reached.append((url, number))
        return self.worlds[number]

    def _direct(self) -> None:
        """In place of the load balancer: the simulated line connects to the replica chosen."""
        client = self.line._open.client
        handshake = client.handshake

        def directed(stream_url: str) -> tuple[str, dict[str, str]]:
            url, headers = handshake(stream_url)
            host = urlsplit(self._world_for(stream_url).url).netloc
            return urlsplit(url)._replace(netloc=host).geturl(), headers

        def reached_at(split: Any) -> URL:
            netloc = urlsplit(self._world_for(split.geturl()).url).netloc
            here = split._replace(scheme="http", netloc=netloc, path=split.path or "/")
            return URL(here.geturl(), encoded=True)

        client.handshake = directed  # type: ignore[method-assign]
        client._reached_at = reached_at  # type: ignore[method-assign]


@asynccontextmanager
async def replicas(
    brain: Brain | Script | RealtimeServer,
    postgres_url: str,
    redis_url: str,
    *,
    count: int = 2,
    agent: str = AGENT,
    tools: str = "",
    own_addresses: bool = False,
    fails: bool = False,
    line: Mapping[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Replicas]:
    """Run `count` replicas and their peers. `own_addresses`: each has a REPLICA_URL. `agent`,
    `tools`, `fails`, `line`, `settings`: as for `world`."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "agent.toml").write_text(agent)
        (folder / "tools.py").write_text(tools)
        log = stack.enter_context(Log())
        model = brain if isinstance(brain, RealtimeServer) else RealtimeServer(brain)
        await stack.enter_async_context(model)
        listeners = [bind("127.0.0.1", 0) for _ in range(count)]
        urls = [f"http://127.0.0.1:{each.getsockname()[1]}" for each in listeners]
        usual_line = {
            "account_sid": ACCOUNT_SID,
            "auth_token": AUTH_TOKEN,
            "public_url": PUBLIC_URL,
            "status_callback_url": "/call-status",
        }
        phone_line = await stack.enter_async_context(
            PhoneLine(f"{urls[0]}/incoming-call", **{**usual_line, **(line or {})})
        )
        http = await stack.enter_async_context(aiohttp.ClientSession())
        worlds, serving, own_urls = [], [], {}
        for number, url in enumerate(urls):
            values = {
                "openai_api_key": "the model's key",
                "openai_base_url": model.base_url,
                "twilio_account_sid": ACCOUNT_SID,
                "twilio_auth_token": AUTH_TOKEN,
                "twilio_api_base_url": phone_line.rest_url,
                "public_url": PUBLIC_URL,
                "api_token": API_TOKEN,
                "agent_file": folder / "agent.toml",
                "database_url": postgres_url,
                "redis_url": redis_url,
                "recordings_dir": folder / f"recordings-{number}",
                **settings,
            }
            if own_addresses:
                values["replica_url"] = f"https://replica-{number}.example.com"
                own_urls[f"replica-{number}.example.com"] = number
            chosen = Settings(_env_file=None, **values)  # type: ignore[call-arg] # pydantic-settings'
            server = Server(create_app(chosen), chosen.drain_seconds, Limits())
            serving.append(asyncio.create_task(server.serve(sockets=[listeners[number]])))
            worlds.append(World(url, phone_line, model, server, log, http, chosen))
        for each in worlds:
            await each.status_of("/healthz")
        try:
            yield Replicas(worlds, own_urls)
            for call in phone_line.calls.values():
                call.hang_up()
                await call.wait_ended()
        finally:
            for each in worlds:
                each.server.should_exit = True
            await asyncio.gather(*serving)
            while deadlines.abandoned:
                await asyncio.wait(deadlines.abandoned)
    assert fails or not log.failures(), log.failures()[0]
