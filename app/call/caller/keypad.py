"""The keypad: collects the caller's keys into entries.

Keys belong to one entry until #, the length that a tool asked for, or a pause. A caller who goes on
soon after an entry types the same one: the longer one replaces it, also where # ended the first. An
entry that a tool took is over. A lone 0 asks for a human. The keys of a secret entry come masked
(`secret`), and so do those that follow it closely, because they may be its rest.
"""

from dataclasses import dataclass

from app.call.deadlines import NEVER, next_after
from app.call.events import OpenEntry

#: Takes the place of a key of a secret entry.
MASK = "•"
END_KEY = "#"
HUMAN_KEY = "0"
#: A pause this long ends an entry.
PAUSE_MS = 2000.0
#: The same for an entry that a tool asked for: callers stop to read the next digits off a card.
ASKED_PAUSE_MS = 5000.0
#: Keys this soon after the last key of an entry continue it. A 0 this soon after a key is not lone.
CONTINUE_MS = 5000.0
#: Keys this soon after an incomplete secret entry are its rest.
STRAY_MS = 10_000.0
#: Keys of an entry; later ones are dropped.
LONGEST_ENTRY = 256
#: A key's tone may last this long after Twilio's `dtmf` message.
TAIL_MS = 500.0


@dataclass(frozen=True, slots=True)
class DigitEntry:
    """Keys that belong together."""

    #: Without the # that ended them.
    digits: str
    #: The tool call that asked for them; empty: none did.
    call_id: str = ""
    #: No key was pressed for `CONTINUE_MS` before it, and no # or length ended it.
    lone: bool = False
    #: The entry that these keys continue and replace; empty: none. An entry that a tool asked for
    #: may have the same keys.
    replaces: str = ""

    @property
    def calls_human(self) -> bool:
        """Whether it is a lone 0. A tool that asked for digits gets a 0 before # or as the only
        digit."""
        return self.lone and self.digits == HUMAN_KEY


@dataclass(slots=True)
class _Asked:
    call_id: str
    length: int
    secret: bool
    timeout_ms: float
    begin_by_ms: float


