"""What tests of the doctor look at: settings, an agent, and the lines of the report."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from app.cli.doctor.check import Check, State, Subject
from app.config.agent.file import load_agent
from app.config.settings import Settings
from app.simulator.twilio import OwnedNumber

SID, TOKEN, NUMBER = "AC" + "1" * 32, "the auth token of the account", "+15550109999"
PUBLIC_URL = "https://bridge.example.com"


def subject(folder: Path, agent: str = "", public_url: str = PUBLIC_URL, **values: Any) -> Subject:
    """A service with these settings. `agent`: lines of its agent file."""
    path = folder / "agent.toml"
    path.write_text(f'name = "Mia"\ninstructions = "Be brief."\n{agent}')
    usual = {
        "database_url": f"sqlite:///{folder / 'calls.db'}",
        "recordings_dir": folder / "recordings",
        "agent_file": path,
    }
    settings = Settings(_env_file=None, **{**usual, **values})  # type: ignore[call-arg]
    loaded = load_agent(path, settings.transfer_number, model=settings.endpoint.model_name)
    return Subject(settings, loaded, public_url)


def configured_number(**changes: Any) -> OwnedNumber:
    """A number whose calls come to the service at `PUBLIC_URL`."""
    usual = {
        "voice_url": f"{PUBLIC_URL}/incoming-call",
        "status_callback": f"{PUBLIC_URL}/call-status",
    }
    return OwnedNumber(NUMBER, **{**usual, **changes})


def found(checks: Iterable[Check], name: str) -> Check:
    """The only line about a check."""
    listed = [each for each in checks if each.check == name]
    assert len(listed) == 1, f"{name}: {checks}"
    return listed[0]


def states(checks: Iterable[Check]) -> dict[str, State]:
    """The states by check."""
    return {each.check: each.state for each in checks}
