"""The timeline of a call: every event and command with its time, and how to replay it.

A run of audio or of transcript is one entry with its pieces, each with its own time, so that an
answer of a hundred deltas stays readable and yet replays exactly. Audio itself is not in here, only
its size.

Each leg begins with its `LegOpened`, which carries the timeline's format and the leg's agent: what
a replay needs beside the events. A timeline of format 1 has neither.
"""

from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from operator import attrgetter
from typing import Any, Literal, get_args

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent
from app.call.machine import CallMachine
from app.call.usage import Usage
from app.call.words.word_times import Pace

FORMAT = 2
"""Raise it when events or commands are renamed or lose a field, and let `_event` read the older."""
MOST_ENTRIES = 20_000  # kept in memory between two takes; past it the oldest go

Kind = Literal["event", "command"]

_EVENTS = {cls.__name__: cls for cls in get_args(ev.Event)}
_FIELDS = {
    cls: tuple(f.name for f in fields(cls)) for cls in (*get_args(ev.Event), *get_args(do.Command))
}
# Events that do not end a run.
_IN_RUNS = frozenset(
    (
        ev.AudioReceived,
        ev.TranscriptReceived,
        ev.TextReceived,
        ev.VoiceReceived,
        ev.VoicePaused,
        ev.VoiceQuieted,
        ev.VoiceTimed,
        ev.MarkEchoed,
    )
)
# What is recorded as runs, and the field that differs from piece to piece.
_PIECE = {
    "AudioReceived": "size_bytes",
    "TranscriptReceived": "text",
    "TextReceived": "text",
    "VoiceReceived": "size_bytes",
    "PlayAudio": "size_bytes",
    "MarkEchoed": "name",
    "SendMark": "name",
}
# The same by class, to be read quickly: the piece's field, and what else tells runs apart.
_VALUE_OF = {cls: attrgetter(_PIECE[cls.__name__]) for cls in _FIELDS if cls.__name__ in _PIECE}
_SOURCE_OF = {
    cls: attrgetter(name)
    for cls in _VALUE_OF
    for name in ("item_id", "utterance_id")
    if name in _FIELDS[cls]
}
_NESTED = frozenset(
    (
        ev.AudioReceived,
        ev.ResponseDone,
        ev.LegOpened,
        ev.VoiceTimed,
        do.ConfigureSession,
        do.ConfigureSuccessor,
        do.TransferCall,
    )
)


@dataclass(slots=True)
class TimelineEntry:
    """One event or command, or a run of them."""

    #: Its place among the events and commands of the call, from 1 on.
    order: int
    #: Monotonic ms, as passed to `Timeline.event` and `Timeline.command`.
    at_ms: float
    kind: Kind
    #: Class name of the event or command.
    name: str
    #: Its fields, without `payload`; of a run, the fields that all its pieces share.
    data: dict[str, Any]
    #: The pieces of a run: (order, at_ms, value); empty for a single event or command.
    pieces: list[tuple[int, float, Any]] = field(default_factory=list)

    def as_data(self) -> dict[str, Any]:
        """What is stored beside time, kind and name, as JSON data. See `from_data`."""
        data = {"order": self.order, **self.data}
        return {**data, "pieces": self.pieces} if self.pieces else data

    @classmethod
    def from_data(
        cls, at_ms: float, kind: Kind, name: str, data: Mapping[str, Any]
    ) -> "TimelineEntry":
        """The entry from what `as_data` stored."""
        rest = dict(data)
        order, pieces = rest.pop("order"), rest.pop("pieces", ())
        return cls(order, at_ms, kind, name, rest, [(o, at, value) for o, at, value in pieces])


@dataclass(slots=True)
class _Noted:
    """An event or command, or a run of them, as it waits for `Timeline.take`: it takes half of
    the memory of its `TimelineEntry`."""

    order: int
    at_ms: float
    kind: Kind
    #: Without audio. Of a run the first one.
    message: ev.Event | do.Command
    #: What is stored beside its fields.
    extra: dict[str, Any] | None = None

    def entry(self) -> TimelineEntry:
        name, data = type(self.message).__name__, _fields(self.message)
        return TimelineEntry(self.order, self.at_ms, self.kind, name, data | (self.extra or {}))


@dataclass(slots=True)
class _Run(_Noted):
    #: The order and the time of each piece, one after the other.
    places: "array[float]" = field(default_factory=lambda: array("d"))
    values: list[Any] = field(default_factory=list)

    def entry(self) -> TimelineEntry:
        name, data = type(self.message).__name__, _fields(self.message)
        data.pop("payload", None)
        del data[_PIECE[name]]
        orders, times = map(int, self.places[::2]), self.places[1::2]
        pieces = list(zip(orders, times, self.values, strict=True))
        return TimelineEntry(self.order, self.at_ms, self.kind, name, data, pieces)


