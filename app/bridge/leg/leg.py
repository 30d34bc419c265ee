"""One leg of a call: feeds events to the machine, and performs the commands that it answers with.

The machine decides, the leg performs. Performing a command never awaits: what is slow (opening a
session, a tool, Twilio's REST API) runs in a task whose outcome, failures included, is an event.
The caller's audio frames are no events: they go to the model directly.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from app.bridge.decisions import log_decision
from app.bridge.leg.caller_audio import CallerAudio
from app.bridge.leg.caller_side import CallerSide, Receive
from app.bridge.leg.carried_orders import CarriedOrders
from app.bridge.leg.event_log import LOGGED_EVENTS, log_event
from app.bridge.leg.inbound_limits import InboundLimits
from app.bridge.leg.model_side import ModelSide
from app.bridge.leg.rest_side import RestSide
from app.bridge.leg.secret_entries import SecretEntries
from app.bridge.leg.seed import LegSeed
from app.bridge.leg.state import LINE_EVENTS, LegState
from app.bridge.leg.timer import DeadlineTimer
from app.bridge.leg.tool_side import ToolSide
from app.bridge.leg.voice_side import VoiceSide
from app.bridge.services import Services
from app.bridge.softphone_line import SOFTPHONE
from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent
from app.call.caller.answering_machine import is_machine, verdict_of
from app.call.events import STREAM_LOST, ResumeCause
from app.call.machine import CallMachine
from app.call.words.word_times import Pace
from app.records.carried import Carried
from app.records.record import Transfers
from app.records.recording import OPEN_MS
from app.wires.twilio.media_socket import Direct, Send
from app.wires.twilio.media_stream import Start

logger = logging.getLogger(__name__)

Redirect = Callable[["Leg", do.TransferCall | do.PlayDigits], Awaitable[None]]

SAVE_EVERY_S = 5.0
SAVE_EVERY_SHARED_S = 1.0  # with other replicas, one of which may have to go on from the record
SAVE_RECORDING_S = 2.0  # for the last write of the recording
RELEASE_S = 0.5  # for cancelled tasks to end

# Before these the machine must know how much of the caller's audio was forwarded to the model.
_NEED_AUDIO_COUNT = frozenset(
    (ev.SpeechStarted, ev.SpeechStopped, ev.StreamEnded, ev.ModelLost, ev.TimerFired)
)
# What means something to the leg itself; the machine and the recorder get everything.
_NOTED = LINE_EVENTS | LOGGED_EVENTS | {ev.SessionConfigured}


class Leg(LegState):
    """Create it, call `begin`, start `run` as a task, and give it its media socket with `attach`.
    The leg after it begins with `next_seed`.

    Args:
        redirect: replaces the call's TwiML.
    """

    def __init__(self, seed: LegSeed, services: Services, redirect: Redirect) -> None:
        super().__init__(CallMachine(seed.agent), seed.began_s)
        #: What the leg began with.
        self.seed = seed
        self.call = seed.call
        self.base_url = seed.base_url
        self._services = services
        self._recorder = seed.recorder
        self._save_every_s = SAVE_EVERY_SHARED_S if services.bus.shared else SAVE_EVERY_S
        self._detected = seed.detected
        self._record_finished = False
        #: An operator's orders that no leg has carried out so far.
        self.orders = CarriedOrders(seed.orders, self._machine, self.feed, self.record_decision)
        self._tasks: set[asyncio.Task[None]] = set()
        self._tool_tasks: dict[str, asyncio.Task[None]] = {}  # by call_id
        self._timer = DeadlineTimer(
            self._now_ms,
            lambda: self._machine.next_deadline_ms,
            lambda: self.feed(ev.TimerFired()),
        )
        self._limits = InboundLimits(self.call.call_sid)
        self._model = ModelSide(
            services.open_wire,
            seed.agent,
            self.feed,
            lambda: self._audio.forward_buffered(),  # it is made below
            self._limits.bad_message,
        )
        self._audio = CallerAudio(
            self._model, self._machine, self._recorder, self._now_ms, self.feed
        )
        self._caller = CallerSide(
            self.feed, self._audio.take, self._press, self._limits, self._over,
            self._model.one_write, close_hangs_up=self.call.direction == SOFTPHONE,
        )  # fmt: skip
        self._rest = RestSide(services, self.call.call_sid, partial(redirect, self), self.feed)
        equipment, offered = seed.equipment or services.equipment, seed.agent.tools
        self._voice = VoiceSide(self.call.call_sid, equipment.voices, self.feed)
        self._secrets = SecretEntries(seed.secrets)
        self._tools = ToolSide(
            self.call, services, self.feed, self._secrets, equipment.tools, offered
        )

    @property
    def carried_s(self) -> float:
        """How long a stream carried the leg; 0 if none started."""
        return self.line.carried_s(self._now_ms())

    @property
    def paces(self) -> tuple[Pace, ...]:
        """How the agent's external voices speak, as far as the call has measured it."""
        return tuple(self._machine.paces)

    # --- life of the leg ------------------------------------------------------------------------

    def begin(self) -> None:
        """Open the model's session. Start `run` right after it."""
        self.feed(self.seed.opening())
        if self._detected is not None:
            self.feed(self._detected)

    async def run(self) -> None:
        """Run until the leg is over; then release everything, and store the end of the leg."""
        logger.info("leg opened", extra={"call_sid": self.call.call_sid})
        try:
            self._voice.prepare()
            while not self._over.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._save_every_s):
                        await self._over.wait()
                if not self._record_finished:  # else the next leg has the recorder
                    self._recorder.save(self._machine, self._now_ms())
                    self._recorder.save_carried(self._carried)
                await self._recorder.save_recording(self._now_ms() - OPEN_MS)
        except asyncio.CancelledError:
            self._cancelled = True
            raise
        except Exception:  # a bug: `Legs` logs it
            self._failed = self._failed or not self._machine.over
            raise
        finally:
            self._over.set()
            self.ready.set()
            self._timer.cancel()
            self._model.close()
            for task in self._tasks:
                task.cancel()
            await self._voice.aclose()
            if self._tasks:  # a tool may ignore its cancellation: do not wait for it
                await asyncio.wait(self._tasks, timeout=RELEASE_S)
            with suppress(TimeoutError):  # a disk may hang: store the record without it
                async with asyncio.timeout(SAVE_RECORDING_S):
                    await self._recorder.save_recording(self._now_ms())
            self.finish_record()
            self._limits.log_dropped()
            if self._machine.out_of_place:
                places = {"call_sid": self.call.call_sid, "events": {**self._machine.out_of_place}}
                logger.info("events came out of place", extra=places)
            extra = {"call_sid": self.call.call_sid, "ended_by": self.ended_by}
            logger.info("leg over", extra=extra)

    async def attach(
        self, start: Start, receive: Receive, send: Send, direct: Direct | None = None
    ) -> None:
        """Carry the leg over an accepted media socket, after its `start`; returns when the socket
        or the leg has ended. `direct`: of the server, if it offers that."""
        await self._caller.attach(start, receive, send, direct)

    def keep_for_next_leg(self, event: ev.CalleeDetected) -> None:
        """A stream that is lost does not end what an answering machine records: the call's next leg
        gets this event too, in this process or in another. A verdict against a machine is not
        replaced by another one. Works after the leg is over."""
        if self._detected is None or is_machine(verdict_of(event.answered_by)):
            self._detected = event
        if self.over:
            self._recorder.event(event, self._now_ms())

    def next_seed(
        self, resume_cause: ResumeCause = STREAM_LOST, agent: Agent | None = None
    ) -> LegSeed:
        """The seed of the leg after this one, which is over. Open that leg at once: this one writes
        no more records.

        Args:
            resume_cause: why the caller left the agent.
            agent: None: the agent of this leg.
        """
        carried, orders = self._carried, self.orders.take()
        self.finish_record()
        self._recorder.save_carried(carried)
        now_ms, agent = self._now_ms(), agent or self.seed.agent
        self._recorder.next_leg(self._machine, agent)
        return replace(
            self.seed,
            agent=agent,
            history=self._machine.history(now_ms),
            resume_cause=resume_cause,
            paces=self.paces,
            left_out=self._machine.left_out,
            detected=self._detected,
            shown=self._machine.shown(now_ms),
            secrets=self._secrets.given,
            # A transfer ends an entry: the caller's keys are for the agent again.
            secret_entry_open=resume_cause == STREAM_LOST and self._machine.masks_keys(now_ms),
            entry=self._machine.open_entry if resume_cause == STREAM_LOST else None,
            orders=orders,
        )

    def lose(self) -> None:
        """Another replica has the call: end this leg. Its sessions and its socket are closed, and
        nothing is written, hung up or redirected any more. Works after the leg is over."""
        self.lost = self._record_finished = True
        self._recorder.silence()
        self.orders.take()
        self._over.set()

    def feed(self, event: ev.Event) -> None:
        """Give an event to the machine, and perform its commands. An exception ends this leg
        alone. Ignored once the leg is over."""
        if self._over.is_set():
            return
        now_ms = self._now_ms()
        try:
            if self._audio.frames and type(event) in _NEED_AUDIO_COUNT:
                self._handle(self._audio.take_event(), now_ms)
            self._handle(event, now_ms)
            if self._recorder.is_behind(self._machine):
                self._recorder.save_turns(self._machine, now_ms)
                self._recorder.save_carried(self._carried)
        except Exception as error:  # the boundary of a call
            self._fail(error)
            return
        self._timer.set(now_ms)

    # --- the record -----------------------------------------------------------------------------

    def finish_record(self) -> None:
        """Store the end of the leg, once."""
        if not self._record_finished:
            if not self.call_continues:
                self.orders.leave_out("the call ended")
            self._recorder.save_carried(self._carried)
            self._record_finished = True
            # Handed over, a call ends without another leg if the caller hangs up meanwhile.
            handed_over = self.handed_over and self.line_lost
            self._recorder.finish(
                self._machine,
                self._now_ms(),
                ended_by="caller" if handed_over else self.ended_by,
                call_continues=self.call_continues,
            )

    @property
    def _carried(self) -> Carried:
        """What the leg leaves to the next one, if it ended now."""
        before = None if self.line.stream_sid else self.seed.entry  # its stream has not started
        return Carried(self._machine.open_entry or before, self.orders.open)

    def close_record(self, *, at_leg_end: bool = False) -> None:
        """Store the end of the call: no leg follows. `at_leg_end`: the call ended with the leg, as
        far as is known, and not now."""
        self.orders.leave_out("the call ended")
        self._recorder.close_record(self._now_ms(), at_leg_end=at_leg_end)

    def save_transfers(self, transfers: Transfers) -> None:
        """Store all transfers of the call so far."""
        self._recorder.save_transfers(transfers)

    def give_up(self, ended_by: str, reason: str) -> None:
        """End the leg because its call must go on without the agent: then transfer the caller, or
        apologise. `ended_by`: for the record."""
        self.record_decision("line given up", reason)
        self.given_up = ended_by
        if self._record_finished:
            self._recorder.ended_by(ended_by)
        self.feed(ev.StreamEnded(reason, lost=True))

    def record_decision(self, decision: str, reason: str, *, logged: bool = False) -> None:
        """Record and log a decision about this call, also after the leg is over. Call it on the
        last leg of a call only: it has the recorder. `logged`: the log has it already."""
        event = ev.DecisionMade(decision, reason)
        if self.over:
            self._recorder.event(event, self._now_ms())
            if self._record_finished:
                self._recorder.save_timeline()
        else:
            self.feed(event)
        if not logged:
            log_decision(self.call.call_sid, decision, reason)

    # --- the caller -----------------------------------------------------------------------------

    def _press(self, event: ev.DigitPressed) -> None:
        """A key of the caller's; the machine gets a mask in place of a secret one."""
        now_ms = self._now_ms()
        if self._limits.accepts_key(now_ms):
            if self._machine.masks_keys(now_ms):
                event = self._secrets.mask(self._machine.secret_entry(now_ms), event)
            self.feed(event)

    # --- performing commands ----------------------------------------------------------------------

    def _handle(self, event: ev.Event, now_ms: float) -> None:
        self._recorder.event(event, now_ms)
        for command in self._machine.handle(event, now_ms):
            self._recorder.command(command, now_ms)
            self._perform(command)
        self._audio.forward_buffered()
        if type(event) in _NOTED:
            self._note(event, now_ms)

    def _note(self, event: ev.Event, now_ms: float) -> None:
        self.line.take(event, now_ms)
        match event:
            case ev.StreamStarted():
                self.orders.carry_out()
            case ev.SessionConfigured() | ev.ModelLost(fatal=True):
                self.ready.set()
            case ev.ModelFaulted() | ev.SuccessorLost():
                self._services.refused_settings.update(self._machine.refused_settings)
        log_event(self.call.call_sid, event)

    def _perform(self, command: do.Command) -> None:
        match command:
            case do.PlayAudio() | do.SendMark() | do.ClearAudio():
                self._caller.send(command)
            case do.OpenModel():
                self._start(self._model.open())
            case do.OpenSuccessor():
                self._start(self._model.open_successor())
            case do.SwapModel(audio_from_ms, audio_most_ms):
                self._audio.carry_over(audio_from_ms, audio_most_ms)
                self._model.swap()
                log_event(self.call.call_sid, command)
            case do.Synthesize():
                self._voice.say(command)
            case do.DropSynthesis(utterance_id):
                self._voice.drop(utterance_id)
            case do.PauseModel() | do.ResumeModel():
                self._model.pause(isinstance(command, do.PauseModel))
            case do.RunTool(call_id, name, arguments):
                self._tool_tasks[call_id] = self._start(self._tools.run(call_id, name, arguments))
            case do.CancelTool(call_id):
                if call_id in self._tool_tasks:
                    self._tool_tasks.pop(call_id).cancel()
            case do.GiveDigits():
                self._tools.give(command)
            case do.MuteCaller() | do.UnmuteCaller():
                self._audio.muted = isinstance(command, do.MuteCaller)
            case do.TransferCall() | do.PlayDigits():
                self.redirect.order(command)
                self._start(self._rest.redirect(command))
            case do.HangUp():
                self._start(self._rest.hang_up())
            case do.CloseStream():
                self._caller.close()
            case do.ReportDecision(decision, reason):
                log_decision(self.call.call_sid, decision, reason)
            case do.ReportInterruption() | do.ReportSilence():
                pass  # the timeline has it
            case do.EndLeg():
                self._over.set()
            case _:
                self._model.perform(command)

    # --- tasks ------------------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """A bug: end this leg. Twilio goes on with the TwiML behind the stream."""
        logger.error("leg failed", exc_info=error, extra={"call_sid": self.call.call_sid})
        if self._over.is_set():  # how it ended is stored; the next leg may have the recorder
            return
        self._failed = True
        try:
            self._handle(ev.LegFailed(), self._now_ms())
        except Exception as again:  # the machine itself cannot go on
            logger.error("leg failed twice", exc_info=again, extra={"call_sid": self.call.call_sid})
        self._over.set()
