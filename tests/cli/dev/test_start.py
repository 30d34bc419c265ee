"""What `serve --dev` does before it answers calls."""

from collections.abc import AsyncIterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from app.cli.dev import start
from app.cli.dev.start import console_link, has_browser, start_dev
from app.cli.root import cli
from app.cli.setup import steps
from app.cli.tunnel import OwnTunnel, Tunnel
from app.config.settings import Settings
from app.errors import ConfigError
from app.simulator.twilio import OwnedNumber, PhoneLine
from tests.ports import free_port
from tests.service.process import serve

SID, TOKEN, NUMBER = "AC" + "1" * 32, "the auth token of the account", "+15550109999"
URL = "https://bridge.ngrok.app"


@pytest.fixture
async def line() -> AsyncIterator[PhoneLine]:
    async with PhoneLine("http://127.0.0.1:9/", account_sid=SID, auth_token=TOKEN) as line:
        line.account.numbers = [OwnedNumber(NUMBER)]
        yield line


@pytest.fixture(autouse=True)
def ngrok(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Tunnel]:
    """The tunnels that run."""
    monkeypatch.chdir(tmp_path)
    tunnels = [Tunnel(URL, 5050)]

    async def found(_api: str) -> list[Tunnel]:
        return tunnels

    monkeypatch.setattr(steps, "running_tunnels", found)
    return tunnels


def settings(line: PhoneLine | None, **values: Any) -> Settings:
    if line is not None:
        account = {"twilio_account_sid": SID, "twilio_auth_token": TOKEN}
        values = {**account, "twilio_api_base_url": line.rest_url, **values}
    return Settings(_env_file=None, **values)  # type: ignore[call-arg]


async def started(chosen: Settings, *, agrees: bool = True) -> tuple[start.DevStart, str]:
    printed = StringIO()
    terminal = Console(file=printed, width=200)
    found = await start_dev(chosen, terminal, lambda _question: agrees)
    return found, printed.getvalue()


async def test_the_tunnel_is_found_and_the_number_points_to_it(line: PhoneLine) -> None:
    found, _ = await started(settings(line))

    assert found.settings.public_url == URL and found.tunnel is None
    assert found.settings.twilio_phone_number == NUMBER
    assert line.account.numbers[0].voice_url == f"{URL}/incoming-call"


async def test_an_ngrok_that_runs_now_replaces_its_former_address(line: PhoneLine) -> None:
    found, _ = await started(settings(line, public_url="https://old.ngrok-free.app"))

    assert found.settings.public_url == URL


async def test_a_number_is_left_if_the_owner_does_not_agree(line: PhoneLine) -> None:
    found, _ = await started(settings(line), agrees=False)

    assert line.account.numbers[0].voice_url == "" and found.settings.public_url == URL


async def test_a_tunnel_is_started_if_none_runs(
    line: PhoneLine, ngrok: list[Tunnel], monkeypatch: pytest.MonkeyPatch
) -> None:
    ngrok.clear()
    own = OwnTunnel(URL, lambda: None)

    async def starts(_port: int) -> OwnTunnel:
        return own

    monkeypatch.setattr(steps, "start_tunnel", starts)
    found, _ = await started(settings(line))
    assert found.tunnel is own and line.account.numbers[0].voice_url.startswith(URL)

    async def fails(_port: int) -> OwnTunnel:
        raise ConfigError("pyngrok is not installed")

    monkeypatch.setattr(steps, "start_tunnel", fails)
    found, printed = await started(settings(line))
    assert found.tunnel is None and "Warning: pyngrok is not installed" in printed


async def test_an_account_that_refuses_stops_no_service(line: PhoneLine) -> None:
    found, printed = await started(settings(line, twilio_auth_token="another token"))

    assert found.settings.public_url == URL
    assert "Warning: the number is not configured: Twilio refused" in printed


async def test_without_an_account_nothing_is_configured() -> None:
    found, printed = await started(settings(None))

    assert found.tunnel is None and "No Twilio account" in printed


@pytest.mark.parametrize(
    ("host", "link"),
    [
        ("127.0.0.1", "http://127.0.0.1:5050/#token=t0ken"),
        ("0.0.0.0", "http://127.0.0.1:5050/#token=t0ken"),
        ("::", "http://[::1]:5050/#token=t0ken"),
        ("::1", "http://[::1]:5050/#token=t0ken"),
    ],
)
def test_the_console_is_linked_where_it_can_be_opened(host: str, link: str) -> None:
    assert console_link(settings(None, host=host, api_token="t0ken")) == link


def test_no_browser_is_opened_without_a_terminal() -> None:
    assert not has_browser()


def test_yes_is_for_dev_alone() -> None:
    done = CliRunner().invoke(cli, ["serve", "--yes"])

    assert (done.exit_code, done.stderr) == (2, "--yes is for --dev; leave it out\n")


async def test_a_changed_file_is_named_by_the_running_service(tmp_path: Path) -> None:
    """`serve --dev` as a process, without an account."""
    agent = tmp_path / "agent.toml"
    agent.write_text('name = "Mia"\ninstructions = "Be brief."\n')
    async with serve(
        tmp_path, "--dev", PORT=str(free_port()), AGENT_FILE="agent.toml", OPENAI_API_KEY="k" * 9
    ) as process:
        console = await process.says("Console: ")
        assert "#token" not in console  # stderr is no terminal
        agent.write_text('name = "Mia"\n')
        await process.says("calls go on with the agent of before")
        await process.says("agent.toml:1: instructions: missing")
        agent.write_text('name = "Mia"\ninstructions = "Be verbose."\n')
        await process.says("agent.toml is read anew: the next call has it.")
