"""The caller's keys: which of them belong together, what they mean, and whom they are for.

Keys belong together until # or a pause. A lone 0 calls for a human. What a tool asked for goes to
that tool; a secret entry is masked before it gets here, and so is what follows it too closely.
"""

from dataclasses import dataclass

from app.call.deadlines import NEVER, next_after

MASK = "•"
END_KEY = "#"
HUMAN_KEY = "0"
PAUSE_MS = 2000.0
ASKED_PAUSE_MS = 5000.0  # for an entry of a known length: people look their card up
STRAY_MS = 10_000.0  # what comes this soon after a secret that was cut short is the rest of it
LONGEST_ENTRY = 256  # keys; what is pressed after them is dropped
TAIL_MS = 500.0  # a key may sound on after Twilio told of it


@dataclass(frozen=True, slots=True)
class DigitEntry:
    """Keys that belong together. `call_id`: the tool call that asked for them, or empty. `lone`:
    nothing was pressed for a pause before it, and no # ended it."""

    digits: str
    call_id: str = ""
    lone: bool = False

    @property
    def calls_human(self) -> bool:
        return self.lone and self.digits == HUMAN_KEY


@dataclass(slots=True)
class _Asked:
    call_id: str
    length: int
    secret: bool
    timeout_ms: float
    begin_by_ms: float


class Keypad:
    """Told of keys and of what tools ask for; `settle` gives the entries that are complete."""

    def __init__(self) -> None:
        self._digits = ""
        self._ended = False  # by #
        self._lone = True
        self._pressed_ms = -NEVER
        self._asked: _Asked | None = None
        self._full_until_ms = -NEVER  # a # still belongs to the entry that was long enough
        self._stray_until_ms = -NEVER  # a key still belongs to the secret that is over
        self._silent_until_ms = -NEVER  # the caller's sound may still hold a secret

    @property
    def typing(self) -> bool:
        """Whether an entry is begun."""
        return bool(self._digits)

    @property
    def asked(self) -> bool:
        """Whether a tool waits for an entry."""
        return self._asked is not None

    def secret(self, now_ms: float) -> bool:
        """Whether keys have to be masked."""
        return self._asked.secret if self._asked is not None else now_ms < self._stray_until_ms

    def ignores(self, digit: str, now_ms: float) -> bool:
        """Whether this key, pressed now, is the rest of an entry that is over, and for nobody."""
        if digit == END_KEY and not self._digits and now_ms < self._full_until_ms:
            return True
        return self._asked is None and now_ms < self._stray_until_ms

    def muted(self, now_ms: float) -> bool:
        """Whether the caller's sound may hold a secret."""
        wanted = self._asked is not None and self._asked.secret
        return wanted or now_ms < self._silent_until_ms

    def ask(
        self, call_id: str, length: int, now_ms: float, *, secret: bool, timeout_ms: float
    ) -> None:
        """A tool wants an entry. What was pressed before is no part of it."""
        self._digits, self._ended = "", False
        self._asked = _Asked(call_id, length, secret, timeout_ms, now_ms + timeout_ms)

    def told(self, at_ms: float) -> None:
        """The caller knows only at this moment what is wanted: from then on they may take their
        time."""
        if self._asked is not None:
            self._asked.begin_by_ms = at_ms + self._asked.timeout_ms

    def drop(self, call_id: str, now_ms: float) -> None:
        """What this tool asked for is for nobody any more."""
        asked = self._asked
        if asked is not None and asked.call_id == call_id:
            self._asked, self._digits, self._ended = None, "", False
            if asked.secret:
                self._stray_until_ms = self._silent_until_ms = now_ms + STRAY_MS

    def pressed(self, digit: str, now_ms: float) -> None:
        since_ms = now_ms - self._pressed_ms
        self._pressed_ms = now_ms
        if self.ignores(digit, now_ms):
            self._ignore(digit, now_ms)
            return
        if not self._digits:
            self._lone = since_ms >= PAUSE_MS and self._asked is None
        if digit == END_KEY and (self._digits or self._asked is not None):
            self._ended = True
        elif len(self._digits) < LONGEST_ENTRY:
            self._digits += digit

    def _ignore(self, digit: str, now_ms: float) -> None:
        strays = self._asked is None and now_ms < self._stray_until_ms
        if digit == END_KEY:  # nothing follows it
            self._full_until_ms = self._stray_until_ms = -NEVER
        elif strays:
            self._stray_until_ms = now_ms + STRAY_MS
        if strays:
            self._silent_until_ms = max(self._stray_until_ms, now_ms + TAIL_MS)

    def settle(self, now_ms: float) -> DigitEntry | None:
        """The entry that is complete by now, once."""
        if now_ms < self._complete_ms():
            return None
        asked, digits, ended = self._asked, self._digits, self._ended
        self._asked, self._digits, self._ended = None, "", False
        if asked is None:
            return DigitEntry(digits, lone=self._lone and not ended)
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
        return DigitEntry(digits, asked.call_id)

    def next_ms(self, now_ms: float) -> float:
        return next_after(now_ms, self._complete_ms(), self._silent_until_ms, self._stray_until_ms)

    def _complete_ms(self) -> float:
        asked = self._asked
        length = asked.length if asked else 0
        if self._ended or (length and len(self._digits) >= length):
            return self._pressed_ms
        if self._digits:
            return self._pressed_ms + (ASKED_PAUSE_MS if length else PAUSE_MS)
        return asked.begin_by_ms if asked else NEVER
