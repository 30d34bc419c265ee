"""The keys of secret entries: this is the only place that has them.

The machine, the timeline, the record and the log get `MASK` in place of each key. They refer to an
entry by its id, which is the call_id of the tool that asked, and by its length.
"""

from collections.abc import Iterable

from app.call.caller.keypad import END_KEY, MASK
from app.call.events import DigitPressed
from app.tools.context import redact


class SecretEntries:
    """Call `mask` for each key of a secret entry, and `take` or `drop` when the entry is over.

    `given`: digits of entries that are over, from the call's earlier legs.
    """

    def __init__(self, given: Iterable[str] = ()) -> None:
        self._keys: dict[str, str] = {}  # by entry
        self._given = set(given)

    @property
    def given(self) -> frozenset[str]:
        """The digits of all entries that tools were given."""
        return frozenset(self._given)

    def mask(self, entry_id: str, event: DigitPressed) -> DigitPressed:
        """Keep a key. Feed the event that this returns in place of the original.

        Args:
            entry_id: `CallMachine.secret_entry`. Empty: no entry counts the key, and it is not
                kept.
        """
        if event.digit == END_KEY:
            return event
        if entry_id:
            self._keys[entry_id] = self._keys.get(entry_id, "") + event.digit
        return DigitPressed(MASK)

    def take(self, entry_id: str, length: int) -> str:
        """The first `length` keys of an entry, which is over. Later keys are forgotten."""
        digits = self._keys.pop(entry_id, "")[:length]
        if digits:
            self._given.add(digits)
        return digits

    def drop(self, entry_id: str) -> None:
        """Forget the keys of an entry: its tool does not wait for them any more."""
        self._keys.pop(entry_id, None)

    def redacted(self, text: str) -> str:
        """The text without the digits that tools were given; see `redact`."""
        return redact(self._given, text)
