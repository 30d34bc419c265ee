"""`python -m app setup`, with a simulated account in Twilio's place."""

import json
import os
import signal
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from app.cli import tunnel
from app.cli.root import cli
from app.cli.setup import steps
from app.cli.tunnel import OwnTunnel, Tunnel
from app.config.settings import Settings
from app.errors import ConfigError
from app.simulator.twilio import Fault, OwnedNumber, PhoneLine
from tests.cli.background import listening

SID, TOKEN, NUMBER = "AC" + "1" * 32, "0123456789abcdef0123456789abcdef", "+15550109999"
URL = "https://bridge.example.com"
OLD = "https://old.example.com/voice"
APPLICATION, TRUNK = "AP" + "2" * 32, "TK" + "3" * 32


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs: away from any .env, with no settings and no ngrok."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    running(monkeypatch)
    return tmp_path


def running(monkeypatch: pytest.MonkeyPatch, *tunnels: Tunnel) -> None:
    """ngrok runs with these tunnels; none: it does not run."""

    async def found(_api: str) -> list[Tunnel]:
        return list(tunnels)

    monkeypatch.setattr(steps, "running_tunnels", found)


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[PhoneLine]:
    with listening(PhoneLine("http://127.0.0.1:9/", account_sid=SID, auth_token=TOKEN)) as line:
        line.account.applications[APPLICATION] = "Old voice menu"
        line.account.trunks[TRUNK] = "Office PBX"
        line.account.numbers = [OwnedNumber(NUMBER, voice_url=OLD, voice_method="GET")]
        monkeypatch.setenv("TWILIO_API_BASE_URL", line.rest_url)
        yield line


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "TWILIO_ACCOUNT_SID": SID,
        "TWILIO_AUTH_TOKEN": TOKEN,
        "TWILIO_PHONE_NUMBER": NUMBER,
        "PUBLIC_URL": URL,
    }.items():
        monkeypatch.setenv(name, value)


def run(*arguments: str, answers: str = "") -> Result:
    result = CliRunner().invoke(cli, ["setup", *arguments], input=answers)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    printed = result.stdout.partition("To be written")[2] or result.stdout
    assert TOKEN not in printed  # before that the runner repeats the answers
    return result


def number_of(line: PhoneLine) -> OwnedNumber:
    return replace(line.account.numbers[0])


def is_ours(number: OwnedNumber) -> bool:
    return (number.voice_url, number.voice_method) == (f"{URL}/incoming-call", "POST") and (
        number.status_callback,
        number.status_callback_method,
    ) == (f"{URL}/call-status", "POST")


# --- the number's states --------------------------------------------------------------------------


@pytest.mark.usefixtures("settings")
def test_the_number_is_shown_before_and_after_and_set(line: PhoneLine) -> None:
    result = run("--yes")

    assert result.exit_code == 0 and is_ours(number_of(line))
    assert f"{OLD}  HTTP GET" in result.stdout
    assert f"{URL}/incoming-call  HTTP POST" in result.stdout


@pytest.mark.usefixtures("settings")
def test_the_owner_is_asked_first(line: PhoneLine) -> None:
    before = number_of(line)
    result = run(answers="n\n")
    assert result.exit_code == 1 and number_of(line) == before
    assert "Nothing was changed." in result.stdout
    assert run().exit_code == 1 and number_of(line) == before  # no terminal

    assert run(answers="y\n").exit_code == 0
    assert is_ours(number_of(line))


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(
    ("field", "sid", "name"),
    [("application_sid", APPLICATION, "Old voice menu"), ("trunk_sid", TRUNK, "Office PBX")],
)
def test_an_application_or_a_trunk_is_named_and_comes_back(
    line: PhoneLine, field: str, sid: str, name: str
) -> None:
    setattr(line.account.numbers[0], field, sid)
    before = number_of(line)

    result = run("--yes")

    assert f"{name} ({sid})" in result.stdout and "no longer go" in result.stdout
    assert is_ours(number_of(line)) and getattr(number_of(line), field) == ""
    assert run("--undo", "--yes").exit_code == 0
    assert number_of(line) == before


