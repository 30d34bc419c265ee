"""Third-party clients, on the loopback only, and a summary of their tests."""

import ipaddress
import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest

# Before the packages are imported, to switch off their telemetry.
os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"
os.environ["TAC_ANALYTICS_DISABLED"] = "true"
os.environ["LOGURU_LEVEL"] = "ERROR"

CLIENTS = {
    "test_openai_client.py": "openai",
    "test_openai_types.py": "openai",
    "test_openai_agents.py": "openai-agents",
    "test_livekit.py": "livekit-plugins-openai",
    "test_pipecat.py": "pipecat-ai",
    "test_twilio_agent_connect.py": "twilio-agent-connect",
    "test_twilio_client.py": "twilio",
    "test_dashscope.py": "dashscope",
}

_strayed: list[str] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook that refuses every connection and look-up of another machine."""
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # else a Unix socket
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if isinstance(host, str) and not _is_here(host):
        _strayed.append(host)
        raise ConnectionRefusedError(f"{host} is not on this machine")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def _stays_at_home() -> Iterator[None]:
    _strayed.clear()
    yield
    assert not _strayed, f"a client tried to reach {_strayed}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line for each client: its version, and how its tests went."""
    outcomes: dict[str, list[str]] = {}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, ()):
            module = report.nodeid.partition("::")[0].rpartition("/")[2]
            outcomes.setdefault(module, []).append(outcome)
    terminalreporter.section("third-party clients")
    for module, package in CLIENTS.items():
        found = outcomes.get(module, [])
        counts = ", ".join(f"{found.count(each)} {each}" for each in dict.fromkeys(found))
        subject = module.removeprefix("test_").removesuffix(".py")
        terminalreporter.write_line(
            f"{subject}, {package} {version(package)}: {counts or 'not run'}"
        )
