"""`python -m app call`, against a stand-in for the running service."""

import asyncio
import io
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from aiohttp import web
from aiohttp.test_utils import TestServer
from rich.console import Console
from typer.testing import CliRunner, Result

from app.cli import call as call_cli
from app.cli.call import Service, ServiceError, place_and_watch
from app.cli.call_screen import Screen
from tests.ports import free_port

TOKEN, NUMBER = "t0ken", "+14155550123"


def turn(role: str, text: str, at_ms: float, **more: Any) -> dict[str, Any]:
    return {"role": role, "text": text, "at_ms": at_ms, "complete": True, "extra": {}} | more


def record(status: str, *transcript: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "call_sid": "CA1", "status": status, "answered_by": None, "duration_s": None,
        "ended_by": None, "transfers": [], "transcript": list(transcript),
    } | more  # fmt: skip


HELLO = turn("assistant", "Hello Ann, your table is ready.", 3900.0)
THANKS = turn("user", "Thank you!", 6100.0)
NOTED = turn("tool", "noted", 7000.0, extra={"name": "confirm"})
OVER = record(
    "completed", HELLO, THANKS, NOTED, answered_by="human", duration_s=12.25, ended_by="agent"
)


class Phone:
    """Answers `POST /calls`, and then each look at the call with the next of `looks`, the last one
    again and again: a record, or a status that it fails with."""

    def __init__(self, *looks: dict[str, Any] | int) -> None:
        self.looks = list(looks)
        self.placing: web.Response | None = None
        self.orders: list[dict[str, Any]] = []
        self.looked = 0
        self.app = web.Application()
        self.app.router.add_post("/calls", self._place)
        self.app.router.add_get("/calls/{sid}", self._look)

    async def _place(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return problem(401, "send the header")
        self.orders.append(await request.json())
        return self.placing or web.json_response({"call_sid": "CA1"}, status=201)

    async def _look(self, request: web.Request) -> web.Response:
        assert request.match_info["sid"] == "CA1"
        self.looked += 1
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return problem(look, "not now") if isinstance(look, int) else web.json_response(look)


def problem(status: int, detail: str) -> web.Response:
    body = {"type": "about:blank", "title": "x", "status": status, "detail": detail}
    return web.json_response(body, status=status, content_type="application/problem+json")


class Terminal:
    """A screen and what stands on it."""

    def __init__(self) -> None:
        self._file = io.StringIO()
        self.screen = Screen(Console(file=self._file, width=200, highlight=False))

    @property
    def lines(self) -> list[str]:
        return [" ".join(line.split()) for line in self._file.getvalue().splitlines()]


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


async def watch(phone: Phone, terminal: Terminal, *, token: str = TOKEN, **options: Any) -> bool:
    order = {"to": NUMBER}
    async with TestServer(phone.app) as server:
        service = Service(str(server.make_url("/")), token)
        return await place_and_watch(service, order, terminal.screen, look_every_s=0, **options)


# --- watched --------------------------------------------------------------------------------------


async def test_a_call_is_shown_from_the_first_ring_to_the_last_word(terminal: Terminal) -> None:
    talking = record("in-progress", HELLO, answered_by="human")
    phone = Phone(404, record("queued"), record("ringing"), record("ringing"), talking, OVER)
    assert await watch(phone, terminal)
    assert terminal.lines == [
        f"CA1 to {NUMBER}",
        "queued",
        "ringing",
        "in-progress",
        "answered by human",
        "0:03.9 agent Hello Ann, your table is ready.",
        "0:06.1 callee Thank you!",
        "0:07.0 tool confirm → noted",
        "completed after 0:12.2, ended by the agent",
    ]


async def test_what_is_still_being_said_waits_until_it_is_said(terminal: Terminal) -> None:
    phone = Phone(
        record("in-progress", turn("assistant", "Hello", 3900.0, cut=True)),
        record("in-progress", turn("assistant", "Hello Ann,", 3900.0, cut=True)),
        record("in-progress", HELLO, turn("user", "", 6100.0, complete=False)),
        record("in-progress", HELLO, turn("user", "", 6100.0, complete=False)),
        record("in-progress", HELLO, THANKS),
        OVER,
    )
    await watch(phone, terminal)
    said = [line for line in terminal.lines if line.startswith("0:")]
    assert said[:2] == [
        "0:03.9 agent Hello Ann, your table is ready.",
        "0:06.1 callee Thank you!",
    ]


async def test_words_after_a_long_breath_are_shown_too(terminal: Terminal) -> None:
    begun = record("in-progress", turn("assistant", "Hello Ann,", 3900.0))
    phone = Phone(begun, begun, OVER)
    await watch(phone, terminal)
    assert "0:03.9 agent Hello Ann," in terminal.lines
    assert "0:03.9 agent …your table is ready." in terminal.lines


@pytest.mark.parametrize("status", ["busy", "no-answer", "failed", "canceled"])
async def test_a_call_that_nobody_takes_says_so(terminal: Terminal, status: str) -> None:
    phone = Phone(record("ringing"), record(status))
    assert not await watch(phone, terminal)
    assert terminal.lines[-2:] == ["ringing", status]


async def test_the_last_words_come_after_the_end(terminal: Terminal) -> None:
    phone = Phone(record("completed", HELLO), OVER)
    await watch(phone, terminal)
    assert "0:06.1 callee Thank you!" in terminal.lines
    assert terminal.lines.count("completed after 0:12.2, ended by the agent") == 1


async def test_a_transfer_is_shown(terminal: Terminal) -> None:
    handed = record("completed", transfers=[{"destination": "kitchen", "outcome": "accepted"}])
    await watch(Phone(handed), terminal)
    assert "transfer destination: kitchen, outcome: accepted" in terminal.lines


async def test_words_are_no_markup(terminal: Terminal) -> None:
    await watch(Phone(record("completed", turn("user", "[bold]so[/] [/x]", 0.0))), terminal)
    assert "0:00.0 callee [bold]so[/] [/x]" in terminal.lines


async def test_a_service_that_fails_for_a_while_is_waited_for(terminal: Terminal) -> None:
    failing = [503] * call_cli.MOST_FAILED_LOOKS
    assert await watch(Phone(*failing, record("ringing"), *failing, OVER), terminal)


async def test_a_service_that_can_no_longer_tell_is_given_up(terminal: Terminal) -> None:
    phone = Phone(record("ringing"), 503)
    with pytest.raises(ServiceError, match="not now\nThe call may go on: python -m app calls"):
        await watch(phone, terminal)
    assert phone.looked == 2 + call_cli.MOST_FAILED_LOOKS


async def test_who_does_not_wait_gets_the_sid(terminal: Terminal) -> None:
    phone = Phone(500)
    assert await watch(phone, terminal, wait=False)
    assert terminal.lines == [f"CA1 to {NUMBER}"] and phone.looked == 0


# --- refused --------------------------------------------------------------------------------------


async def test_a_refusal_is_told_in_the_service_s_words(terminal: Terminal) -> None:
    phone = Phone(OVER)
    phone.placing = problem(403, "add the beginning of this one to OUTBOUND_PREFIXES")
    with pytest.raises(ServiceError, match="^add the beginning .* OUTBOUND_PREFIXES$") as refused:
        await watch(phone, terminal)
    assert refused.value.status == 1 and terminal.lines == []


async def test_a_wrong_token_is_named(terminal: Terminal) -> None:
    phone = Phone(OVER)
    with pytest.raises(ServiceError, match="API_TOKEN") as refused:
        await watch(phone, terminal, token="other")
    assert refused.value.status == 2 and not phone.orders


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(text="<html>It works!</html>", content_type="text/html"),
        web.json_response(["call_sid"]),
        web.json_response({"sid": "CA1"}),
        web.Response(status=302, headers={"Location": "/login"}),
    ],
)
async def test_another_server_on_the_port_is_told_from_the_service(
    terminal: Terminal, answer: web.Response
) -> None:
    phone = Phone(OVER)
    phone.placing = answer
    with pytest.raises(ServiceError, match="not this service"):
        await watch(phone, terminal)


