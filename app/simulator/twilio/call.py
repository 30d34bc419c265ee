"""One call: what the caller does, and its life from ringing to the last status callback."""

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
"""A caller's script: it runs beside the call from the first ring until the call ends."""


class Call(LiveCall):
    """A call on the line: `CallRecord` holds its state, and these methods act on it.

    It runs in a task of its own. `wait_ended()` raises what failed in the simulator or in the
    caller's script; the bridge's mistakes are in `errors`.
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
        #: The base of relative URLs in inline TwiML.
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
        """Queue the caller's speech. `ulaw`: 8000 Hz, any length."""
        self.voice.say(ulaw)

    def press(self, digit: str) -> None:
        """The caller presses a key, one of 0-9 * # A-D: for a <Gather>, else for the stream."""
        if digit not in DIGITS:
            raise ValueError(f"{digit!r} is not a key; press one of 0-9 * # A-D at a time")
        self.pressed.append(digit)
        if self.key_sink is not None:
            self.key_sink(digit)
        elif self._interpreter.stream is not None:
            self._interpreter.stream.press(digit)

    def hang_up(self) -> None:
        """The caller hangs up: the stream gets its `stop`, and the call ends."""
        if self.is_live:
            self._finish("no-answer" if self.status in UNANSWERED else "completed")

    # --- what happens to it ------------------------------------------------------------------

    async def drop(self) -> None:
        """Break the media socket without `stop` or close frame.

        The call continues with the next verb of the TwiML. Returns once the socket is closed.
        """
        stream = self._interpreter.stream
        if stream is not None:
            stream.drop()
            await stream.closed()

    def replace(self, source: Source) -> None:
        """REST: replace the document that runs now. A stream gets its `stop`."""
        if self.is_live:
            self._source = source
            self._interrupt()

    def complete(self, status: str = "completed") -> None:
        """REST: end the call. `status`: completed, or canceled before it is answered."""
        if self.is_live:
            self._finish(status)

    async def wait_answer(self) -> None:
        """Wait until the webhook was answered, with success or not, or the call ended first."""
        await self.wait_for(lambda: bool(self.requests) or not self.is_live)

    async def wait_ended(self) -> None:
        """Wait until the call has ended, its sockets are closed and its callbacks answered."""
        await asyncio.shield(self._task)

    async def close(self, patience_s: float) -> None:
        """Hang up, wait for at most `patience_s`, then cancel what still runs."""
        self.hang_up()
        await asyncio.wait({self._task}, timeout=patience_s)
        self._task.cancel()
        await asyncio.wait({self._task})

    def failure(self) -> BaseException | None:
        """What `wait_ended()` raises; call it after `close()`."""
        return None if self._task.cancelled() else self._task.exception()

    # --- its life ----------------------------------------------------------------------------

    def _finish(self, status: str) -> None:
        self._source = None
        self._end(status)
        self._interrupt()

    def _interrupt(self) -> None:
        # The program first: when its stream stops, it would continue with the next verb.
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
                    if self._source is source:  # no other document replaced it
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
        """Execute a document. Returns the status that the call ends with."""
        status = await self._interpreter.run(source)
        if not status:
            self.answered()  # Twilio answers even a call that an empty document ends at once
        return status or "completed"

    async def _talk(self) -> None:
        if self._caller is not None:
            with suppress(CallEnded):  # the script waits for something after the call ended
                await self._caller(self)
