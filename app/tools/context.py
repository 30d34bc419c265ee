"""The call that a tool runs for, and asking its caller for digits."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from app.errors import ToolError

AskDigits = Callable[[int, bool, str, float], Awaitable[str]]
"""Asks the caller for digits: length, secret, prompt and seconds as in `CallContext.ask_digits`.
Raises ToolError, worded for the model, if the caller enters none."""

MOST_DIGITS = 64
LONGEST_WAIT_S = 120.0
#: A shorter secret is not redacted: one or two digits occur in too many texts.
_SHORTEST_REDACTED = 3
_CLOSED = "The call no longer waits for this tool, so its caller cannot be asked."
_NO_CALL = "There is no call, so there is no caller to ask for digits."


class ToolRun:
    """One run of a tool, on its call's event loop. `close` it when the run ends."""

    def __init__(self) -> None:
        #: The call's event loop.
        self.loop = asyncio.get_running_loop()
        #: Secret digits that the caller entered for this run.
        self.secrets: list[str] = []
        #: The run has ended: `ask_digits` raises ToolError from now on.
        self.closed = False
        self._asking: set[asyncio.Task[Any]] = set()

    async def ask_from_thread(self, ask: Callable[[], Awaitable[str]]) -> str:
        """Await `ask` for a sync tool's thread. `close` cancels it."""
        task = asyncio.current_task()
        assert task is not None
        self._asking.add(task)
        try:
            return await ask()
        finally:
            self._asking.discard(task)

    def close(self) -> None:
        """End the run: cancel pending requests for digits, and refuse later ones. The thread of a
        sync tool may still be running."""
        self.closed = True
        for task in self._asking:
            task.cancel()

    def redacted(self, text: str) -> str:
        """The text without this run's secrets; see `redact`."""
        return redact(self.secrets, text)


def redact(secrets: Iterable[str], text: str) -> str:
    """Replaces secret digits by `***`, unless they are part of a longer number."""
    for secret in secrets:
        if len(secret) >= _SHORTEST_REDACTED:
            text = re.sub(rf"(?<!\d){re.escape(secret)}(?!\d)", "***", text)
    return text


@dataclass(frozen=True, slots=True)
class CallContext:
    """The call that a tool runs for.

    Declare a parameter of this type, such as `call: CallContext`, and the tool receives it. The
    model does not see that parameter. Numbers are hidden in `repr`, which may reach a log.
    """

    #: Twilio's call SID.
    call_sid: str = ""
    #: The caller's number as Twilio writes it, usually E.164; empty if unknown.
    caller_number: str = field(default="", repr=False)
    #: The number that was called, likewise.
    called_number: str = field(default="", repr=False)
    _ask: AskDigits | None = field(default=None, repr=False, compare=False)
    _run: ToolRun | None = field(default=None, repr=False, compare=False)

    async def ask_digits(
        self, length: int = 0, *, secret: bool = False, prompt: str = "", timeout_s: float = 30.0
    ) -> str:
        """Ask the caller to enter digits on the keypad, and wait for them.

        Returns the keys without the closing #: digits and `*`. There may be fewer than `length`.
        Only one tool can ask at a time. A caller who presses 0, and nothing for 5 s before or after
        it, asks for a human: if the agent has destinations, the caller has entered nothing.

        Secret digits (a card number, a PIN) reach this tool alone: not the model, the log, the
        timeline or the record. Do not return them or put them into an exception. As a safeguard,
        three digits or more are replaced by `***` there.

        Args:
            length: The number of digits, at most 64. The entry ends when they are complete, at #,
                or after a pause of 5 s. With 0, it ends at # or after that pause.
            secret: Whether the digits are secret.
            prompt: What the agent shall say first. Empty: it has asked already, so digits that the
                caller has just begun to type count, unless they are secret.
            timeout_s: Seconds to the first digit, 1 to 120, counted from the end of the prompt.

        Raises:
            ToolError: the caller entered nothing in time or spoke, another tool is asking, or there
                is no call. Its message is worded for the model: let it propagate.
            ValueError: `length` or `timeout_s` is out of range.
        """
        if not 0 <= length <= MOST_DIGITS:
            raise ValueError(f"length is {length}; expected 0 (until #) to {MOST_DIGITS}")
        if not 1 <= timeout_s <= LONGEST_WAIT_S:
            raise ValueError(f"timeout_s is {timeout_s}; expected 1 to {LONGEST_WAIT_S:g} seconds")
        if self._ask is None:
            raise ToolError(_NO_CALL)
        if self._run is not None and self._run.closed:
            raise ToolError(_CLOSED)
        digits = await self._ask(length, secret, prompt, timeout_s)
        if secret and self._run is not None:
            self._run.secrets.append(digits)
        return digits

    def ask_digits_sync(
        self, length: int = 0, *, secret: bool = False, prompt: str = "", timeout_s: float = 30.0
    ) -> str:
        """`ask_digits` for a tool that is a plain `def`. Its thread waits; the call goes on.

        Raises:
            ToolError, ValueError: as `ask_digits`.
            RuntimeError: the tool is async. Waiting here would block the event loop, and with it
                every call; use `await call.ask_digits(…)`.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise RuntimeError("in an async tool, write: await call.ask_digits(…)")
        run = self._run
        if run is None:
            raise ToolError(_NO_CALL)
        ask = partial(self.ask_digits, length, secret=secret, prompt=prompt, timeout_s=timeout_s)
        waiting = run.ask_from_thread(ask)
        try:
            future = asyncio.run_coroutine_threadsafe(waiting, run.loop)
        except RuntimeError:  # the event loop is closed: the service has stopped
            waiting.close()
            raise ToolError(_CLOSED) from None
        return future.result()
