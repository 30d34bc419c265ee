"""The outcome of a check, and what checks look at."""

from dataclasses import dataclass
from typing import Literal

from app.config.agent.file import LoadedAgent
from app.config.settings import Settings

State = Literal["ok", "warning", "fault"]
"""fault: calls fail, or a part of the service does. warning: something is missing, or will fail."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    #: What was checked.
    check: str
    state: State
    #: What was found.
    detail: str
    #: How to mend it; empty: nothing is to be done.
    fix: str = ""


def ok(check: str, detail: str) -> Check:
    return Check(check, "ok", detail)


def warning(check: str, detail: str, fix: str) -> Check:
    return Check(check, "warning", detail, fix)


def fault(check: str, detail: str, fix: str) -> Check:
    return Check(check, "fault", detail, fix)


def from_message(check: str, state: State, message: str) -> Check:
    """The check of an error's message: what is wrong; how to mend it."""
    detail, _, fix = message.partition("; ")
    return Check(check, state, detail, fix or "correct it")


@dataclass(frozen=True, slots=True)
class Subject:
    """The service that is checked."""

    settings: Settings
    agent: LoadedAgent
    #: PUBLIC_URL, or the address of a running ngrok; empty: neither.
    public_url: str = ""
    #: The address of an ngrok that leads to PORT; empty: none runs here.
    ngrok_url: str = ""

    @property
    def other_ngrok(self) -> str:
        """That address, if PUBLIC_URL is another one; empty otherwise."""
        return self.ngrok_url if self.ngrok_url != self.public_url else ""

    @property
    def agent_file(self) -> str:
        """The file in which to change the agent: not the built-in one."""
        given = self.settings.agent_file
        return str(given) if given else "an agent file of your own (AGENT_FILE)"
