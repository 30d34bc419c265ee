"""`python -m app setup`: the address, ngrok, and the credentials that are missing."""

import json
import os
import signal
import stat
from pathlib import Path
from typing import Any

import pytest

from app.cli import tunnel
from app.cli.setup import steps
from app.cli.tunnel import OwnTunnel, Tunnel
from app.errors import ConfigError
from app.simulator.twilio import Fault, PhoneLine
from tests.cli.setup.scene import (
    NUMBER,
    SID,
    TOKEN,
    URL,
    is_ours,
    number_of,
    run,
    running,
)

# --- the address ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("settings")
def test_a_running_ngrok_is_found_and_written_down(
    line: PhoneLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PUBLIC_URL")
    running(monkeypatch, Tunnel("https://no.ngrok.app", 8000), Tunnel(URL, 5050))

    assert run("--yes").exit_code == 0

    assert is_ours(number_of(line))
    assert Path(".env").read_text() == f"PUBLIC_URL={URL}\n"
    assert stat.S_IMODE(os.stat(".env").st_mode) == 0o600


@pytest.mark.usefixtures("settings")
def test_an_ngrok_that_leads_elsewhere_is_named(
    line: PhoneLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PUBLIC_URL")
    running(monkeypatch, Tunnel("https://no.ngrok.app", 8000))
    result = run("--yes")

    assert result.exit_code == 2
    assert "port 8000" in result.stderr and "ngrok http 5050" in result.stderr


@pytest.mark.usefixtures("settings")
def test_a_stale_address_of_ngrok_is_replaced_if_the_owner_agrees(
    line: PhoneLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PUBLIC_URL")
    Path(".env").write_text("# mine\nPUBLIC_URL=https://old.ngrok-free.app\nPORT=5050\n")
    running(monkeypatch, Tunnel(URL, 5050))

    result = run("--yes")
    assert "Warning: ngrok runs at" in result.stdout
    assert number_of(line).voice_url == "https://old.ngrok-free.app/incoming-call"

    assert run(answers="y\ny\n").exit_code == 0
    assert is_ours(number_of(line))
    assert Path(".env").read_text() == f"# mine\nPUBLIC_URL={URL}\nPORT=5050\n"


@pytest.mark.usefixtures("settings")
def test_an_address_without_tls_is_refused(
    line: PhoneLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBLIC_URL", "http://bridge.example.com")
    monkeypatch.setenv("TWILIO_API_BASE_URL", "https://api.twilio.com")
    result = run("--yes")

    assert result.exit_code == 2 and "https" in result.stderr


@pytest.mark.usefixtures("settings")
def test_a_tunnel_that_is_started_stays_until_ctrl_c(
    line: PhoneLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = []

    async def start(port: int) -> OwnTunnel:
        assert port == 5050
        return OwnTunnel(URL, lambda: stopped.append(port))

    def interrupted(_terminal: object, text: str) -> None:
        if "until Ctrl-C" in text:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.delenv("PUBLIC_URL")
    monkeypatch.setattr(steps, "start_tunnel", start)
    monkeypatch.setattr("app.cli.setup.command.tell", interrupted)

    assert run("--yes").exit_code == 0
    assert is_ours(number_of(line)) and stopped == [5050]
    assert not Path(".env").exists()  # the address ends with the command


# --- credentials ----------------------------------------------------------------------------------


def test_missing_credentials_are_asked_for_and_written_for_the_owner_alone(
    line: PhoneLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".env").write_text("# my settings\nOPENAI_API_KEY=\nLOG_LEVEL=debug\n")
    monkeypatch.setenv("PUBLIC_URL", URL)
    result = run(answers=f'{SID}\n"{TOKEN}"\n\ny\ny\n')

    assert result.exit_code == 0 and is_ours(number_of(line))
    assert f"TWILIO_AUTH_TOKEN=…{TOKEN[-4:]}" in result.stdout
    lines = Path(".env").read_text().splitlines()
    assert lines[:3] == ["# my settings", "OPENAI_API_KEY=", "LOG_LEVEL=debug"]
    assert {*lines[3:]} == {
        f"TWILIO_ACCOUNT_SID={SID}",
        f"TWILIO_AUTH_TOKEN={TOKEN}",
        f"TWILIO_PHONE_NUMBER={NUMBER}",
    }
    assert stat.S_IMODE(os.stat(".env").st_mode) == 0o600


def test_nothing_is_written_unless_the_owner_agrees(line: PhoneLine) -> None:
    result = run(answers=f"{SID}\n{TOKEN}\nsk-0123456789\nn\n")

    assert result.exit_code == 1 and not Path(".env").exists()
    assert "OPENAI_API_KEY=…6789" in result.stdout


def test_a_value_with_a_space_is_asked_for_again(line: PhoneLine) -> None:
    result = run(answers=f"my account\n{SID}\n{TOKEN}\n\nn\n")

    assert "copy it again" in result.stderr and f"TWILIO_ACCOUNT_SID={SID}" in result.stdout


@pytest.mark.parametrize("arguments", [[], ["--yes"]])
def test_without_answers_the_missing_variables_are_named(arguments: list[str]) -> None:
    result = run(*arguments)

    assert result.exit_code == 2 and "TWILIO_ACCOUNT_SID" in result.stderr
    assert not Path(".env").exists()


@pytest.mark.usefixtures("settings")
def test_refusals_of_twilio_have_another_exit_status(
    line: PhoneLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.rest_faults.append(Fault(400, path="IncomingPhoneNumbers/"))
    assert run("--yes").exit_code == 1

    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "another token")
    result = run("--yes")
    assert result.exit_code == 1 and "TWILIO_AUTH_TOKEN" in result.stderr


@pytest.mark.usefixtures("settings")
def test_a_change_that_twilio_does_not_make_is_noticed(
    line: PhoneLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.simulator.twilio.account._ATTRIBUTES", {})
    result = run("--yes")

    assert result.exit_code == 1 and "did not change voice_url" in result.stderr


# --- ngrok ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"tunnels": []}, []),
        ({}, []),
        ([], []),
        ({"tunnels": [1, {"public_url": 2}, {"public_url": "tcp://0.tcp.ngrok.io:1"}]}, []),
        (
            {
                "tunnels": [
                    {"public_url": "https://a.ngrok.app", "config": {"addr": "http://h:5050"}},
                    {"public_url": "https://b.ngrok.app", "config": {"addr": "localhost:8000"}},
                    {"public_url": "https://c.ngrok.app", "config": {"addr": "80"}},
                    {"public_url": "https://d.ngrok.app"},
                ]
            },
            [
                Tunnel("https://a.ngrok.app", 5050),
                Tunnel("https://b.ngrok.app", 8000),
                Tunnel("https://c.ngrok.app", 80),
                Tunnel("https://d.ngrok.app", 0),
            ],
        ),
    ],
)
async def test_the_tunnels_of_an_ngrok_are_read(body: Any, found: list[Tunnel]) -> None:
    from tests.wires.twilio.twilio_stand_in import says_json, twilio_that

    async with twilio_that(says_json(body)) as fake:
        assert await tunnel.running_tunnels(fake.url) == found
    assert await tunnel.running_tunnels(fake.url) == []


async def test_ngrok_is_started_and_its_refusal_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pyngrok import ngrok
    from pyngrok.exception import PyngrokNgrokError

    class Started:
        public_url = "http://x.ngrok.app"

    monkeypatch.setattr(ngrok, "connect", lambda port, proto: Started())
    assert (await tunnel.start_tunnel(5050)).url == "https://x.ngrok.app"

    def refuses(port: str, proto: str) -> None:
        raise PyngrokNgrokError("failed", ngrok_error="authentication failed\r\nERR_NGROK_4018")

    monkeypatch.setattr(ngrok, "connect", refuses)
    with pytest.raises(ConfigError, match="ngrok config add-authtoken"):
        await tunnel.start_tunnel(5050)


def test_what_is_kept_holds_no_secret(line: PhoneLine, settings: None, folder: Path) -> None:
    run("--yes")

    kept = (folder / ".phone-agent-setup.json").read_text()
    assert TOKEN not in kept and json.loads(kept)
