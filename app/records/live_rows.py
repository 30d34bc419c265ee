"""The rows of live calls, to be stored again when the database was made anew."""

import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from itertools import chain
from typing import Any

import sqlalchemy as sa

from app.records.record import TurnRow
from app.records.schema import CALLS, TURNS
from app.wires.twilio.call import TERMINAL, rank

#: Most calls whose rows are kept. Those without news for the longest time make room.
MOST_CALLS = 1000
#: Seconds for which the rows of a call that has ended are kept: its recording and its summary are
#: stored after its end.
AFTER_END_S = 60.0

#: Seconds for which batches of timeline entries are kept, and how many at most: a standby that
#: takes over may lack them.
BATCHES_S = 30.0
MOST_BATCHES = 2000
_LEVEL = 1  # of the compression: the quickest

#: What a call that has ended keeps, whatever is saved of it later.
LATCHED = frozenset({"status", "report_state", "report_since", "report_due_at", "report_tries"})

_TURN_COLUMNS = tuple(each.name for each in fields(TurnRow))

Row = dict[str, Any]


def turn_row(call_sid: str, turn: TurnRow) -> Row:
    """The row of a turn, by column."""
    return {"call_sid": call_sid} | {name: getattr(turn, name) for name in _TURN_COLUMNS}


@dataclass(frozen=True, slots=True)
class StoredBatches:
    """Batches of timeline entries that were stored together. Compressed together, their JSON takes
    a twelfth of the memory: what calls have in common is in it once."""

    #: The call, the position and the size in bytes of each batch.
    places: list[tuple[str, int, int]]
    #: Their JSON, one after the other, compressed.
    entries: bytes

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "StoredBatches":
        """Compress them: each takes 0.1 ms."""
        compressor, places, compressed = zlib.compressobj(_LEVEL), [], bytearray()
        for row in rows:
            entries = row["entries"].encode()
            places.append((row["call_sid"], row["position"], len(entries)))
            compressed += compressor.compress(entries)
        return cls(places, bytes(compressed + compressor.flush()))

    def rows(self) -> Iterator[Row]:
        entries, start = zlib.decompress(self.entries), 0
        for call_sid, position, size_bytes in self.places:
            text = entries[start : start + size_bytes].decode()
            start += size_bytes
            yield {"call_sid": call_sid, "position": position, "entries": text}


@dataclass(slots=True, eq=False)
class _Call:
    """What was saved of a call."""

    #: The newest value of each of its columns.
    row: Row
    saved_s: float
    #: The rows of its turns, by position.
    turns: dict[int, TurnRow] = field(default_factory=dict)


class LiveRows:
    """Give it all that is saved of calls and their turns. Times are monotonic seconds.

    A call is kept from its first status that is not terminal, until `AFTER_END_S` after what was
    saved last of it once it has a terminal one. A call that ended longer ago is not kept, so that
    records which the owner deleted stay deleted. Of timelines the last `BATCHES_S` are kept: they
    are long.
    """

    def __init__(self) -> None:
        # With when they were stored.
        self._batches: deque[tuple[float, StoredBatches]] = deque()
        self._batch_count = 0
        self._calls: dict[str, _Call] = {}  # the one that was saved last is last

    def save_call(
        self, call_sid: str, row: Mapping[str, Any], changes: Mapping[str, Any], now_s: float
    ) -> None:
        """A call is created or changed.

        Args:
            row: What waits to be written of it, `changes` included.
            changes: The columns that change.
        """
        call, status = self._calls.pop(call_sid, None), changes.get("status")
        if call is None:
            if status is None or status in TERMINAL:
                return
            call = _Call(dict(row), now_s)
            if len(self._calls) >= MOST_CALLS:
                del self._calls[next(iter(self._calls))]
        elif rank(status) > rank(call.row.get("status")):
            call.row |= changes
        else:
            call.row |= {name: value for name, value in changes.items() if name not in LATCHED}
        self._calls[call_sid] = call
        call.saved_s = now_s

    def change_call(self, call_sid: str, changes: Mapping[str, Any]) -> None:
        """Columns of a call were changed in the database."""
        if call := self._calls.get(call_sid):
            call.row |= changes

    def save_turns(self, call_sid: str, turns: Iterable[TurnRow], removed: Iterable[int]) -> None:
        """Turns of a call are created or replaced, and others `removed`, by their positions."""
        call = self._calls.get(call_sid)
        if call is not None:
            for position in removed:
                call.turns.pop(position, None)
            call.turns |= {turn.position: turn for turn in turns}

    def save_batches(self, batches: StoredBatches, now_s: float) -> None:
        """Batches of timeline entries were stored."""
        self._batches.append((now_s, batches))
        self._batch_count += len(batches.places)
        while self._batches and (
            self._batch_count > MOST_BATCHES or now_s - self._batches[0][0] > BATCHES_S
        ):
            self._batch_count -= len(self._batches.popleft()[1].places)

    def batches(self) -> list[Row]:
        """The last batches of the calls that are kept."""
        rows = chain.from_iterable(batches.rows() for _, batches in self._batches)
        return [row for row in rows if row["call_sid"] in self._calls]

    def forget(self, call_sid: str) -> None:
        """Forget a call: it was deleted, or is another process's."""
        self._calls.pop(call_sid, None)

    def forget_ended(self, now_s: float) -> None:
        """Forget the calls that ended. Call it when all that was saved is in the database."""
        for call_sid, call in list(self._calls.items()):
            if call.row["status"] in TERMINAL and now_s - call.saved_s >= AFTER_END_S:
                del self._calls[call_sid]

    def work(self) -> list[tuple[sa.Table, Row]]:
        """All rows with their tables, calls first."""
        calls = [(CALLS, dict(call.row)) for call in self._calls.values()]
        turns = [
            (TURNS, turn_row(call_sid, turn))
            for call_sid, call in self._calls.items()
            for turn in call.turns.values()
        ]
        return [*calls, *turns]
