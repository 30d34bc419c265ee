"""Models that their maker switches off on a known day, by the list in shutdowns.toml."""

import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from app.wires.form import Form

_LIST = Path(__file__).with_name("shutdowns.toml")


class Shutdown(Form):
    """A model that is switched off."""

    #: The first day without it.
    day: date
    #: A model to use in its place.
    instead: str


class Shutdowns(Form):
    """The list, by the models' names."""

    #: Models that calls speak with.
    realtime: dict[str, Shutdown]
    #: Models that transcribe the caller.
    transcription: dict[str, Shutdown]


def load_shutdowns() -> Shutdowns:
    """The list that belongs to this version."""
    return Shutdowns.model_validate(tomllib.loads(_LIST.read_text(encoding="utf-8")))


def shutdown_warnings(
    model: str, transcription: str, agent_file: str, today: date
) -> Iterator[str]:
    """One line for each model in use that is switched off, with the day and what to use instead.

    Args:
        model: OPENAI_REALTIME_MODEL.
        transcription: the agent's; empty: none.
        agent_file: its path, for messages.
    """
    listed = load_shutdowns()
    if shutdown := listed.realtime.get(model):
        yield f"OPENAI_REALTIME_MODEL: {_line(model, shutdown, today)}"
    if shutdown := listed.transcription.get(transcription):
        yield f"{agent_file}: transcription.model: {_line(transcription, shutdown, today)}"


def _line(model: str, shutdown: Shutdown, today: date) -> str:
    what = "is switched off" if today < shutdown.day else "was switched off"
    return f"OpenAI's {model} {what} on {shutdown.day.isoformat()}; use {shutdown.instead}"
