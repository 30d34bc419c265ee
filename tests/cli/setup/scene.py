"""`python -m app setup`, run beside a simulated account."""

from dataclasses import replace

import pytest
from typer.testing import CliRunner, Result

from app.cli.root import cli
from app.cli.setup import steps
from app.cli.tunnel import Tunnel
from app.simulator.twilio import OwnedNumber, PhoneLine

SID, TOKEN, NUMBER = "AC" + "1" * 32, "0123456789abcdef0123456789abcdef", "+15550109999"
URL = "https://bridge.example.com"
OLD = "https://old.example.com/voice"
APPLICATION, TRUNK = "AP" + "2" * 32, "TK" + "3" * 32


def running(monkeypatch: pytest.MonkeyPatch, *tunnels: Tunnel) -> None:
    """ngrok runs with these tunnels; none: it does not run."""

    async def found(_api: str) -> list[Tunnel]:
        return list(tunnels)

    monkeypatch.setattr(steps, "running_tunnels", found)


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