# --- the command ----------------------------------------------------------------------------------

app = typer.Typer()
app.command()(call_cli.call)


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.chdir(tmp_path)  # away from any .env
    monkeypatch.setenv("API_TOKEN", TOKEN)
    return monkeypatch


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@contextmanager
def running(phone: Phone) -> Iterator[int]:
    """The service in a thread of its own; gives its port."""
    ports: list[int] = []
    up, down = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with TestServer(phone.app) as server:
            assert server.port is not None
            ports.append(server.port)
            up.set()
            await down.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    up.wait()
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(down.set)
        thread.join()
        loop.close()


def test_the_command_finds_the_service_by_its_settings(settings: pytest.MonkeyPatch) -> None:
    phone = Phone(OVER)
    with running(phone) as port:
        settings.setenv("PORT", str(port))
        settings.setenv("HOST", "0.0.0.0")
        result = run("+1 (415) 555-0123", "--context", "her table", "--voicemail", "call back")
    assert result.exit_code == 0, result.output
    assert phone.orders == [{"to": NUMBER, "context": "her table", "voicemail": "call back"}]
    assert result.stdout.splitlines()[-1] == "completed after 0:12.2, ended by the agent"


def test_the_command_needs_no_settings_when_it_is_told_all(settings: pytest.MonkeyPatch) -> None:
    settings.setenv("PORT", "wrong")
    phone = Phone(record("busy"))
    with running(phone) as port:
        url = f"http://127.0.0.1:{port}/"
        result = run(NUMBER, "--url", url, "--token", TOKEN, "--greeting", "Hello")
    assert result.exit_code == 1
    assert phone.orders == [{"to": NUMBER, "greeting": "Hello"}]


