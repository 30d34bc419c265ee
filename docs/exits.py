"""The exits of a call: the tables of app/call/exits/transitions.py, as a Mermaid state diagram."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from app.call.exits.transitions import (
    DEADLINES,
    EXIT,
    KEYS,
    REDIRECT,
    Action,
    Table,
    Trigger,
)

#: By title: the table of each region.
REGIONS: Mapping[str, Table[Any]] = {
    "EXIT: how the call leaves the agent": EXIT,
    "REDIRECT: the call gets other TwiML": REDIRECT,
    "KEYS: what send_digits presses": KEYS,
}


def picture() -> str:
    """The diagram. It leaves out the transitions that lead back to their own state."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "stateDiagram-v2"
    for title, table in REGIONS.items():
        name = title.partition(":")[0]
        yield f'    state "{title}" as {name} {{'
        for state in table:
            yield f'        state "{state}" as {_node(name, state)}'
        yield f"        [*] --> {_node(name, next(iter(table)))}"
        for state in table:
            for then, labels in _arrows(table, state).items():
                after = _node(name, then) if then else "[*]"
                yield f"        {_node(name, state)} --> {after}: {', '.join(labels)}"
        yield "    }"


def _arrows(table: Table[Any], state: StrEnum) -> dict[StrEnum | None, list[str]]:
    """By the state that follows: everything that leads there. None: the leg ends."""
    arrows: dict[StrEnum | None, list[str]] = {}
    for trigger, transition in table[state].items():
        ends = Action.END_LEG in transition.actions
        if ends or transition.next is not state:
            arrows.setdefault(None if ends else transition.next, []).append(_label(trigger))
    return arrows


def _label(trigger: Trigger) -> str:
    """The trigger, and after which time it comes by itself."""
    for deadline in DEADLINES.values():
        if deadline.trigger is trigger:
            return f"{trigger} ({deadline.after_ms / 1000:g} s)"
    return str(trigger)


def _node(name: str, state: StrEnum) -> str:
    return f"{name}_{state.name}"
