"""Digits that tools asked for: the one place where those of a secret entry are not masked."""

import asyncio

from app.call.commands import GiveDigits
from app.call.events import DigitPressed
from app.call.keypad import END_KEY, MASK


class SecretDigits:
    """Stands between Twilio and the machine. What is typed into a secret entry is kept here for the
    tool that asked, and for nobody else."""

    def __init__(self) -> None:
        self._typed = ""
        self._waiting: dict[str, tuple[asyncio.Future[str], bool]] = {}

    def asked(self, call_id: str, *, secret: bool) -> asyncio.Future[str]:
        """The tool call `call_id` waits for digits: await this, once the machine was told."""
        self._typed = ""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[call_id] = future, secret
        return future

    def masked(self, event: DigitPressed) -> DigitPressed:
        """A key of a secret entry as everybody else may know it."""
        if event.digit == END_KEY:
            return event
        self._typed += event.digit
        return DigitPressed(MASK)

    def give(self, command: GiveDigits) -> None:
        """The entry is over: its digits go to the tool that waits for them."""
        future, secret = self._waiting.pop(command.call_id, (None, False))
        digits = self._typed[: len(command.digits)] if secret else command.digits
        if secret:
            self._typed = ""
        if future is not None and not future.done():
            future.set_result(digits)