def test_ctrl_c_stops_watching_and_not_the_call() -> None:
    class Impatient(Phone):
        async def _look(self, request: web.Request) -> web.Response:
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, signal.SIGINT)
            return await super()._look(request)

    phone = Impatient(record("ringing"))
    # As in a terminal: what runs in the background of a shell may have been told to ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with running(phone) as port:
            result = run(NUMBER, "--url", f"http://127.0.0.1:{port}")
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 130
    assert "the call goes on" in result.stdout
    assert f"http://127.0.0.1:{port}/calls/CA1/hangup" in result.stdout
    assert TOKEN not in result.stdout
    assert "Traceback" not in result.output


def test_nobody_there_names_the_command_that_starts_it() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    result = run(NUMBER, "--url", url)
    assert result.exit_code == 2
    assert result.stderr == f"nothing answers at {url}; start it with: python -m app serve\n"


@pytest.mark.parametrize("url", ["127.0.0.1:5050", "ftp://127.0.0.1", "http://"])
def test_an_address_that_is_none_is_named(url: str) -> None:
    result = run(NUMBER, "--url", url)
    assert result.exit_code == 2
    assert (
        result.stderr == f"{url.rstrip('/')}: expected an address such as http://127.0.0.1:5050\n"
    )


def test_without_a_token_nothing_is_asked(settings: pytest.MonkeyPatch) -> None:
    settings.delenv("API_TOKEN")
    result = run(NUMBER)
    assert result.exit_code == 2
    assert "API_TOKEN" in result.stderr and "--token" in result.stderr


def test_wrong_settings_are_named(settings: pytest.MonkeyPatch) -> None:
    settings.setenv("PORT", "wrong")
    result = run(NUMBER)
    assert result.exit_code == 2 and result.stderr.startswith("PORT: expected")
