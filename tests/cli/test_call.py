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


class FakeService:
    """Answers `POST /calls`, and each `GET` of the call with the next of `answers`: a record, or an
    error status. The last one repeats."""

    def __init__(self, *answers: dict[str, Any] | int) -> None:
        self.answers = list(answers)
        self.placing: web.Response | None = None
        self.orders: list[dict[str, Any]] = []
        self.polls = 0
        self.app = web.Application()
        self.app.router.add_post("/calls", self._place)
        self.app.router.add_get("/calls/{sid}", self._get)

    async def _place(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return problem(401, "send the header")
        self.orders.append(await request.json())
        return self.placing or web.json_response({"call_sid": "CA1"}, status=201)

    async def _get(self, request: web.Request) -> web.Response:
        assert request.match_info["sid"] == "CA1"
        self.polls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return problem(answer, "not now") if isinstance(answer, int) else web.json_response(answer)


def problem(status: int, detail: str) -> web.Response:
    body = {"type": "about:blank", "title": "x", "status": status, "detail": detail}
    return web.json_response(body, status=status, content_type="application/problem+json")


class Terminal:
    """A screen, and the lines on it."""

    def __init__(self) -> None:
        self._file = io.StringIO()
        self.screen = Screen(Console(file=self._file, width=200, highlight=False))

    @property
    def lines(self) -> list[str]:
        return [" ".join(line.split()) for line in self._file.getvalue().splitlines()]


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


async def watch(
    service: FakeService, terminal: Terminal, *, token: str = TOKEN, **options: Any
) -> bool:
    order = {"to": NUMBER}
    async with TestServer(service.app) as server:
        client = Service(str(server.make_url("/")), token)
        return await place_and_watch(client, order, terminal.screen, poll_every_s=0, **options)


# --- following a call -----------------------------------------------------------------------------


async def test_a_call_is_shown_from_queued_to_completed(terminal: Terminal) -> None:
    talking = record("in-progress", HELLO, answered_by="human")
    service = FakeService(
        404, record("queued"), record("ringing"), record("ringing"), talking, OVER
    )
    assert await watch(service, terminal)
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


async def test_a_turn_that_is_still_heard_is_shown_when_it_is_complete(terminal: Terminal) -> None:
    service = FakeService(
        record("in-progress", turn("assistant", "Hello", 3900.0, cut=True)),
        record("in-progress", turn("assistant", "Hello Ann,", 3900.0, cut=True)),
        record("in-progress", HELLO, turn("user", "", 6100.0, complete=False)),
        record("in-progress", HELLO, turn("user", "", 6100.0, complete=False)),
        record("in-progress", HELLO, THANKS),
        OVER,
    )
    await watch(service, terminal)
    said = [line for line in terminal.lines if line.startswith("0:")]
    assert said[:2] == [
        "0:03.9 agent Hello Ann, your table is ready.",
        "0:06.1 callee Thank you!",
    ]


async def test_a_turn_that_grows_after_a_pause_is_continued(terminal: Terminal) -> None:
    begun = record("in-progress", turn("assistant", "Hello Ann,", 3900.0))
    service = FakeService(begun, begun, OVER)
    await watch(service, terminal)
    assert "0:03.9 agent Hello Ann," in terminal.lines
    assert "0:03.9 agent …your table is ready." in terminal.lines


@pytest.mark.parametrize("status", ["busy", "no-answer", "failed", "canceled"])
async def test_a_call_that_is_not_answered_shows_its_status(
    terminal: Terminal, status: str
) -> None:
    service = FakeService(record("ringing"), record(status))
    assert not await watch(service, terminal)
    assert terminal.lines[-2:] == ["ringing", status]


async def test_turns_written_after_the_end_of_the_call_are_shown(terminal: Terminal) -> None:
    service = FakeService(record("completed", HELLO), OVER)
    await watch(service, terminal)
    assert "0:06.1 callee Thank you!" in terminal.lines
    assert terminal.lines.count("completed after 0:12.2, ended by the agent") == 1


async def test_a_transfer_is_shown(terminal: Terminal) -> None:
    handed = record("completed", transfers=[{"destination": "kitchen", "outcome": "accepted"}])
    await watch(FakeService(handed), terminal)
    assert "transfer destination: kitchen, outcome: accepted" in terminal.lines


async def test_brackets_in_a_transcript_are_not_markup(terminal: Terminal) -> None:
    await watch(FakeService(record("completed", turn("user", "[bold]so[/] [/x]", 0.0))), terminal)
    assert "0:00.0 callee [bold]so[/] [/x]" in terminal.lines


async def test_failed_polls_are_retried(terminal: Terminal) -> None:
    failing = [503] * call_cli.MOST_FAILED_POLLS
    assert await watch(FakeService(*failing, record("ringing"), *failing, OVER), terminal)


async def test_after_too_many_failed_polls_the_command_gives_up(terminal: Terminal) -> None:
    service = FakeService(record("ringing"), 503)
    with pytest.raises(ServiceError, match="not now\nThe call may go on: python -m app calls"):
        await watch(service, terminal)
    assert service.polls == 2 + call_cli.MOST_FAILED_POLLS


async def test_without_wait_only_the_sid_is_shown(terminal: Terminal) -> None:
    service = FakeService(500)
    assert await watch(service, terminal, wait=False)
    assert terminal.lines == [f"CA1 to {NUMBER}"] and service.polls == 0


# --- refused --------------------------------------------------------------------------------------


async def test_a_refusal_is_shown_in_the_services_words(terminal: Terminal) -> None:
    service = FakeService(OVER)
    service.placing = problem(403, "add the beginning of this one to OUTBOUND_PREFIXES")
    with pytest.raises(ServiceError, match="^add the beginning .* OUTBOUND_PREFIXES$") as refused:
        await watch(service, terminal)
    assert refused.value.status == 1 and terminal.lines == []


async def test_a_wrong_token_is_named(terminal: Terminal) -> None:
    service = FakeService(OVER)
    with pytest.raises(ServiceError, match="API_TOKEN") as refused:
        await watch(service, terminal, token="other")
    assert refused.value.status == 2 and not service.orders


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(text="<html>It works!</html>", content_type="text/html"),
        web.json_response(["call_sid"]),
        web.json_response({"sid": "CA1"}),
        web.Response(status=302, headers={"Location": "/login"}),
    ],
)
async def test_another_server_on_the_port_is_recognized(
    terminal: Terminal, answer: web.Response
) -> None:
    service = FakeService(OVER)
    service.placing = answer
    with pytest.raises(ServiceError, match="not this service"):
        await watch(service, terminal)


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
def running(service: FakeService) -> Iterator[int]:
    """The service in a thread of its own; gives its port."""
    ports: list[int] = []
    up, down = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with TestServer(service.app) as server:
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
    service = FakeService(OVER)
    with running(service) as port:
        settings.setenv("PORT", str(port))
        settings.setenv("HOST", "0.0.0.0")
        result = run("+1 (415) 555-0123", "--context", "her table", "--voicemail", "call back")
    assert result.exit_code == 0, result.output
    assert service.orders == [{"to": NUMBER, "context": "her table", "voicemail": "call back"}]
    assert result.stdout.splitlines()[-1] == "completed after 0:12.2, ended by the agent"