class Keypad:
    """Call `pressed` for every key, and `ask` when a tool asks for digits. Call
    `take_complete` at `next_ms`: it returns the entry that is complete."""

    def __init__(self) -> None:
        #: A key was pressed, or asked for, on this leg or before it: entries may be under way.
        self.touched = False
        self._digits = ""
        self._ended = False  # by #
        self._lone = True
        self._replaces = ""  # the entry that `_digits` continue
        self._complete = ""  # the last entry, if more keys may continue it
        self._complete_ended = False  # by #
        self._pressed_ms = -NEVER
        self._asked: _Asked | None = None
        self._full_until_ms = -NEVER  # a # belongs to the entry that is complete
        self._stray_until_ms = -NEVER  # a key belongs to the secret entry that is over
        self._silent_until_ms = -NEVER  # tones of a secret entry may sound

    @property
    def typing(self) -> bool:
        """Whether an entry has begun."""
        return bool(self._digits)

    @property
    def asked(self) -> bool:
        """Whether a tool waits for digits."""
        return self._asked is not None

    @property
    def asked_by(self) -> str:
        """The tool call that waits for digits; empty: none does."""
        return self._asked.call_id if self._asked is not None else ""

    def secret(self, now_ms: float) -> bool:
        """Whether a key pressed now must be masked."""
        return self._asked.secret if self._asked is not None else now_ms < self._stray_until_ms

    @property
    def secret_entry(self) -> str:
        """The tool call that waits for a secret entry; empty: none does."""
        return self._asked.call_id if self._asked is not None and self._asked.secret else ""

    @property
    def unbegun_entry(self) -> str:
        """The tool call that waits for the first key of an entry that is not secret; empty: none
        does."""
        asked = self._asked
        waits = asked is not None and not (asked.secret or self._digits or self._ended)
        return asked.call_id if asked is not None and waits else ""

    def ignores(self, digit: str, now_ms: float) -> bool:
        """Whether this key, pressed now, is the rest of an entry that is over: it is ignored."""
        if digit == END_KEY and not self._digits:
            if now_ms < self._full_until_ms or self._continues(now_ms):
                return True
        return self._asked is None and now_ms < self._stray_until_ms

    def has_begun(self, now_ms: float) -> bool:
        """Whether a key pressed now is not the first one of its entry."""
        return self.typing or self._continues(now_ms)

    def _continues(self, now_ms: float) -> bool:
        """Whether a key pressed now would continue the last entry."""
        soon = now_ms < self._pressed_ms + CONTINUE_MS
        return bool(self._complete) and soon and self._asked is None

    def muted(self, now_ms: float) -> bool:
        """Whether the caller's audio may contain the tones of a secret entry."""
        asked = self._asked is not None and self._asked.secret
        return asked or now_ms < self._silent_until_ms

    def ask(
        self, call_id: str, length: int, now_ms: float, *, secret: bool, timeout_ms: float
    ) -> None:
        """A tool asks for digits. What has `begun` is the beginning of its entry: call `drop_begun`
        before, if it is not.

        Args:
            length: Number of digits; 0: until # or a pause.
            secret: The keys come masked.
            timeout_ms: Deadline for the first key.
        """
        self.touched = True
        if not self._digits and self._continues(now_ms):
            self._digits = self._replaces = self._complete
            self._ended, self._lone = self._complete_ended, False
        self._complete = ""
        self._asked = _Asked(call_id, length, secret, timeout_ms, now_ms + timeout_ms)

    def begun(self, now_ms: float) -> DigitEntry | None:
        """The keys with which an entry begins that a tool asks for now; None: there are none.

        They are the keys that no pause has ended yet, with the entry that they continue. Or they
        are the last entry, if a key pressed now would continue it: then it `replaces` itself.
        """
        if self._asked is not None:
            return None
        if self._digits:
            return DigitEntry(self._digits, replaces=self._replaces)
        if self._continues(now_ms):
            return DigitEntry(self._complete, replaces=self._complete)
        return None

    def drop_begun(self) -> None:
        """The entry that has begun ends here, and no keys continue the one before it."""
        self._clear()
        self._complete = ""

    def prompt_ends(self, at_ms: float) -> None:
        """The prompt ends at `at_ms`: the caller's time for the first key begins then."""
        if self._asked is not None:
            self._asked.begin_by_ms = at_ms + self._asked.timeout_ms

    def drop(self, call_id: str, now_ms: float) -> None:
        """Drop the entry of this tool call, if it is the open one."""
        asked = self._asked
        if asked is not None and asked.call_id == call_id:
            self._asked = None
            self._clear()
            if asked.secret:
                self.drop_rest(now_ms)

    def drop_rest(self, now_ms: float) -> None:
        """A secret entry was open on the call's earlier leg: keys that follow now are its rest."""
        self.touched = True
        self._stray_until_ms = self._silent_until_ms = now_ms + STRAY_MS

    def close(self) -> None:
        """The last entry is over: no keys continue it."""
        self._complete = ""

    def dropped(self, now_ms: float) -> None:
        """A key was pressed that belongs to no entry. A 0 soon after it is not lone, and keys after
        it continue no entry, because the dropped key would be missing in it."""
        self.touched = True
        self._pressed_ms, self._complete = now_ms, ""

    def open_entry(self) -> OpenEntry | None:
        """For `resume` on the call's next leg; None: no key was pressed on this one."""
        if self._pressed_ms == -NEVER:
            return None
        if self._asked is not None:
            return OpenEntry("", "", self._pressed_ms)
        replaces = self._replaces if self._digits else self._complete
        return OpenEntry(self._digits, replaces, self._pressed_ms, self._lone)

    def resume(self, entry: OpenEntry, now_ms: float) -> None:
        """The caller is back on the line, after a stream that was lost amid this entry. A pause
        begins anew: no key reached the call meanwhile."""
        self.touched = True
        self._digits, self._lone = entry.digits, entry.lone
        self._pressed_ms = now_ms if entry.digits else entry.pressed_ms
        if entry.digits:
            self._replaces = entry.replaces
        else:
            self._complete = entry.replaces

    def pressed(self, digit: str, now_ms: float) -> None:
        """The caller presses a key, masked if `secret` says so."""
        self.touched = True
        ignored, continues = self.ignores(digit, now_ms), self._continues(now_ms)
        since_ms = now_ms - self._pressed_ms
        self._pressed_ms = now_ms
        if ignored:
            self._ignore(digit, now_ms)
            return
        if not self._digits:
            self._lone = since_ms >= CONTINUE_MS
            if continues:
                self._digits = self._replaces = self._complete
            self._complete = ""
        if digit == END_KEY and (self._digits or self._asked is not None):
            self._ended = True
        elif len(self._digits) < LONGEST_ENTRY:
            self._digits += digit

    def _ignore(self, digit: str, now_ms: float) -> None:
        strays = self._asked is None and now_ms < self._stray_until_ms
        if digit == END_KEY:
            self._complete_ended = True
            self._full_until_ms = self._stray_until_ms = -NEVER
        elif strays:
            self._stray_until_ms = now_ms + STRAY_MS
        if strays:
            self._silent_until_ms = max(self._stray_until_ms, now_ms + TAIL_MS)

    def take_complete(self, now_ms: float) -> DigitEntry | None:
        """The entry that is complete by now, returned once; None: none is."""
        if now_ms < self._complete_ms():
            return None
        asked, digits, ended, replaces = self._asked, self._digits, self._ended, self._replaces
        lone = self._lone and not ended
        self._asked = None
        self._clear()
        if asked is None:
            self._complete, self._complete_ended = digits, ended
            return DigitEntry(digits, lone=lone and not replaces, replaces=replaces)
        full = bool(asked.length) and len(digits) >= asked.length
        if full and not ended:
            self._full_until_ms = now_ms + PAUSE_MS
        if asked.secret:
            over = full or (ended and not asked.length)
            self._silent_until_ms = now_ms + (TAIL_MS if over else STRAY_MS)
            if not over:
                self._stray_until_ms = now_ms + STRAY_MS
            elif not ended:
                self._stray_until_ms = now_ms + PAUSE_MS
        lone = lone and digits == HUMAN_KEY and not full
        return DigitEntry(digits, asked.call_id, lone, replaces)

    def _clear(self) -> None:
        self._digits = self._replaces = ""
        self._ended = False

    def next_ms(self, now_ms: float) -> float:
        return next_after(now_ms, self._complete_ms(), self._silent_until_ms, self._stray_until_ms)

    def _complete_ms(self) -> float:
        asked = self._asked
        length = asked.length if asked else 0
        if self._ended or (length and len(self._digits) >= length):
            return self._pressed_ms
        if self._digits:
            return self._pressed_ms + (ASKED_PAUSE_MS if asked else PAUSE_MS)
        return asked.begin_by_ms if asked else NEVER
