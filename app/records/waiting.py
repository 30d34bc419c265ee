"""What waits to be written: rows of calls and turns, and timeline entries, within bounds."""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

Row = dict[str, Any]


class Kind(Enum):
    """What is done with a row; in the order in which a transaction does it."""

    #: A call is created or changed by its owner.
    CALL = "call"
    #: What Twilio reported of a call: its status, who answered. It needs no epoch.
    REPORTED = "reported"
    #: A turn is deleted: its row has the primary key alone.
    REMOVED_TURN = "removed turn"
    TURN = "turn"
    #: A batch of timeline entries.
    TIMELINE = "timeline"


_KEYS = {"call_sid", "created_at"}  # what every row of a call has
_TURN_KEY = ("call_sid", "position")
OF_CALLS = (Kind.CALL, Kind.REPORTED)

Item = tuple[Kind, Row]

Entry = tuple[str, int, str]
"""A timeline entry: its call, its position, its JSON."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """What a row in the spool says of its call."""

    #: The revision that the call's row had before; 0: unknown.
    revision: int
    #: The call's row was in the database then: where it is missing, it was deleted.
    stored: bool


@dataclass(frozen=True, slots=True)
class Work:
    """Rows to write in one transaction."""

    #: Rows of `OF_CALLS`.
    calls: list[Item]
    #: Other rows. Every call of theirs has a row of `CALL`.
    parts: list[Item]
    #: The epoch with which the rows of each call are written; missing: 0.
    epochs: Mapping[str, int] = field(default_factory=dict)
    #: For what was in the spool, by call; empty: it was not.
    spooled: Mapping[str, Spooled] = field(default_factory=dict)
    #: The entries as they waited.
    entries: Sequence[Entry] = ()
    #: The process whose rows they are; empty: the one that writes them.
    writer: str = ""
    #: Tells what this process wrote, or spooled, first and last.
    number: int = 0

    def __len__(self) -> int:
        return len(self.calls) + len(self.parts)

    def of(self, call_sid: str) -> "Work":
        """The rows of one call, as if they had waited in memory."""
        calls = [item for item in self.calls if item[1]["call_sid"] == call_sid]
        parts = [item for item in self.parts if item[1]["call_sid"] == call_sid]
        return Work(calls, parts)

    def pieces(self) -> list["Work"]:
        """Two smaller pieces; none if there is but one row, and that of its call."""
        if self.parts and any(row.keys() != _KEYS for _, row in self.calls):
            return [self._piece(self.calls, []), self._piece([], self.parts)]
        if len(self.parts) > 1:
            middle = len(self.parts) // 2
            return [self._piece([], part) for part in (self.parts[:middle], self.parts[middle:])]
        if self.parts or len(self.calls) < 2:
            return []
        middle = len(self.calls) // 2
        return [self._piece(part, []) for part in (self.calls[:middle], self.calls[middle:])]

    def split(self, most: int) -> Iterator["Work"]:
        """Pieces of at most `most` rows, not counting those that only name a call."""
        if 0 < len(self) <= most:
            yield self
            return
        for start in range(0, len(self.calls), most):
            yield self._piece(self.calls[start : start + most], [])
        for start in range(0, len(self.parts), most):
            yield self._piece([], self.parts[start : start + most])

    def _piece(self, calls: list[Item], parts: list[Item]) -> "Work":
        created = {row["call_sid"]: row["created_at"] for _, row in self.calls}
        needed = dict.fromkeys(row["call_sid"] for _, row in parts)
        bare = ({"call_sid": sid, "created_at": created[sid]} for sid in needed)
        calls = [*calls, *((Kind.CALL, row) for row in bare)]
        return Work(calls, parts, self.epochs, self.spooled, writer=self.writer, number=self.number)


class Waiting:
    """The newest state of each call and turn, and the timeline. Counted in rows and entries."""

    def __init__(self) -> None:
        self.calls: dict[str, Row] = {}
        self.reported: dict[str, Row] = {}
        self.turns: dict[tuple[str, int], Row] = {}  # one to delete has its primary key alone
        self.timeline: deque[Entry] = deque()
        #: The epoch of each call when its rows were saved.
        self.epochs: dict[str, int] = {}
        #: Set once all of it is in the database.
        self.done = asyncio.Event()

    def __len__(self) -> int:
        """Rows and entries."""
        return self.rows + len(self.timeline)

    @property
    def rows(self) -> int:
        """Rows of calls and turns."""
        return len(self.calls) + len(self.reported) + len(self.turns)

    def call(self, call_sid: str, epoch: int) -> Row:
        """The changes of a call. Turns and entries need its row too: their foreign key."""
        if epoch:
            self.epochs[call_sid] = epoch
        return self.calls.setdefault(call_sid, _new(call_sid))

    def report(self, call_sid: str) -> Row:
        """What Twilio reported of a call."""
        return self.reported.setdefault(call_sid, _new(call_sid))

    def raise_epoch(self, call_sid: str, epoch: int) -> None:
        """This process has adopted the call, and what waits is its newest."""
        if call_sid in self.calls:
            self.epochs[call_sid] = epoch

    def has(self, call_sid: str) -> bool:
        """Whether anything of a call waits."""
        return call_sid in self.calls or call_sid in self.reported

    def make_room(self, most_entries: int, most_rows: int) -> tuple[int, int]:
        """Drop the oldest entries beyond `most_entries`; of rows beyond `most_rows` the oldest
        turns, then the oldest calls. Returns how many entries and rows were dropped."""
        entries = max(0, len(self.timeline) - most_entries)
        for _ in range(entries):
            self.timeline.popleft()
        before = self.rows
        while self.rows > most_rows:
            if self.turns:
                del self.turns[next(iter(self.turns))]
            else:
                call_sid = next(iter(self.calls or self.reported))
                before_entries = len(self.timeline)
                self.forget(call_sid)
                self.reported.pop(call_sid, None)
                entries += before_entries - len(self.timeline)
        return entries, before - self.rows

    def forget(self, call_sid: str) -> None:
        """Drop what the call's owner saved. What Twilio reported stays."""
        self.epochs.pop(call_sid, None)
        if self.calls.pop(call_sid, None) is None:
            return
        for key in [each for each in self.turns if each[0] == call_sid]:
            del self.turns[key]
        kept = [each for each in self.timeline if each[0] != call_sid]
        self.timeline = deque(kept)

    def take(self, call_sid: str) -> Work | None:
        """As `forget`, but returns what it drops; None: nothing."""
        if call_sid not in self.calls:
            return None
        taken = Waiting()
        taken.calls[call_sid] = self.calls[call_sid]
        taken.turns = {key: row for key, row in self.turns.items() if key[0] == call_sid}
        taken.timeline = deque(each for each in self.timeline if each[0] == call_sid)
        self.forget(call_sid)
        return taken.work()

    def work(self) -> Work:
        """All rows. They are copies of what may change meanwhile."""
        pieces: dict[str, Row] = {}
        entries: dict[str, list[str]] = {}
        for call_sid, position, entry in self.timeline:
            pieces.setdefault(call_sid, {"call_sid": call_sid, "position": position})
            entries.setdefault(call_sid, []).append(entry)
        for call_sid, piece in pieces.items():
            piece["entries"] = f"[{','.join(entries[call_sid])}]"
        calls: list[Item] = [(Kind.CALL, dict(row)) for row in self.calls.values()]
        calls += ((Kind.REPORTED, dict(row)) for row in self.reported.values())
        parts: list[Item] = [
            (Kind.REMOVED_TURN if len(row) == len(_TURN_KEY) else Kind.TURN, row)
            for row in self.turns.values()
        ]
        parts += ((Kind.TIMELINE, piece) for piece in pieces.values())
        return Work(calls, parts, dict(self.epochs), entries=tuple(self.timeline))

    def remove(self, work: Work) -> None:
        """Drop what is in `work`, unless it has changed since."""
        gone = {id(entry) for entry in work.entries}
        self.timeline = deque(entry for entry in self.timeline if id(entry) not in gone)
        for kind, row in work.parts:
            if kind is not Kind.TIMELINE:
                key = row["call_sid"], row["position"]
                if self.turns.get(key) is row:
                    del self.turns[key]
        needed = {call_sid for call_sid, _ in self.turns} | {entry[0] for entry in self.timeline}
        for kind, row in work.calls:
            call_sid = row["call_sid"]
            if kind is Kind.CALL and self.calls.get(call_sid) == row and call_sid not in needed:
                del self.calls[call_sid]
            elif kind is Kind.REPORTED and self.reported.get(call_sid) == row:
                del self.reported[call_sid]


def _new(call_sid: str) -> Row:
    return {"call_sid": call_sid, "created_at": datetime.now(UTC)}
