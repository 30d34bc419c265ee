"""The rows of one leg's turns, kept up to date at the cost of what changed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from app.call.heard.conversation import Turn
from app.call.machine import CallMachine
from app.records.record import TurnRow


@dataclass(frozen=True, slots=True)
class ChangedRows:
    """What to store, and what to delete."""

    #: The rows that changed, by position.
    rows: list[TurnRow]
    #: Positions that have no row any more: the last ones, because the rows behind a removed turn
    #: move up.
    removed: range

    def __bool__(self) -> bool:
        return bool(self.rows or self.removed)


class TurnRows:
    """The turns of a leg as the record stores them, in the order of the conversation.

    Call `take_changed` whenever the conversation changed; store and delete what it returns.

    Args:
        first_position: position of the leg's first turn in the record.
    """

    def __init__(self, first_position: int) -> None:
        self._first = first_position
        self._order: list[str] = []  # item ids; the place of each is its row's position
        self._rows: dict[str, TurnRow] = {}  # by item id

    @property
    def next_position(self) -> int:
        """Behind the position of every row: where the turns of the next leg begin."""
        return self._first + len(self._order)

    def take_changed(self, machine: CallMachine, now_ms: float) -> ChangedRows:
        """What changed since the last call of this: of a turn that still plays, what was heard so
        far."""
        stored_to = self.next_position
        changes = machine.take_changes(now_ms)
        changed: set[str] = set()
        for change in changes:  # first, so that the order below is the conversation's
            if change.item_id in self._rows and (change.moved or change.turn is None):
                changed |= self._remove(change.item_id)
        for item_id, turn in ((each.item_id, each.turn) for each in changes):
            if turn is None:
                continue
            if item_id in self._rows:
                changed |= self._update(item_id, turn)
            else:
                changed |= self._insert(item_id, turn, machine.conversation.before(item_id))
        rows = [row for item_id in changed if (row := self._rows.get(item_id))]
        rows.sort(key=lambda row: row.position)
        return ChangedRows(rows, range(self.next_position, stored_to))

    def _update(self, item_id: str, turn: Turn) -> set[str]:
        before = self._rows[item_id]
        self._rows[item_id] = row = _row(turn, before.position)
        return {item_id} if row != before else set()

    def _insert(self, item_id: str, turn: Turn, before: Iterator[str]) -> set[str]:
        """Put a turn behind the nearest turn `before` it that has a row. Returns the item ids of
        the rows that changed."""
        nearest = next((self._rows[each] for each in before if each in self._rows), None)
        position = self._first if nearest is None else nearest.position + 1
        self._order.insert(position - self._first, item_id)
        self._rows[item_id] = _row(turn, position)
        return {item_id} | self._renumber(position + 1)

    def _remove(self, item_id: str) -> set[str]:
        position = self._rows.pop(item_id).position
        del self._order[position - self._first]
        return self._renumber(position)

    def _renumber(self, position: int) -> set[str]:
        """Give the rows from this position on their positions. Returns their item ids."""
        moved = self._order[position - self._first :]
        for place, item_id in enumerate(moved, position):
            self._rows[item_id] = replace(self._rows[item_id], position=place)
        return set(moved)


def _row(turn: Turn, position: int) -> TurnRow:
    return TurnRow(
        position=position,
        role=turn.role,
        text=turn.heard_text,
        item_id=turn.item_id,
        at_ms=turn.at_ms,
        cut=turn.cut,
        estimated=turn.cut,
        heard_ms=turn.heard_ms if turn.role == "assistant" else None,
        complete=turn.finished,
        extra=dict(turn.detail),
    )