@pytest.mark.usefixtures("settings")
def test_a_number_for_faxes_is_set_to_voice(line: PhoneLine) -> None:
    line.account.numbers[0].receive_mode = "fax"

    assert run("--yes").exit_code == 0
    assert number_of(line).receive_mode == "voice"


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(
    ("numbers", "caller_ids", "words"),
    [
        ([], [], "does not belong to the account; it has none: buy one"),
        (["+15550108888"], [], "does not belong to the account; it has +15550108888"),
        (["+15550108888"], [NUMBER], "is a verified caller id"),
    ],
)
def test_a_number_that_is_not_owned_is_named_with_those_that_are(
    line: PhoneLine, numbers: list[str], caller_ids: list[str], words: str
) -> None:
    line.account.numbers = [OwnedNumber(each) for each in numbers]
    line.account.caller_ids = caller_ids
    result = run("--yes")

    assert result.exit_code == 2
    assert f"TWILIO_PHONE_NUMBER: {NUMBER} {words}" in result.stderr


@pytest.mark.usefixtures("settings")
def test_a_number_without_voice_is_refused(line: PhoneLine) -> None:
    line.account.numbers[0].takes_voice = False

    assert "cannot take voice calls" in run("--yes").stderr


@pytest.mark.usefixtures("settings")
def test_of_two_numbers_one_is_chosen(line: PhoneLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TWILIO_PHONE_NUMBER")
    line.account.numbers.append(OwnedNumber("+15550108888"))

    result = run("--yes")
    assert result.exit_code == 2 and "setup +15550109999" in result.stderr

    assert run("+1 (555) 010-8888", "--yes").exit_code == 0
    assert not is_ours(number_of(line)) and is_ours(line.account.numbers[1])
    assert "TWILIO_PHONE_NUMBER=+15550108888" in Path(".env").read_text()

    Path(".env").unlink()
    assert run(answers="7\n1\ny\n").exit_code == 0
    assert is_ours(number_of(line))


@pytest.mark.usefixtures("settings")
def test_a_wrong_argument_is_named(line: PhoneLine) -> None:
    result = run("0301234", "--yes")

    assert result.exit_code == 2 and "E.164" in result.stderr


@pytest.mark.usefixtures("settings")
def test_a_number_that_is_set_up_already_is_left(line: PhoneLine) -> None:
    run("--yes")
    asked = len(line.rest_requests)

    result = run("--yes")

    assert result.exit_code == 0 and "Nothing to change." in result.stdout
    assert {each.method for each in line.rest_requests[asked:]} == {"GET"}


# --- --undo ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("settings")
def test_undo_puts_back_what_was_there_before_the_first_setup(
    line: PhoneLine, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    before = number_of(line)
    run("--yes")
    monkeypatch.setenv("PUBLIC_URL", "https://another.example.com")
    run("--yes")
    kept = folder / ".phone-agent-setup.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600

    assert run("--undo", answers="y\n").exit_code == 0

    assert number_of(line) == before and not kept.exists()
    result = run("--undo", "--yes")
    assert result.exit_code == 2 and "changed nothing" in result.stderr


@pytest.mark.usefixtures("settings")
def test_undo_keeps_what_was_configured_by_other_means_in_between(
    line: PhoneLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("--yes")
    line.account.numbers[0].voice_url = "https://third.example.com/voice"
    between = number_of(line)
    monkeypatch.setenv("PUBLIC_URL", "https://another.example.com")
    run("--yes")

    run("--undo", "--yes")

    assert number_of(line) == between


@pytest.mark.usefixtures("settings")
def test_undo_needs_no_address_and_says_if_others_changed_the_number(
    line: PhoneLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = number_of(line)
    run("--yes")
    line.account.numbers[0].voice_url = "https://third.example.com/voice"
    monkeypatch.delenv("PUBLIC_URL")
    monkeypatch.delenv("TWILIO_PHONE_NUMBER")

    result = run("--undo", "--yes")

    assert "changed since setup" in result.stdout and number_of(line) == before


@pytest.mark.usefixtures("settings")
def test_a_damaged_memory_is_named(line: PhoneLine, folder: Path) -> None:
    (folder / ".phone-agent-setup.json").write_text("[1]")
    result = run("--undo", "--yes")

    assert result.exit_code == 2 and ".phone-agent-setup.json" in result.stderr


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
