"""`python -m app doctor` as a whole: its lines, its exit status, and what it never shows."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.cli.doctor import command
from app.cli.doctor.check import Check, Subject
from app.cli.doctor.command import run_checks
from app.cli.root import cli
from app.config.settings import Settings
from app.config.twilio_errors import explained, load_twilio_errors
from app.simulator.realtime import Script
from app.simulator.twilio import OwnedNumber
from tests.cli.doctor.scene import NUMBER, found
from tests.ports import free_port
from tests.service.world import ACCOUNT_SID, API_TOKEN, AUTH_TOKEN, world

NO_NGROK = "http://127.0.0.1:9/api/tunnels"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs: away from any .env, with no settings."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(command, "running_tunnels", _no_tunnels)
    return tmp_path


async def _no_tunnels(_api: str) -> list[object]:
    return []


def run(*arguments: str, env: str = "") -> Result:
    Path(".env").write_text(env, encoding="utf-8")
    result = CliRunner().invoke(cli, ["doctor", *arguments], catch_exceptions=False)
    assert "Traceback" not in result.output
    return result


async def test_a_service_that_is_set_up_has_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(Script(), public_url=None) as w:
        number = OwnedNumber(NUMBER, voice_url=f"{w.url}/incoming-call")
        w.line.account.numbers.append(number)
        values = {
            "OPENAI_API_KEY": "the model's key",
            "OPENAI_BASE_URL": w.model.base_url,
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "TWILIO_API_BASE_URL": w.line.rest_url,
            "TWILIO_PHONE_NUMBER": NUMBER,
            "PUBLIC_URL": w.url,
            "API_TOKEN": API_TOKEN,
            "DATABASE_URL": w.settings.database_url.get_secret_value(),
        }
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        checks = [each async for each in run_checks(NO_NGROK)]

    assert [each for each in checks if each.state == "fault"] == []
    assert found(checks, "webhook").state == found(checks, "media stream").state == "ok"
    assert all(each.fix for each in checks if each.state != "ok")
    shown = str(checks)
    assert AUTH_TOKEN not in shown and "the model's key" not in shown and API_TOKEN not in shown


def test_every_wrong_setting_is_a_line_with_where_to_mend_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORT", "many")
    result = run("--json", env='PUBLIC_URL="bridge.example.com"\nTRANSFER_NUMBER=0301234\n')

    checks = json.loads(result.stdout)
    assert result.exit_code == 1
    assert {each["check"] for each in checks} == {"settings"}
    assert {each["state"] for each in checks} == {"fault"}
    fixes = [each["fix"] for each in checks]
    assert len(fixes) == 3 and "correct PUBLIC_URL in .env" in fixes
    assert "correct PORT in the environment, which takes precedence over .env" in fixes


def test_a_wrong_agent_file_is_named_by_its_line() -> None:
    Path("agent.toml").write_text('name = "Mia"\ninstrucions = "Be brief."\n')
    result = run(env="AGENT_FILE=agent.toml\n")

    assert result.exit_code == 1
    assert "fault   agent file: agent.toml:2: instrucions: unknown key" in result.stdout


def test_a_model_that_is_switched_off_is_named() -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    key = "OPENAI_API_KEY=sk-0123456789\n"
    env = f"{key}OPENAI_BASE_URL={url}\nOPENAI_REALTIME_MODEL=gpt-realtime\n"
    result = run("--json", env=env)

    [check] = [each for each in json.loads(result.stdout) if each["check"] == "model lifetime"]
    assert check["state"] in ("warning", "fault") and "use gpt-realtime-2.1" in check["fix"]


def test_prices_and_secrets_are_read_as_the_start_reads_them() -> None:
    Path("prices.toml").write_text("[nothing\n")
    result = run("--json", env="PRICES_FILE=prices.toml\n")

    assert result.exit_code == 1 and "prices.toml" in result.stdout


def test_the_json_has_no_other_output_in_it() -> None:
    tools = "from app.tools import tool\nprint('hello')\n@tool\ndef menu() -> str:\n"
    Path("tools.py").write_text(f"{tools}    'What there is.'\n    return 'pizza'\n")
    Path("agent.toml").write_text('name = "M"\ninstructions = "B"\ntools = "tools.py"\n')
    result = run("--json", env="AGENT_FILE=agent.toml\n")

    checks = json.loads(result.stdout)
    assert result.exit_code == 0
    assert all(sorted(each) == ["check", "detail", "fix", "state"] for each in checks)


def test_each_check_is_one_line_and_the_last_counts_them() -> None:
    result = run()
    *lines, last = result.stdout.splitlines()

    assert result.exit_code == 0
    assert all(line.split()[0] in ("ok", "warning", "fault") for line in lines)
    assert last.startswith(f"{len(lines)} checks: ")


def test_a_bug_in_one_check_ends_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check_broken(_subject: Subject) -> list[Check]:
        raise KeyError("no such thing")

    monkeypatch.setattr(command, "_CHECKS", (check_broken, *command._CHECKS))
    result = run()

    assert result.exit_code == 1
    assert "fault   broken: the check itself failed: KeyError" in result.stdout
    assert "ok      disk:" in result.stdout


def test_a_secret_that_a_server_repeats_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check_leaky(subject: Subject) -> list[Check]:
        assert subject.settings.openai_api_key is not None
        return [Check("leak", "fault", "no key sk-0123456789secret", "take sk-0123456789secret")]

    monkeypatch.setattr(command, "_CHECKS", (check_leaky,))
    result = run(env="OPENAI_API_KEY=sk-0123456789secret\n")

    assert "secret" not in result.stdout and "no key …" in result.stdout


# --- Twilio's error codes -------------------------------------------------------------------------


def test_codes_that_owners_meet_are_explained() -> None:
    listed = load_twilio_errors()

    for code in (11200, 11205, 12100, 13227, 20003, 21210, 21215, 21219, 31901, 31920, 31921):
        assert listed[code].means and listed[code].fix
    assert explained(99999).fix == "see https://www.twilio.com/docs/api/errors/99999"
