"""What a change of a call may do to the row that is stored. Pure: the row is locked meanwhile."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from app.call.exits.attempts import CALLER_GONE, RINGING, TALKING
from app.records.waiting import Row, Spooled, Work
from app.wires.twilio.call import TERMINAL, rank

_KEYS = {"call_sid", "created_at"}  # what every row of a call has
_STAGES = (RINGING, TALKING, CALLER_GONE)  # of an attempt; any other outcome comes after them


@dataclass(slots=True)
class Change:
    """What is to be changed of a call."""

    call_sid: str
    #: With which the owner's row is written.
    epoch: int
    #: By its owner. None: nothing.
    owned: Row | None = None
    #: By a process that need not be its owner. None: nothing.
    reported: Row | None = None

    @property
    def whole(self) -> Row:
        """Both."""
        return _merged(self.owned or {}, self.reported or {})


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored of a call; see the fields of `CallRow`."""

    call_sid: str
    epoch: int
    adopted_by: str | None
    revision: int
    written_by: str | None
    write_number: int | None
    status: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a change."""

    stored: Stored
    #: The columns that change.
    new: Row
    #: The owner's row, or a row that belongs to the owner's, is written.
    is_owners: bool
    #: Another process has adopted the call: what the owner's row says is left out.
    outdated: bool = False
    #: This process had adopted the call without knowing it.
    found: bool = False
    #: What is stored is newer than what waited in the spool.
    newer: bool = False

    @property
    def writes(self) -> bool:
        """Whether the row is changed at all."""
        return self.is_owners or self.newer or bool(self.new)

    def filling_in(self, empty: Collection[str]) -> "Verdict":
        """The same, but with only what is missing. `empty`: the columns in which nothing is
        stored."""
        new = {n: value for n, value in self.new.items() if n in empty or n == "status"}
        # Not as the writer's last: what another process wrote still counts as newer.
        return replace(self, new=new, is_owners=False)


def judge(work: Work, change: Change, stored: Stored, known_epoch: int) -> Verdict:
    """What a change does to a row. `known_epoch`: with which this process writes the call."""
    owned, epoch = change.owned, change.epoch
    outdated = found = False
    if owned is not None and stored.epoch > epoch:
        # Its own adoption, of which the answer was lost?
        if stored.epoch == epoch + 1 and stored.adopted_by == work.writer:
            epoch, found = stored.epoch, known_epoch == epoch
        else:
            owned, outdated = None, True
    new = _merged(owned or {}, change.reported or {})
    new = {name: value for name, value in new.items() if name not in _KEYS}
    if rank(stored.status) >= rank(new.get("status")):
        new.pop("status", None)
    if stored.status in TERMINAL:  # a delivered report must not become due again
        new = {name: value for name, value in new.items() if not name.startswith("report_")}
    if owned is not None and epoch > stored.epoch:
        new["epoch"] = epoch
    newer = owned is not None and bool(work.spooled) and _is_newer(work, epoch, stored)
    return Verdict(stored, new, owned is not None, outdated, found, newer)


def _is_newer(work: Work, epoch: int, stored: Stored) -> bool:
    """Whether the stored row of a call is newer than the owner's that waited in the spool."""
    if stored.written_by == work.writer and stored.write_number is not None:
        return stored.write_number > work.number
    if work.writer and stored.written_by is None and stored.write_number is None:
        return False  # no owner has written it
    if epoch and stored.epoch == epoch and stored.adopted_by == work.writer:
        return False  # the owner before wrote it, which lost it by this adoption
    known = work.spooled.get(stored.call_sid, Spooled(0, False))
    return stored.revision > known.revision


def _merged(owned: Row, reported: Row) -> Row:
    """The status that is farther counts."""
    merged = {**owned, **reported}
    if rank(owned.get("status")) > rank(reported.get("status")):
        merged |= {n: v for n, v in owned.items() if n == "status" or n.startswith("report_")}
    if "created_at" in owned:
        merged["created_at"] = min(owned["created_at"], merged["created_at"])
    return merged


def farthest(stored: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """The transfers of a call, from what is stored and from what waited to be written: each attempt
    in the state that is farther. Any replica changes what is stored, meanwhile too."""
    both = [_farther(*pair) for pair in zip(stored, new, strict=False)]
    return [*both, *new[len(both) :], *stored[len(both) :]]


def _farther(stored: Row, new: Row) -> Row:
    kept, other = (new, stored) if _stage(new) >= _stage(stored) else (stored, new)
    known = {name: other[name] for name in ("callee_sid", "over") if other.get(name)}
    return {**kept, **{name: value for name, value in known.items() if not kept.get(name)}}


def _stage(attempt: Row) -> int:
    outcome = attempt.get("outcome")
    return _STAGES.index(outcome) if outcome in _STAGES else len(_STAGES)
