"""Values of settings that are right, probably wrong (a warning), or wrong (a fault)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pytest

from app.call.destinations import Destination
from app.config.settings import Settings, load_settings
from app.config.settings_warnings import settings_warnings
from app.errors import ConfigError

Verdict = Literal["ok", "warning", "fault"]

HEX = "0123456789abcdef" * 2
AC, SK = f"AC{HEX}", f"SK{HEX}"
RANDOM = "9f2c7e51b8d04a6693e1"
OURS = "+14155550100"
TWILIO = {"TWILIO_ACCOUNT_SID": AC, "TWILIO_AUTH_TOKEN": HEX}
API_KEY = {**TWILIO, "TWILIO_API_KEY": SK, "TWILIO_API_SECRET": RANDOM}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def verdict_of(
    monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]
) -> tuple[Verdict, list[str]]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    try:
        settings = load_settings()
    except ConfigError as error:
        return "fault", [*error.problems]
    warnings = settings_warnings(settings)
    return ("warning" if warnings else "ok"), warnings


VALUES: list[tuple[str, str, Verdict]] = [
    # quotes
    ("OPENAI_API_KEY", "sk-proj-abc", "ok"),
    ("OPENAI_API_KEY", '"sk-proj-abc"', "fault"),
    ("OPENAI_API_KEY", "'sk-proj-abc'", "fault"),
    ("OPENAI_API_KEY", "“sk-proj-abc”", "fault"),
    ("OPENAI_API_KEY", ' "sk-proj-abc" ', "fault"),
    ("OPENAI_API_KEY", '""', "fault"),
    ("OPENAI_API_KEY", '"sk-proj-abc', "warning"),
    ("OPENAI_API_KEY", 'sk-"proj"-abc', "ok"),
    ("OPENAI_REALTIME_MODEL", '"gpt-realtime"', "fault"),
    ("OPENAI_BASE_URL", '"https://api.openai.com/v1"', "fault"),
    ("OPENAI_API_HEADERS", '"api-key: abc"', "fault"),
    ("OPENAI_API_HEADERS", 'api-key: "abc"', "fault"),
    ("OPENAI_API_HEADERS", 'X-Tags: "phone"', "ok"),
    ("OPENAI_API_QUERY", '"api-version=preview"', "fault"),
    ("OPENAI_API_QUERY", 'api-version="preview"', "fault"),
    ("HTTP_VOICE_TOKEN", '"abc"', "fault"),
    ("DASHSCOPE_API_KEY", "'abc'", "fault"),
    ("API_TOKEN", f'"{RANDOM}"', "fault"),
    ("PORT", '"5050"', "fault"),
    ("HOST", '"0.0.0.0"', "fault"),
    ("PUBLIC_URL", '"https://phone.example.com"', "fault"),
    ("TRANSFER_NUMBER", '"+14155550101"', "fault"),
    ("OUTBOUND_PREFIXES", '"+1,+44"', "fault"),
    ("TRUSTED_PROXIES", "'*'", "fault"),
    ("DATABASE_URL", '"sqlite:///calls.db"', "fault"),
    ("REDIS_URL", '"redis://localhost:6379/0"', "fault"),
    ("AGENT_FILE", '"agent.toml"', "fault"),
    ("LOG_LEVEL", '"debug"', "fault"),
    # comments
    ("OPENAI_API_KEY", "sk-proj-abc # the team's", "fault"),
    ("OPENAI_API_KEY", "sk-proj-abc\t# the team's", "fault"),
    ("OPENAI_API_KEY", "# the team's", "fault"),
    ("OPENAI_API_KEY", "sk-proj#abc", "ok"),
    ("OPENAI_API_HEADERS", "api-key: abc # the team's", "fault"),
    ("OPENAI_API_HEADERS", "api-key: ab#c", "ok"),
    ("OPENAI_API_QUERY", "api-version=preview # Azure", "fault"),
    ("OPENAI_REALTIME_MODEL", "gpt-realtime # the best", "fault"),
    ("HTTP_VOICE_HEADERS", "X-Key: abc # the gateway's", "fault"),
    ("PUBLIC_URL", "https://phone.example.com # ngrok", "fault"),
    ("CALL_WEBHOOK_URL", "https://example.com/calls # CRM", "fault"),
    ("CALL_WEBHOOK_SECRET", f"{RANDOM} # CRM", "fault"),
    ("DATABASE_URL", "sqlite:///calls.db # SQLite", "fault"),
    ("REDIS_URL", "redis://localhost # cache", "fault"),
    ("PORT", "5050 # default", "fault"),
    ("MAX_CALLS", "5 # lines", "fault"),
    ("TWILIO_PHONE_NUMBER", "+14155550100 # office", "fault"),
    ("API_TOKEN", f"{RANDOM} # console", "fault"),
    ("RECORDINGS_DIR", "recordings # all", "warning"),
    ("RECORDINGS_DIR", "recordings#2", "ok"),
    ("SPOOL_DIR", "spool # all", "warning"),
    # credentials that cannot be sent
    ("OPENAI_API_HEADERS", "Authorization: Bearer", "fault"),
    ("OPENAI_API_HEADERS", "Authorization: Bearer abc", "ok"),
    ("OPENAI_API_HEADERS", "api-key:", "fault"),
    # placeholders, and what is something else
    ("OPENAI_API_KEY", "sk-...", "warning"),
    ("OPENAI_API_KEY", "<key>", "warning"),
    ("OPENAI_API_KEY", "your-api-key", "warning"),
    ("OPENAI_API_KEY", "sk-xxxxxxxxxxxx", "warning"),
    ("OPENAI_API_KEY", SK, "warning"),
    ("OPENAI_API_KEY", "Bearer sk-proj-abc", "warning"),
    ("OPENAI_API_KEY", "local", "warning"),
    ("OPENAI_API_KEY", "sk-proj-", "ok"),
    ("DASHSCOPE_API_KEY", "sk-1", "warning"),
    ("VOLCENGINE_APP_ID", "1", "warning"),
    ("VOLCENGINE_APP_ID", "1234567890", "ok"),
    ("VOLCENGINE_ACCESS_TOKEN", "x", "warning"),
    ("VOLCENGINE_API_KEY", "x", "warning"),
    ("HTTP_VOICE_TOKEN", "x", "warning"),
    ("OPENAI_API_HEADERS", "api-key: KEY", "warning"),
    # secrets of the owner's own making
    ("API_TOKEN", "x", "warning"),
    ("API_TOKEN", "secret", "warning"),
    ("API_TOKEN", "a" * 40, "warning"),
    ("API_TOKEN", "passwordpassword", "warning"),
    ("API_TOKEN", "12345678901234567890", "warning"),
    ("API_TOKEN", "your-token-goes-here", "warning"),
    ("API_TOKEN", "two words of " + RANDOM, "warning"),
    ("API_TOKEN", RANDOM, "ok"),
    ("STREAM_AUDIO_TOKEN", "abc", "warning"),
    ("CALL_WEBHOOK_SECRET", "abc", "warning"),
    ("CALL_WEBHOOK_SECRET", "correct horse battery staple", "ok"),
    # addresses
    ("PUBLIC_URL", "https://phone.example.com/incoming-call", "warning"),
    ("PUBLIC_URL", "https://phone.example.com/call-status/", "warning"),
    ("PUBLIC_URL", "https://phone.example.com/bridge/media-stream", "warning"),
    ("PUBLIC_URL", "https://phone.example.com/bridge", "ok"),
    ("PUBLIC_URL", "http://phone.example.com", "warning"),
    ("REPLICA_URL", "http://replica-1.example.com", "warning"),
    ("REPLICA_URL", "https://replica-1.example.com/media-stream", "warning"),
    ("REPLICA_URL", "https://replica-1.example.com", "ok"),
    ("PUBLIC_URL", "http://127.0.0.1:5050", "ok"),
    ("PUBLIC_URL", "http://[::1]:5050", "ok"),
    ("PUBLIC_URL", "http://localhost:5050", "ok"),
    ("PUBLIC_URL", "https://phone.example.com/?a=b", "fault"),
    ("PUBLIC_URL", "https://https://phone.example.com", "fault"),
    ("PUBLIC_URL", "https://phone.example.com/healthz", "warning"),
    ("PUBLIC_URL", "https://phone.example.com:5050", "warning"),
    ("PUBLIC_URL", "https://phone.example.com:8443", "ok"),
    ("REPLICA_URL", "http://http://replica-1.example.com", "fault"),
    ("REPLICA_URL", "https://replica-1.example.com:5050", "warning"),
    ("OPENAI_BASE_URL", "https://api.openai.com/v1/realtime", "warning"),
    ("OPENAI_BASE_URL", "wss://api.openai.com/v1/realtime", "warning"),
    ("OPENAI_BASE_URL", "https://api.openai.com", "warning"),
    ("OPENAI_BASE_URL", "http://models.example.com/v1", "warning"),
    ("OPENAI_BASE_URL", "https://eu.api.openai.com/", "warning"),
    ("OPENAI_BASE_URL", "https://eu.api.openai.com/v1/", "ok"),
    ("OPENAI_BASE_URL", "https://api.openai.com/v1/v1", "warning"),
    ("OPENAI_BASE_URL", "https://openai.com/v1", "warning"),
    ("OPENAI_BASE_URL", "https://platform.openai.com", "warning"),
    ("OPENAI_BASE_URL", "https://https://api.openai.com/v1", "fault"),
    ("OPENAI_BASE_URL", "api.openai.com/v1", "fault"),
    ("OPENAI_BASE_URL", "http://127.0.0.1:9000/v1/v1", "warning"),
    ("OPENAI_BASE_URL", "ws://127.0.0.1:9000/v1", "ok"),
    ("OPENAI_BASE_URL", "https://x.openai.azure.com/openai/v1", "ok"),
    ("OPENAI_BASE_URL", "https://x.openai.azure.com", "warning"),
    ("OPENAI_BASE_URL", "https://x.cognitiveservices.azure.com/openai", "warning"),
    ("OPENAI_BASE_URL", "https://x.services.ai.azure.com/openai/v1/realtime", "warning"),
    ("TWILIO_API_BASE_URL", "http://twilio.example.com", "warning"),
    ("TWILIO_API_BASE_URL", "http://127.0.0.1:9000", "ok"),
    ("TWILIO_API_BASE_URL", "https://api.twilio.com/", "ok"),
    ("TWILIO_API_BASE_URL", "https://api.dublin.ie1.twilio.com", "ok"),
    ("TWILIO_API_BASE_URL", "https://api.twilio.com/2010-04-01", "warning"),
    ("TWILIO_API_BASE_URL", "http://127.0.0.1:9000/2010-04-01/", "warning"),
    ("TWILIO_API_BASE_URL", "https://console.twilio.com", "warning"),
    ("TWILIO_API_BASE_URL", "api.twilio.com", "fault"),
    ("CALL_WEBHOOK_URL", "http://crm.example.com/calls", "warning"),
    ("CALL_WEBHOOK_URL", "http://127.0.0.1:9000/calls", "ok"),
    ("CALL_WEBHOOK_URL", "https://https://crm.example.com", "fault"),
    ("CALL_WEBHOOK_URL", "crm.example.com/calls", "fault"),
    ("REDIS_URL", "http://localhost", "fault"),
    ("DATABASE_URL", "mysql://u:p@h/d", "fault"),
]


@pytest.mark.parametrize(("variable", "value", "verdict"), VALUES)
def test_a_value_is_right_probably_wrong_or_wrong_and_the_line_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, verdict: Verdict
) -> None:
    found, lines = verdict_of(monkeypatch, {variable: value})
    assert found == verdict, lines
    assert len(lines) == (found != "ok")
    assert all(line.startswith(f"{variable}: ") and "\n" not in line for line in lines)


TWILIO_VALUES: list[tuple[dict[str, str], Verdict, list[str]]] = [
    (TWILIO, "ok", []),
    (API_KEY, "ok", []),
    ({**TWILIO, "TWILIO_ACCOUNT_SID": AC.upper()}, "ok", []),
    ({**TWILIO, "TWILIO_ACCOUNT_SID": "AC..."}, "warning", ["TWILIO_ACCOUNT_SID"]),
    ({**TWILIO, "TWILIO_ACCOUNT_SID": AC[:-1]}, "warning", ["TWILIO_ACCOUNT_SID"]),
    ({**TWILIO, "TWILIO_ACCOUNT_SID": SK}, "warning", ["TWILIO_ACCOUNT_SID"]),
    ({**TWILIO, "TWILIO_ACCOUNT_SID": f'"{AC}"'}, "fault", ["TWILIO_ACCOUNT_SID"]),
    ({**TWILIO, "TWILIO_ACCOUNT_SID": f"{AC} # main"}, "fault", ["TWILIO_ACCOUNT_SID"]),
    ({**TWILIO, "TWILIO_AUTH_TOKEN": f"'{HEX}'"}, "fault", ["TWILIO_AUTH_TOKEN"]),
    ({**TWILIO, "TWILIO_AUTH_TOKEN": AC}, "warning", ["TWILIO_AUTH_TOKEN"]),
    ({**TWILIO, "TWILIO_AUTH_TOKEN": "your_auth_token"}, "warning", ["TWILIO_AUTH_TOKEN"]),
    (
        {"TWILIO_ACCOUNT_SID": HEX, "TWILIO_AUTH_TOKEN": AC},
        "warning",
        ["TWILIO_ACCOUNT_SID"],  # one line for both
    ),
    ({**TWILIO, "TWILIO_AUTH_TOKEN": "x"}, "warning", ["TWILIO_AUTH_TOKEN"]),
    ({**TWILIO, "TWILIO_ACCOUNT_SID": "x"}, "warning", ["TWILIO_ACCOUNT_SID"]),
    ({**API_KEY, "TWILIO_API_KEY": "x"}, "warning", ["TWILIO_API_KEY"]),
    ({**API_KEY, "TWILIO_API_SECRET": "x"}, "warning", ["TWILIO_API_SECRET"]),
    ({"OPENAI_API_KEY": "x"}, "warning", ["OPENAI_API_KEY"]),
    (
        {"OPENAI_API_KEY": "x", "OPENAI_BASE_URL": "https://eu.api.openai.com/v1"},
        "warning",
        ["OPENAI_API_KEY"],
    ),
    ({"OPENAI_API_KEY": "x", "OPENAI_BASE_URL": "http://127.0.0.1:9000/v1"}, "ok", []),
    ({**API_KEY, "TWILIO_API_KEY": "key"}, "warning", ["TWILIO_API_KEY"]),
    ({**API_KEY, "TWILIO_API_KEY": AC}, "warning", ["TWILIO_API_KEY"]),
    (
        {**API_KEY, "TWILIO_API_KEY": RANDOM, "TWILIO_API_SECRET": SK},
        "warning",
        ["TWILIO_API_KEY"],
    ),
    ({**API_KEY, "TWILIO_API_SECRET": SK}, "warning", ["TWILIO_API_SECRET"]),
    ({**TWILIO, "API_TOKEN": HEX}, "warning", ["API_TOKEN"]),
    ({"TWILIO_PHONE_NUMBER": OURS, "TRANSFER_NUMBER": OURS}, "warning", ["TRANSFER_NUMBER"]),
    ({"TWILIO_PHONE_NUMBER": OURS, "TRANSFER_NUMBER": "+14155550101"}, "ok", []),
    ({"PORT": '"1"', "MAX_CALLS": "2 # two"}, "fault", ["PORT", "MAX_CALLS"]),
    # A partner that is a fault itself is not missing.
    ({"TWILIO_ACCOUNT_SID": '"', "TWILIO_AUTH_TOKEN": f'"{HEX}"'}, "fault", ["TWILIO_AUTH_TOKEN"]),
]


@pytest.mark.parametrize(("variables", "verdict", "named"), TWILIO_VALUES)
def test_values_that_belong_together_are_compared(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], verdict: Verdict, named: list[str]
) -> None:
    found, lines = verdict_of(monkeypatch, variables)
    assert (found, sorted(line.partition(":")[0] for line in lines)) == (verdict, sorted(named))


@pytest.mark.parametrize("name", Settings.model_fields)
def test_no_variable_keeps_its_quotes(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    variable = name.upper()
    found, lines = verdict_of(monkeypatch, {variable: "'hush-hush'"})
    assert found == "fault"
    (line,) = [line for line in lines if line.startswith(f"{variable}: expected ")]
    assert "without quotes" in line and "hush" not in line


def test_no_line_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ('"hush-hush"', "hush-hush # hush", "hush-hush...", "hush hush", '"hush'):
        for name in ("OPENAI_API_KEY", "TWILIO_AUTH_TOKEN", "TWILIO_ACCOUNT_SID", "API_TOKEN"):
            monkeypatch.setenv(name, value)
        found, lines = verdict_of(monkeypatch, {})
        assert found != "ok" and "hush" not in str(lines)


def test_quotes_and_comments_of_an_env_file_are_no_part_of_the_value() -> None:
    Path(".env").write_text('OPENAI_API_KEY="sk-proj-abc" # the team\'s\nPORT=6001 # free\n')
    settings = load_settings()
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() == "sk-proj-abc"
    assert settings.port == 6001
    assert settings_warnings(settings) == []


def test_a_destination_of_the_agent_file_with_the_own_number_is_a_warning() -> None:
    settings = Settings(twilio_phone_number=OURS)
    desk, loop = Destination("desk", "+14155550101"), Destination("orders", OURS)
    (line,) = settings_warnings(settings, [desk, loop], "agent.toml")
    assert line.startswith("agent.toml: ")
    assert "'orders'" in line and "TWILIO_PHONE_NUMBER" in line and OURS not in line
