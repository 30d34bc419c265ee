"""A simulated account for `setup`, and a directory without settings."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.config.settings import Settings
from app.simulator.twilio import OwnedNumber, PhoneLine
from tests.cli.background import listening
from tests.cli.setup.scene import APPLICATION, NUMBER, OLD, SID, TOKEN, TRUNK, URL, running


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs: away from any .env, with no settings and no ngrok."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    running(monkeypatch)
    return tmp_path


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
