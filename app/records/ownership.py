"""What a process knows of the calls that it writes: with which epoch, and as of which revision."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from secrets import token_hex

#: Most calls of which it is known. Those without news for the longest time make room.
MOST_CALLS = 10_000


@dataclass(slots=True)
class _Known:
    """What is known of a call."""

    #: The epoch with which this process adopted it; 0: it did not.
    epoch: int = 0
    #: Of its row, as this process stored it, or as what waits in the spool will leave it; 0: never.
    revision: int = 0
    #: This process has stored its row: where it is missing, the owner deleted it.
    stored: bool = False
    #: Another process has adopted it since.
    outdated: bool = False


class Ownership:
    """Calls by SID.

    Args:
        on_outdated: called once for each call that another process has adopted.
        on_deleted: called for a call whose row was deleted since this process stored it.
        on_found: called with the epoch of a call that this process has adopted, though the
            database's answer was lost.
    """

    def __init__(
        self,
        on_outdated: Callable[[str], None],
        on_deleted: Callable[[str], None],
        on_found: Callable[[str, int], None],
    ) -> None:
        #: Tells this process from others in the rows of the calls that it adopts.
        self.me = token_hex(6)
        self._on_found = on_found
        self._on_outdated = on_outdated
        self._on_deleted = on_deleted
        self._calls: dict[str, _Known] = {}  # the one with the latest news is last
        self._numbers = count(1)

    def next_number(self) -> int:
        """The number of the next write, to the database or to the spool."""
        return next(self._numbers)

    def epoch(self, call_sid: str) -> int:
        """The epoch with which this process writes the call; 0: without one."""
        known = self._calls.get(call_sid)
        return known.epoch if known else 0

    def revision(self, call_sid: str) -> int:
        """The revision of the call's row as this process left it; 0: not known."""
        known = self._calls.get(call_sid)
        return known.revision if known else 0

    def has_stored(self, call_sid: str) -> bool:
        """Whether this process has stored the call's row."""
        known = self._calls.get(call_sid)
        return known is not None and known.stored

    def is_outdated(self, call_sid: str) -> bool:
        """Whether another process has adopted the call since this one did."""
        known = self._calls.get(call_sid)
        return known is not None and known.outdated

    def adopted(self, call_sid: str, epoch: int) -> None:
        """This process has raised the call's epoch."""
        known = self._news(call_sid)
        known.epoch, known.stored, known.outdated = epoch, True, False

    def found(self, call_sid: str, epoch: int) -> None:
        """The stored epoch is this process's own."""
        self.adopted(call_sid, epoch)
        self._on_found(call_sid, epoch)

    def outdate(self, call_sid: str, epoch: int) -> None:
        """The call's epoch was at least `epoch` when rows of this one's were dropped."""
        known = self._news(call_sid)
        if not known.outdated and epoch > known.epoch:
            known.outdated = True
            self._on_outdated(call_sid)

    def stored(self, revisions: Mapping[str, int]) -> None:
        """Rows of calls were stored, and have these revisions now."""
        for call_sid, revision in revisions.items():
            known = self._news(call_sid)
            known.revision, known.stored = revision, True

    def deleted(self, call_sid: str) -> None:
        """The call's row is gone: it stays deleted."""
        self._on_deleted(call_sid)

    def spooled(self, call_sid: str) -> None:
        """A write to the call's row is in the spool: it comes before what follows."""
        self._news(call_sid).revision += 1

    def forget_rows(self) -> None:
        """The database was made anew, or replaced: it may lack any row."""
        for known in self._calls.values():
            known.revision, known.stored = 0, False

    def _news(self, call_sid: str) -> _Known:
        known = self._calls.pop(call_sid, None)
        if known is None:
            known = _Known()
            if len(self._calls) >= MOST_CALLS:
                del self._calls[next(iter(self._calls))]
        self._calls[call_sid] = known
        return known
