"""The caller's keys: each entry is for a tool, for a human, or for the model."""

from app.call import prompts
from app.call.barge_in import BargeIn
from app.call.caller.digit_entries import DigitEntries
from app.call.caller.floor import Floor
from app.call.caller.keypad import DigitEntry
from app.call.orders import Orders


class Keys:
    """Passes each entry on: to the tool that asked for it, to a human (a lone 0), or to the model.

    Call `settle` before anything that depends on what the caller typed.
    """

    def __init__(
        self, entries: DigitEntries, orders: Orders, barge_in: BargeIn, floor: Floor
    ) -> None:
        self._entries = entries
        self._orders = orders
        self._barge_in = barge_in
        self._floor = floor

    def pressed(self, digit: str, now_ms: float, *, at_s: float) -> None:
        """The caller presses a key. `at_s`: Unix time, in seconds."""
        self.settle(now_ms, at_s=at_s)  # a pause before this key completes the entry before it
        self._barge_in.key_pressed(digit, now_ms)

    def settle(self, now_ms: float, *, at_s: float) -> None:
        """Pass on the entry that is complete, and mute the caller for secret ones."""
        entry = self._entries.complete(now_ms)
        if entry is not None:
            self._pass_on(entry, now_ms, at_s)
        self._entries.mute(now_ms, voicemail=self._floor.voicemail)

    def _pass_on(self, entry: DigitEntry, now_ms: float, at_s: float) -> None:
        text = prompts.keys_pressed(entry.digits)
        if entry.calls_human and self._orders.can_transfer:
            text = self._orders.transfer_by_key(now_ms, at_s=at_s)
            if not text:
                self._entries.close()
        if entry.call_id:
            # A tool gets no digits from a caller who asks for a human.
            self._entries.give(entry.call_id, entry.digits if text else "", now_ms)
        elif text:
            self._entries.add(entry, text, now_ms)