def test_with_url_and_token_no_settings_are_read(settings: pytest.MonkeyPatch) -> None:
    settings.setenv("PORT", "wrong")
    service = FakeService(record("busy"))
    with running(service) as port:
        url = f"http://127.0.0.1:{port}/"
        result = run(NUMBER, "--url", url, "--token", TOKEN, "--greeting", "Hello")
    assert result.exit_code == 1
    assert service.orders == [{"to": NUMBER, "greeting": "Hello"}]


def test_ctrl_c_stops_watching_and_not_the_call() -> None:
    class Impatient(FakeService):
        async def _get(self, request: web.Request) -> web.Response:
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, signal.SIGINT)
            return await super()._get(request)

    service = Impatient(record("ringing"))
    # As in a terminal: a shell may start background jobs with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with running(service) as port:
            result = run(NUMBER, "--url", f"http://127.0.0.1:{port}")
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 130
    assert "the call goes on" in result.stdout
    assert f"http://127.0.0.1:{port}/calls/CA1/hangup" in result.stdout
    assert TOKEN not in result.stdout
    assert "Traceback" not in result.output


def test_a_service_that_is_not_running_names_the_command_that_starts_it() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    result = run(NUMBER, "--url", url)
    assert result.exit_code == 2
    assert result.stderr == f"nothing answers at {url}; start it with: python -m app serve\n"


@pytest.mark.parametrize("url", ["127.0.0.1:5050", "ftp://127.0.0.1", "http://"])
def test_an_invalid_url_is_named(url: str) -> None:
    result = run(NUMBER, "--url", url)
    assert result.exit_code == 2
    assert (
        result.stderr == f"{url.rstrip('/')}: expected an address such as http://127.0.0.1:5050\n"
    )


def test_without_a_token_no_request_is_sent(settings: pytest.MonkeyPatch) -> None:
    settings.delenv("API_TOKEN")
    result = run(NUMBER)
    assert result.exit_code == 2
    assert "API_TOKEN" in result.stderr and "--token" in result.stderr


def test_wrong_settings_are_named(settings: pytest.MonkeyPatch) -> None:
    settings.setenv("PORT", "wrong")
    result = run(NUMBER)
    assert result.exit_code == 2 and result.stderr.startswith("PORT: expected")