class Timeline:
    """Takes every event and command, in order.

    Args:
        after: the order of the call's last entry so far, 0 if it has none.
        agent: of the first leg; set `agent` before the next leg opens.
    """

    def __init__(self, after: int = 0, agent: Agent | None = None) -> None:
        #: The agent that is stored with the next `LegOpened`.
        self.agent = agent
        self._order = after
        self._noted: list[_Noted] = []
        self._runs: dict[tuple[type, str], _Run] = {}
        #: Entries dropped past `MOST_ENTRIES`.
        self.dropped = 0

    def event(self, event: ev.Event, now_ms: float) -> None:
        if type(event) not in _IN_RUNS:
            self._runs.clear()
        self._add("event", event, now_ms)

    def command(self, command: do.Command, now_ms: float) -> None:
        self._add("command", command, now_ms)

    def take(self) -> list[TimelineEntry]:
        """The entries since the last call; they leave memory. A run is not continued past it."""
        entries = [noted.entry() for noted in self._noted]
        self._noted.clear()
        self._runs.clear()
        return entries

    def _add(self, kind: Kind, message: ev.Event | do.Command, now_ms: float) -> None:
        self._order += 1
        cls = type(message)
        value_of = _VALUE_OF.get(cls)
        if value_of is not None:
            source_of = _SOURCE_OF.get(cls)
            source = source_of(message) if source_of is not None else ""
            if cls is ev.AudioReceived and message.quiet:  # type: ignore[union-attr]
                source += " quiet"
            run = self._runs.get((cls, source))
            if run is None:
                first = message
                if "payload" in _FIELDS[cls]:
                    first = replace(message, payload="")  # type: ignore[arg-type]
                run = self._runs[cls, source] = _Run(self._order, now_ms, kind, first)
                self._append(run)
            run.places.extend((self._order, now_ms))
            run.values.append(value_of(message))
        else:
            extra = None
            if cls is ev.LegOpened and self.agent is not None:
                extra = {"format": FORMAT, "agent": asdict(self.agent)}
            self._append(_Noted(self._order, now_ms, kind, message, extra))

    def _append(self, noted: _Noted) -> None:
        if len(self._noted) >= MOST_ENTRIES:
            del self._noted[0]
            self.dropped += 1
        self._noted.append(noted)


def _fields(message: ev.Event | do.Command) -> dict[str, Any]:
    """The fields of an event or command, as JSON data. `asdict` would copy every nested value, at
    ten times the cost; few values are nested."""
    cls = type(message)
    data = {name: getattr(message, name) for name in _FIELDS[cls]}
    if cls not in _NESTED:
        return data
    if isinstance(message, ev.AudioReceived) and not message.quiet:
        del data["quiet"]  # as nearly all audio is
    if isinstance(message, ev.ResponseDone):
        data["usage"] = asdict(message.usage)
        data["calls"] = [asdict(call) for call in message.calls]
        if not message.calls:
            del data["calls"]  # empty for nearly every response
        data["messages"] = list(message.messages)
    elif isinstance(message, ev.LegOpened):
        data["paces"] = [asdict(pace) for pace in message.paces]
        data["entry"] = asdict(message.entry) if message.entry is not None else None
        data["left_out"] = list(message.left_out)
    elif isinstance(message, ev.VoiceTimed):
        data["words"] = [list(word) for word in message.words]
    elif isinstance(message, do.ConfigureSession | do.ConfigureSuccessor):
        data["without"] = list(message.without)  # JSON has no tuples, and `replay` compares
        if not message.without:
            del data["without"]  # older timelines have none
    elif isinstance(message, do.TransferCall):
        data["route"] = list(message.route)
    return data


def _expand(
    entries: Iterable[TimelineEntry], kind: Kind
) -> list[tuple[int, float, str, dict[str, Any]]]:
    """Single events or commands in their order: (order, at_ms, name, fields)."""
    single = []
    for entry in entries:
        if entry.kind != kind:
            continue
        if not entry.pieces:
            single.append((entry.order, entry.at_ms, entry.name, entry.data))
        for order, at_ms, value in entry.pieces:
            single.append((order, at_ms, entry.name, {**entry.data, _PIECE[entry.name]: value}))
    return sorted(single, key=lambda message: message[0])


def _event(name: str, data: dict[str, Any]) -> ev.Event:
    if name in ("AudioReceived", "VoiceReceived"):
        data = {**data, "payload": ""}
    elif name == "ResponseDone":
        calls = tuple(ev.OutputItemDone(**call) for call in data.get("calls", ()))
        messages = tuple(data.get("messages", ()))
        data = {**data, "usage": Usage(**data["usage"]), "calls": calls, "messages": messages}
    elif name == "LegOpened":
        history = tuple((role, text) for role, text in data["history"])
        # Paces of other fields are in another unit: such a voice counts as unknown.
        paces = tuple(
            Pace(tuple(pace["rates"])) if pace.keys() == {"rates"} else Pace()
            for pace in data.get("paces", ())
        )
        entry = ev.OpenEntry(**data["entry"]) if data.get("entry") else None
        data = {**data, "history": history, "paces": paces, "entry": entry}
        data["left_out"] = tuple(data.get("left_out", ()))
        data = {key: value for key, value in data.items() if key not in ("format", "agent")}
    elif name == "VoiceTimed":
        data = {**data, "words": tuple((text, at, end) for text, at, end in data["words"])}
    event: ev.Event = _EVENTS[name](**data)
    return event


Ordered = list[tuple[float, str, dict[str, Any]]]


def ordered(entries: Iterable[TimelineEntry]) -> Ordered:
    """The commands that a timeline recorded: (at_ms, name, fields), without audio payloads."""
    return [(at_ms, name, data) for _, at_ms, name, data in _expand(entries, "command")]


AgentOf = Callable[[Mapping[str, Any]], Agent]
"""The agent of a leg, by what was stored of its `LegOpened`."""


def replay(agent_of: AgentOf, entries: Iterable[TimelineEntry]) -> Ordered:
    """Give the recorded events to fresh machines, one for each leg.

    Returns:
        The commands that they answer with; compare them with `ordered` of the same entries.

    Raises:
        KeyError, TypeError: an event is not one of this version's, or its fields are not.
    """
    machine: CallMachine | None = None
    again = Timeline()
    for _, at_ms, name, data in _expand(entries, "event"):
        if name == "LegOpened" and (machine is None or machine.over or "format" in data):
            machine = CallMachine(agent_of(data))  # the leg before ended, or its process did
        if machine is not None:  # else it happened to a call that no agent has had yet
            for command in machine.handle(_event(name, data), at_ms):
                again.command(command, at_ms)
    return ordered(again.take())
