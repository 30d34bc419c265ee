"""One call: the caller's deeds, and its life from ringing to the status callback."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from app.simulator.twilio.media.stream import DIGITS
from app.simulator.twilio.network import now_ms
from app.simulator.twilio.record import UNANSWERED, CallEnded
from app.simulator.twilio.status_callbacks import Progress
from app.simulator.twilio.trunk import LiveCall, Source, StatusReport, Trunk
from app.simulator.twilio.verbs.verbs import Interpreter
from app.simulator.twilio.webhook import Callbacks

Caller = Callable[["Call"], Awaitable[None]]
"""A caller's script: run beside the call from its first ring on, stopped when the call ends."""


class Call(LiveCall):
    """A call on the line. What it knows is in `CallRecord`; here is what can be done with it.

    It lives in a task of its own. `wait_ended()` gives back what went wrong in the simulator or
    in the caller's script; what the bridge did wrong is in `errors`. `document_url`: what relative
    URLs of inline TwiML start from.
    """

    def __init__(
        self,
        trunk: Trunk,
        source: Source,
        *,
        from_: str,
        to: str,
        caller: Caller | None = None,
        report: StatusReport | None = None,
        direction: str = "inbound",
    ) -> None:
        call_sid = trunk.new_call_sid(direction)
        super().__init__(trunk.account_sid, call_sid, direction, from_, to)
        self.document_url = source.url
        self._trunk = trunk
        self._source: Source | None = source
        self._caller = caller
        self._callbacks = Callbacks(trunk.client, self.requested)
        self._progress = Progress(self, report, self._callbacks, trunk.delivery)
        self._interpreter = Interpreter(self, trunk, self._callbacks)
        self._program: asyncio.Task[str] | None = None
        self._task = asyncio.create_task(self._live())

    # --- what the caller does ----------------------------------------------------------------

    def say(self, ulaw: bytes) -> None:
        """The caller speaks, once all queued before is said. `ulaw`: 8000 Hz, any length."""
        self.voice.say(ulaw)

    def press(self, digit: str) -> None:
        """The caller presses a key: one of 0-9 * # A-D. A <Gather> takes it, or the stream."""
        if digit not in DIGITS:
            raise ValueError(f"{digit!r} is no key; press one of 0-9 * # A-D at a time")
        self.pressed.append(digit)
        if self.key_sink is not None:
            self.key_sink(digit)
        elif self._interpreter.stream is not None:
            self._interpreter.stream.press(digit)

    def hang_up(self) -> None:
        """The caller hangs up: the stream gets its `stop`, and the call is over."""
        if self.is_live:
            self._finish("no-answer" if self.status in UNANSWERED else "completed")

    # --- what befalls it ---------------------------------------------------------------------

    async def drop(self) -> None:
        """The media socket is lost, without `stop` or close frame. The call goes on with what the
        TwiML says next. Returns once the socket is gone."""
        stream = self._interpreter.stream
        if stream is not None:
            stream.drop()
            await stream.closed()

    def replace(self, source: Source) -> None:
        """REST: another document takes the place of what runs now. A stream gets its `stop`."""
        if self.is_live:
            self._source = source
            self._interrupt()

    def complete(self, status: str = "completed") -> None:
        """REST: the call ends. `status`: completed, or canceled before it is answered."""
        if self.is_live:
            self._finish(status)

    async def wait_answer(self) -> None:
        """Waits until the webhook was answered, well or badly, or the caller hung up first."""
        await self.wait_for(lambda: bool(self.requests) or not self.is_live)

    async def wait_ended(self) -> None:
        """Waits until the call is over, its sockets closed and its last callback answered."""
        await asyncio.shield(self._task)

    async def close(self, patience_s: float) -> None:
        """Hangs up and waits, for so long at most, then leaves nothing running."""
        self.hang_up()
        await asyncio.wait({self._task}, timeout=patience_s)
        self._task.cancel()
        await asyncio.wait({self._task})

    def failure(self) -> BaseException | None:
        """What `wait_ended()` raises, once the call is closed."""
        return None if self._task.cancelled() else self._task.exception()

    # --- its life ----------------------------------------------------------------------------

    def _finish(self, status: str) -> None:
        self._source = None
        self._end(status)
        self._interrupt()

    def _interrupt(self) -> None:
        # The program first: a stream that stops would otherwise lead it on to the next verb.
        if self._program is not None:
            self._program.cancel()
        if self._interpreter.stream is not None:
            self._interpreter.stream.stop()

    def _end(self, status: str) -> None:
        if self.is_live:
            self.status = status
            self.ended_ms = now_ms()
            self.changed()

    async def _live(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                talk = group.create_task(self._talk())
                while (source := self._source) is not None:
                    self._program = group.create_task(self._perform(source))
                    await asyncio.wait({self._program})
                    if self._source is source:  # nothing took its place
                        self._source = None
                        self._end(self._program.result())
                talk.cancel()
            self._progress.tell("completed")
            await self._callbacks.finish()
        finally:
            self._end("completed")
            await self._callbacks.abandon()
            await self._interpreter.closed()

    async def _perform(self, source: Source) -> str:
        """Executes a document. Gives the status that the call ends with."""
        status = await self._interpreter.run(source)
        if not status:
            self.answered()  # Twilio picks up even to hang up because the document is over
        return status or "completed"

    async def _talk(self) -> None:
        if self._caller is not None:
            with suppress(CallEnded):  # a script may wait for what an ended call never does
                await self._caller(self)
