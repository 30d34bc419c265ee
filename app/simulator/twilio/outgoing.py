"""An outgoing call, by <Dial> or by REST: it rings, and its `Callee` answers and acts."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import suppress

from app.audio import tone, ulaw_ms
from app.simulator.twilio.call import Call
from app.simulator.twilio.callee import Callee
from app.simulator.twilio.network import now_ms
from app.simulator.twilio.record import UNANSWERED, CallEnded, Said
from app.simulator.twilio.trunk import CallOrder, Detection, Source, Trunk
from app.simulator.twilio.verbs.verbs import Interpreter, Role

BEEP = tone((1000,), note_ms=300, level_dbfs=-12)

_PIECE_BYTES = 800  # the greeting goes out 100 ms at a time, so that it keeps to the clock


class OutgoingCall(Call):
    """A call to a callee.

    A <Dial>'s call executes its whisper and is then ready to be bridged (`ready_ms`), until it ends
    or gets a document of its own by REST (`pulled_out`).
    """

    def __init__(self, trunk: Trunk, order: CallOrder, callee: Callee) -> None:
        super().__init__(
            trunk,
            order.source,
            from_=order.from_,
            to=order.to,
            report=order.report,
            direction="outbound-dial" if order.parent else "outbound-api",
        )
        self.callee = callee
        self.parent_call_sid = order.parent.call_sid if order.parent else ""
        self.status = "queued"
        self._order = order
        self._whisper = Interpreter(self, trunk, self._callbacks, Role.WHISPER)

    # --- what happens to it ----------------------------------------------------------------------

    def hang_up(self) -> None:
        """The callee hangs up, or declines while it rings."""
        if self.is_live:
            self._finish("busy" if self.status in UNANSWERED else "completed")

    def complete(self, status: str = "completed") -> None:
        """End the call: canceled if it was not answered, whatever `status` says, else completed."""
        if self.is_live:
            self._finish("canceled" if self.status in UNANSWERED else "completed")

    def replace(self, source: Source) -> None:
        """REST: another document. A call of a <Dial> leaves that <Dial> for it."""
        if self.is_live:
            self.pulled_out = self._order.parent is not None
        super().replace(source)

    def changed(self) -> None:
        """The parent changes as well: its <Dial> waits for what its child calls do."""
        super().changed()
        if self._order.parent is not None:
            self._order.parent.changed()

    # --- its life --------------------------------------------------------------------------------

    async def _perform(self, source: Source) -> str:
        if self.status in UNANSWERED:
            outcome = await self._ring()
            if outcome != "answers":
                return outcome
            await self._picked_up()
        if self._order.parent is not None and not self.pulled_out:
            if status := await self._whisper.run(source):
                return status
            self.ready_ms = now_ms()
            self.changed()
            await asyncio.Event().wait()  # until it is ended or replaced
        return await super()._perform(source)

    async def _ring(self) -> str:
        self.status = "initiated"
        self._progress.tell("initiated")
        callee = self.callee
        longest_ms = self._order.timeout_s * self._trunk.options.ring_scale * 1000
        if callee.goes in ("answers", "no-answer"):
            self.status = "ringing"
            self.changed()
            self._progress.tell("ringing")
        if callee.goes == "no-answer" or callee.answers_after_ms > longest_ms:
            await asyncio.sleep(longest_ms / 1000)
            return "no-answer"
        await asyncio.sleep(callee.answers_after_ms / 1000)
        return callee.goes

    async def _picked_up(self) -> None:
        self.answered()
        self._progress.tell("answered")
        if digits := self._order.send_digits:
            self.spoken_by_twilio.append(Said("Play", digits, now_ms()))
        elif (detection := self._order.detection) and not detection.is_async:
            self.answered_by, after_ms = self.callee.detected(detection)
            await asyncio.sleep(after_ms / 1000)

    # --- what the callee does --------------------------------------------------------------------

    async def _talk(self) -> None:
        with suppress(CallEnded):
            await self.wait_for(lambda: self.answered_ms is not None)
            async with asyncio.TaskGroup() as group:
                for action in self._actions():
                    group.create_task(self._until_ended(action))

    async def _until_ended(self, action: Awaitable[None]) -> None:
        with suppress(CallEnded):
            await action

    def _actions(self) -> Iterator[Awaitable[None]]:
        callee, order = self.callee, self._order
        yield self._press_keys()
        if callee.hangs_up_after_ms is not None:
            yield self._leave_after(callee.hangs_up_after_ms)
        if callee.talks_ms is not None:
            yield self._talk_for(callee.talks_ms)
        if callee.machine:
            yield self._record_message()
        if callee.script is not None:
            yield callee.script(self)
        if order.time_limit_s is not None:
            yield self._leave_after(order.time_limit_s * self._trunk.options.ring_scale * 1000)
        if order.detection and order.detection.is_async and not order.send_digits:
            yield self._detect(order.detection)

    async def _press_keys(self) -> None:
        prompts = 0
        while True:
            await self.wait_for(lambda: self.prompts > prompts)  # noqa: B023 - looked at here only
            prompts += 1
            keys = self.callee.keys(prompts)
            if keys:
                await asyncio.sleep(self.callee.presses_after_ms / 1000)
            for key in keys:
                self.press(key)

    async def _leave_after(self, delay_ms: float) -> None:
        await asyncio.sleep(delay_ms / 1000)
        self.hang_up()

    async def _talk_for(self, talk_ms: float) -> None:
        await self.wait_for(lambda: self.talking_ms is not None)
        await self._leave_after(talk_ms)

    async def _record_message(self) -> None:
        callee = self.callee
        begin_ms = now_ms()
        for begin in range(0, len(callee.greeting), _PIECE_BYTES):
            self._utter(callee.greeting[begin : begin + _PIECE_BYTES])
            await _until(min(begin_ms + ulaw_ms(begin) + 100, begin_ms + callee.greeting_ms))
        await _until(begin_ms + callee.greeting_ms)
        self.beeped_ms = now_ms()
        self._utter(BEEP)
        self.changed()
        await self._leave_after(callee.record_ms)

    def _utter(self, ulaw: bytes) -> None:
        """Say it if a stream runs now; without one the audio is lost."""
        stream = self._interpreter.stream
        if stream is not None and stream in self.streams and not stream.ended.done():
            self.say(ulaw)

    async def _detect(self, detection: Detection) -> None:
        answered_by, after_ms = self.callee.detected(detection)
        await asyncio.sleep(after_ms / 1000)
        self.answered_by = answered_by
        self.changed()
        if detection.callback_url:
            params = {
                "AccountSid": self.account_sid,
                "CallSid": self.call_sid,
                "AnsweredBy": answered_by,
                "MachineDetectionDuration": str(round(after_ms)),
            }
            self._callbacks.post(detection.callback_url, params, detection.callback_method)


async def _until(at_ms: float) -> None:
    await asyncio.sleep(max(0.0, at_ms - now_ms()) / 1000)
