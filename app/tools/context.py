"""The call that a tool runs for: whose it is, and the digits that its caller types."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from app.errors import ToolError

AskDigits = Callable[[int, bool, str, float], Awaitable[str]]
"""How a call has its caller asked for digits: length, secret, prompt and seconds, as `ask_digits`
has them. Raises ToolError, with what the model is told, when there are none."""

MOST_DIGITS = 64
LONGEST_WAIT_S = 120.0
_FEWEST_SECRET = 3  # one or two digits are in every other text, and no secret
_OVER = "The call no longer waits for this tool, so its caller cannot be asked."
_NO_CALL = "There is no call, so nobody can be asked for digits."


class ToolRun:
    """One run of a tool, on the event loop of its call: the questions that it put to the caller,
    and the secrets that it was told. `close` it when the run is over."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.secrets: list[str] = []
        self.over = False
        self._asking: set[asyncio.Task[Any]] = set()

    async def for_thread(self, ask: Callable[[], Awaitable[str]]) -> str:
        """Ask what a sync tool's thread waits for, no longer than the run lasts."""
        task = asyncio.current_task()
        assert task is not None
        self._asking.add(task)
        try:
            return await ask()
        finally:
            self._asking.discard(task)

    def close(self) -> None:
        """A thread may run on; whom it asks, and whom it will ask, is let off."""
        self.over = True
        for task in self._asking:
            task.cancel()

    def without_secrets(self, text: str) -> str:
        return redact(self.secrets, text)


def redact(secrets: Iterable[str], text: str) -> str:
    """The text, with these digits struck out."""
    for secret in secrets:
        if len(secret) >= _FEWEST_SECRET:
            text = re.sub(rf"(?<!\d){re.escape(secret)}(?!\d)", "***", text)
    return text


@dataclass(frozen=True, slots=True)
class CallContext:
    """Which call a tool runs for. A tool that has a parameter of this type is given it; the model
    does not see that parameter. Numbers are as Twilio wrote them, or empty when unknown."""

    call_sid: str = ""
    caller_number: str = field(default="", repr=False)  # a log may show a repr
    called_number: str = field(default="", repr=False)
    _ask: AskDigits | None = field(default=None, repr=False, compare=False)
    _run: ToolRun | None = field(default=None, repr=False, compare=False)

    async def ask_digits(
        self, length: int = 0, *, secret: bool = False, prompt: str = "", timeout_s: float = 30.0
    ) -> str:
        """Have the caller type digits, and wait for them: 0 to 9 and *.

        Secret digits (a card's number, a PIN) reach this tool alone: not the model, the log, the
        timeline or the record. Keep them out of what the tool returns and raises; where they stand
        there all the same, three digits or more, they are struck out.

        Args:
            length: How many digits, 64 at most. 0: until the caller types # or pauses for 2 s.
            secret: Whether they are nobody else's business.
            prompt: What the agent is told to say first.
            timeout_s: How long the caller may take, 1 to 120 s.

        Raises:
            ToolError: the caller typed nothing in time or spoke, or there is no call. Its message
                is for the model: let it pass.
        """
        if not 0 <= length <= MOST_DIGITS:
            raise ValueError(f"length is {length}; expected 0 (until #) to {MOST_DIGITS}")
        if not 1 <= timeout_s <= LONGEST_WAIT_S:
            raise ValueError(f"timeout_s is {timeout_s}; expected 1 to {LONGEST_WAIT_S:g} seconds")
        if self._ask is None:
            raise ToolError(_NO_CALL)
        if self._run is not None and self._run.over:
            raise ToolError(_OVER)
        digits = await self._ask(length, secret, prompt, timeout_s)
        if secret and self._run is not None:
            self._run.secrets.append(digits)
        return digits

    def ask_digits_sync(
        self, length: int = 0, *, secret: bool = False, prompt: str = "", timeout_s: float = 30.0
    ) -> str:
        """`ask_digits` for tools that are not async: their thread waits, the call goes on.

        Raises:
            ToolError: as `ask_digits` does.
            RuntimeError: it was called in an async function, where the whole call would stand
                still.
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
        waiting = run.for_thread(ask)
        try:
            future = asyncio.run_coroutine_threadsafe(waiting, run.loop)
        except RuntimeError:  # the loop is closed: the service has stopped
            waiting.close()
            raise ToolError(_OVER) from None
        return future.result()
