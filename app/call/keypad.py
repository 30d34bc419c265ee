"""The caller's keys: which of them belong together, what they mean, and whom they are for.

Keys belong together until # or a pause. A lone 0 calls for a human. What a tool asked for goes to
that tool; a secret entry is masked before it gets here, and stays masked when it was cut short.
"""

from dataclasses import dataclass

from app.call.limits import NEVER

MASK = "•"
END_KEY = "#"
HUMAN_KEY = "0"
PAUSE_MS = 2000.0
ASKED_PAUSE_MS = 5000.0  # for an entry of a known length: people look their card up
STRAY_MS = 10_000.0  # what comes this soon after a secret that was cut short is the rest of it
TAIL_MS = 500.0  # a key may sound on after Twilio told of it


@dataclass(frozen=True, slots=True)
class Entry:
    """Keys that belong together. `call_id`: the tool call that asked for them, or empty. `lone`:
    nothing was pressed for a pause before it, and no # ended it."""

    digits: str
    call_id: str = ""
    lone: bool = False

    @property
    def calls_human(self) -> bool:
        return self.lone and self.digits == HUMAN_KEY


@dataclass(frozen=True, slots=True)
class _Asked:
    call_id: str
    length: int
    secret: bool
    begin_by_ms: float


class Keypad:
    """Told of keys and of what tools ask for; `settle` gives the entries that are complete."""

    def __init__(self) -> None:
        self._digits = ""
        self._ended = False  # by #
        self._lone = True
        self._pressed_ms = -NEVER
        self._asked: _Asked | None = None
        self._silent_until_ms = -NEVER  # the caller's sound may still hold a secret
        self._stray_until_ms = -NEVER

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
        wanted = self._asked is not None and self._asked.secret
        return wanted or now_ms < self._stray_until_ms

    def ignores(self, now_ms: float) -> bool:
        """Whether a key pressed now is the rest of a secret, and for nobody."""
        return self._asked is None and now_ms < self._stray_until_ms

    def muted(self, now_ms: float) -> bool:
        """Whether the caller's sound may hold a secret."""
        return self.secret(now_ms) or now_ms < self._silent_until_ms

    def ask(
        self, call_id: str, length: int, now_ms: float, *, secret: bool, timeout_ms: float
    ) -> None:
        """A tool wants an entry. What was pressed before is no part of it."""
        self._digits = ""
        self._asked = _Asked(call_id, length, secret, now_ms + timeout_ms)

    def drop(self, call_id: str = "") -> None:
        """What is typed is for nobody any more, or what this tool asked for."""
        if not call_id or (self._asked is not None and self._asked.call_id == call_id):
            self._asked, self._digits = None, ""

    def pressed(self, digit: str, now_ms: float) -> None:
        since_ms = now_ms - self._pressed_ms
        self._pressed_ms = now_ms
        if self.ignores(now_ms):
            self._stray_until_ms = now_ms + STRAY_MS
            return
        if not self._digits:
            self._lone = since_ms >= PAUSE_MS and self._asked is None
        if digit == END_KEY and (self._digits or self._asked is not None):
            self._ended = True
        else:
            self._digits += digit

    def settle(self, now_ms: float) -> Entry | None:
        """The entry that is complete by now, once."""
        if now_ms < self._complete_ms():
            return None
        asked, digits, ended = self._asked, self._digits, self._ended
        self._asked, self._digits, self._ended = None, "", False
        if asked is None:
            return Entry(digits, lone=self._lone and not ended)
        if asked.secret:
            self._silent_until_ms = now_ms + TAIL_MS
            if len(digits) < asked.length or not (ended or asked.length):
                self._stray_until_ms = now_ms + STRAY_MS
        return Entry(digits, asked.call_id)

    def next_ms(self) -> float:
        return min(self._complete_ms(), self._after(self._silent_until_ms, self._stray_until_ms))

    def _complete_ms(self) -> float:
        asked = self._asked
        length = asked.length if asked else 0
        if self._ended or (length and len(self._digits) >= length):
            return self._pressed_ms
        if self._digits:
            return self._pressed_ms + (ASKED_PAUSE_MS if length else PAUSE_MS)
        return asked.begin_by_ms if asked else NEVER

    def _after(self, *moments_ms: float) -> float:
        return min((at for at in moments_ms if at > self._pressed_ms), default=NEVER)
