"""Replays a recorded call: its events, given to this version's machine, and the commands compared.

The timeline in a call's record is all that is needed, so a bug report is a file.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.call.agent import Agent
from app.call.timeline import FORMAT, TimelineEntry, ordered, replay
from app.errors import BridgeError
from app.records.record import TimelineRow
from app.wires.realtime.refusals import refusal

_AGENT: TypeAdapter[Agent] = TypeAdapter(Agent)
_ROWS: TypeAdapter[list[TimelineRow]] = TypeAdapter(list[TimelineRow])

Command = tuple[float, str, dict[str, Any]]
"""When (monotonic ms from the call's beginning), which, and its fields."""


class ReplayError(BridgeError):
    """The timeline cannot be replayed by this version, or not without more than it holds."""


@dataclass(frozen=True, slots=True)
class Replay:
    """How the replayed commands compare with the recorded ones."""

    #: The format of the timeline: the lowest of its legs'.
    format: int
    legs: int
    events: int
    commands: int
    #: The first command that differs, counted from 1, with what was recorded and what the replay
    #: gave; None where one of the two has no more. None when all are the same.
    difference: tuple[int, Command | None, Command | None] | None


def events_in(file: Path) -> list[TimelineRow]:
    """The timeline in a kept record (call.json), or in an answer of `GET /calls/{call_sid}`.

    Raises:
        ReplayError: the file cannot be read, or holds no timeline.
    """
    try:
        found = json.loads(file.read_bytes())["events"]
        # The API shows no positions: they are in the order of its list.
        return _ROWS.validate_python([{"position": n, **row} for n, row in enumerate(found)])
    except OSError as error:
        raise ReplayError(f"{file}: cannot be read: {error.strerror}") from None
    except (ValueError, LookupError, TypeError):
        raise ReplayError(
            f"{file}: expected the record of a call, as `calls show SID --keep DIR` writes it"
        ) from None


def replay_call(rows: Sequence[TimelineRow], agent: Agent | None = None) -> Replay:
    """Replay a call.

    Args:
        agent: in place of the recorded ones. A timeline of format 1 holds none and needs it.

    Raises:
        ReplayError: the timeline is of a newer version, of none, or needs an agent.
    """
    opened = [row.data for row in rows if row.name == "LegOpened"]
    if not opened:
        raise ReplayError("no agent had this call: there is nothing to replay")
    formats = [int(data.get("format", 1)) for data in opened]
    if max(formats) > FORMAT:
        raise ReplayError(
            f"recorded in format {max(formats)}, and this version reads formats up to {FORMAT}; "
            "replay it with the version that recorded it, or a newer one"
        )
    entries = [
        TimelineEntry.from_data(row.at_ms, row.kind, row.name, _completed(row)) for row in rows
    ]
    recorded = ordered(entries)
    try:
        replayed = replay(_agent_of(agent), entries)
    except (KeyError, TypeError) as error:
        raise ReplayError(
            f"an event of this timeline is not one of this version's: {error}"
        ) from error
    pairs = enumerate(zip_longest(recorded, replayed), 1)
    return Replay(
        format=min(formats),
        legs=len(opened),
        events=sum(row.kind == "event" for row in rows),
        commands=len(recorded),
        difference=next(((n, a, b) for n, (a, b) in pairs if not _same(a, b)), None),
    )


def _completed(row: TimelineRow) -> Mapping[str, Any]:
    """The fields of a row. Older versions recorded no refusal: they read it from the model's code
    and message whenever they needed it."""
    if row.name != "ModelFaulted" or "refusal" in row.data:
        return row.data
    found, length_ms = refusal(row.data["code"], row.data["message"])
    return {**row.data, "refusal": found, "length_ms": length_ms}


def _agent_of(given: Agent | None) -> Callable[[Mapping[str, Any]], Agent]:
    def agent_of(opened: Mapping[str, Any]) -> Agent:
        if given is not None:
            return given
        if "agent" not in opened:
            raise ReplayError(
                "recorded in format 1, without its agent; name the agent file with --agent"
            )
        try:
            return _AGENT.validate_python(opened["agent"])
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise ReplayError(f"the recorded agent cannot be read: {key}: {first['msg']}") from None

    return agent_of


def _same(recorded: Command | None, replayed: Command | None) -> bool:
    """Whether they are equal once both have been through JSON, as the recorded one has."""
    if recorded is None or replayed is None:
        return recorded is replayed
    return recorded[:2] == replayed[:2] and recorded[2] == json.loads(json.dumps(replayed[2]))
