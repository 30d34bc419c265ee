"""One leg of a call: feeds what happens to the machine, and does what it says.

The machine decides, the leg does. Performing a command never waits: what is slow (opening a
session, a tool, Twilio's REST) is a task that comes back as an event, its failure too. Only the
caller's frames do not pass the machine: they go straight to the model.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from contextlib import suppress
from time import monotonic, time
from typing import Any

from app.bridge.decisions import log_decision
from app.bridge.leg.caller_side import CallerAudio
from app.bridge.leg.model_side import ModelSide
from app.bridge.leg.state import LegState
from app.bridge.leg.surplus import Surplus
from app.bridge.leg.timer import DeadlineTimer
from app.bridge.leg.tool_side import ToolRuns
from app.bridge.leg.voice_side import VoiceSide
from app.bridge.services import Services
from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent
from app.call.events import STREAM_LOST, ResumeCause
from app.call.machine import CallMachine
from app.errors import ProtocolError, TwilioError
from app.records.recorder import Past
from app.records.recording import OPEN_MS
from app.records.schema import Transfers
from app.wires.realtime import codec as realtime
from app.wires.twilio import media_stream
from app.wires.twilio.call import CallInfo
from app.wires.twilio.media_socket import MediaOutbox, Send
from app.wires.twilio.media_stream import Encoder, Media, Start

logger = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Redirect = Callable[["Leg", do.TransferCall | do.PlayDigits], Awaitable[None]]
DeliverTo = Callable[[Callable[[bytes], None]], None]

SAVE_EVERY_S = 5.0
SAVE_SOUND_S = 2.0
RELEASE_S = 0.5  # for cancelled tasks to end


# Before these the machine is told how much of the caller's audio went to the model.
_TELLS_FRAMES = (ev.SpeechStarted, ev.SpeechStopped, ev.StreamEnded, ev.ModelLost, ev.TimerFired)


class Leg(LegState):
    """Create it, `begin`, start `run` as a task, and give it the media socket with `carry`.

    `base_url`: where Twilio reaches this service. `redirect`: replaces the call's TwiML. `after`:
    the leg before, when this one goes on with its call; `past`: what the store knows of the call,
    when another process had it; `returned`: why the caller had left the agent, if not by accident.
    """

    def __init__(
        self,
        call: CallInfo,
        services: Services,
        base_url: str,
        redirect: Redirect,
        *,
        agent: Agent | None = None,
        after: "Leg | None" = None,
        past: Past | None = None,
        returned: ResumeCause = STREAM_LOST,
    ) -> None:
        self._agent: Agent = agent or (after._agent if after else services.agent.agent)
        super().__init__(CallMachine(self._agent))
        self.call = call
        self.base_url = base_url
        self.earlier_transfers: list[Any] = past.transfers if past else []
        self.ready = asyncio.Event()  # the session is configured, or will not be
        #: What is left to an answering machine, if one answered; also on the call's next leg.
        self.voicemail: ev.VoicemailReached | None = after.voicemail if after else None
        self._services = services
        self._redirect = redirect
        self._loop = asyncio.get_running_loop()
        history: tuple[tuple[str, str], ...] = past.history if past else ()
        if after is None:
            self._recorder = services.recorder(call, self._agent, past)
            # finer than the loop's clock, which uvloop rounds to 1 ms
            self._began_s = monotonic() - (past.age_s if past else 0)
        else:
            after.finish_record()
            self._recorder, self._began_s = after._recorder, after._began_s
            history = after._machine.history(self._now_ms())
            self._recorder.next_leg(after._machine, self._agent)
        self._opened = ev.LegOpened(
            history,
            time(),
            returned.tool,
            returned.call_id,
            returned.output,
            tuple(services.paces),
        )
        self._record_finished = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._tools: dict[str, asyncio.Task[None]] = {}
        self._alarm = DeadlineTimer(
            self._now_ms,
            lambda: self._machine.next_deadline_ms,
            lambda: self.feed(ev.TimerFired()),
        )
        self._surplus = Surplus(call.call_sid)
        self._voice = VoiceSide(call.call_sid, services.voices, self.feed)
        self._model = ModelSide(
            services.model, self.feed, self._send_early, self._surplus.bad_message
        )
        self._runs = ToolRuns(call, services.agent.tools, self.feed)
        self._outbox: MediaOutbox | None = None
        self._encoder = Encoder("")
        self._audio = CallerAudio()

    @property
    def carried_s(self) -> float:
        """How long a stream carried the leg; 0 if none ever did."""
        return self.line.carried_s(self._now_ms())

    def finish_record(self) -> None:
        """Store the end of the leg, once."""
        if not self._record_finished:
            self._record_finished = True
            self._recorder.finish(
                self._machine,
                self._now_ms(),
                ended_by=self.ended_by,
                call_goes_on=self.goes_on,
            )

    def handed_over(self, transfers: Transfers) -> None:
        """The call was handed to these humans so far, or was to be."""
        self._recorder.handed_over(transfers)

    def call_over(self, *, at_its_end: bool = False) -> None:
        """Nothing comes after this leg. `at_its_end`: the call is known of until the leg ended."""
        self._recorder.call_over(at_its_end=at_its_end)

    def give_up(self, ended_by: str, reason: str) -> None:
        """End the leg, whose call goes on without the agent: with a human, or an apology.
        `ended_by`: what the record says that the call ended by."""
        self.decided("line given up", reason)
        self.given_up = ended_by
        if self._record_finished:
            self._recorder.ended_by(ended_by)
        self.feed(ev.StreamEnded(reason, lost=True))

    def decided(self, decision: str, reason: str) -> None:
        """Record and log what the service decided about this call by itself, also when the leg is
        over. Of a call's legs only the last one may be told."""
        event = ev.DecisionMade(decision, reason)
        if self.over:
            self._recorder.event(event, self._now_ms())
            if self._record_finished:
                self._recorder.save_timeline()
        else:
            self.feed(event)
        log_decision(self.call.call_sid, decision, reason)

    def begin(self) -> None:
        """Open the model's session. Start `run` right after it."""
        self.feed(self._opened)
        if self.voicemail is not None:
            self.feed(self.voicemail)

    async def run(self) -> None:
        """Live until the leg is over, then let go of everything and store what is left."""
        logger.info("leg opened", extra={"call_sid": self.call.call_sid})
        try:
            self._voice.prepare()
            while not self._over.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(SAVE_EVERY_S):
                        await self._over.wait()
                if not self._record_finished:  # else the recorder is the next leg's
                    self._recorder.save(self._machine, self._now_ms())
                await self._recorder.save_sound(self._now_ms() - OPEN_MS)
        finally:
            self._over.set()
            self.ready.set()
            self._alarm.cancel()
            self._model.close()
            for task in self._tasks:
                task.cancel()
            await self._voice.aclose()
            if self._tasks:  # a tool may refuse to go: nobody waits for it
                await asyncio.wait(self._tasks, timeout=RELEASE_S)
            with suppress(TimeoutError):  # a disk may hang: the record does not wait for it
                async with asyncio.timeout(SAVE_SOUND_S):
                    await self._recorder.save_sound(self._now_ms())
            self.finish_record()
            self._surplus.tell()
            self._services.paces[:] = self._machine.paces
            logger.info(
                "leg over",
                extra={"call_sid": self.call.call_sid, "ended_by": self._machine.ended_by},
            )

    def feed(self, event: ev.Event) -> None:
        """Tell the machine, and do what it says. An error in here ends this leg alone."""
        if self._over.is_set():
            return
        now_ms = self._now_ms()
        try:
            if self._audio.frames and isinstance(event, _TELLS_FRAMES):
                self._handle(self._audio.told(), now_ms)
            self._handle(event, now_ms)
            if self._recorder.is_behind(self._machine):
                self._recorder.save_turns(self._machine, now_ms)
        except Exception as error:  # the boundary of a call: nothing gets past it
            self._fail(error)
            return
        self._alarm.set(now_ms)

    def _later(self, event: ev.Event) -> None:
        """Tell the machine as soon as it is not being told something else."""
        self._loop.call_soon(self.feed, event)

    # --- the caller's side ----------------------------------------------------------------------

    async def carry(
        self, start: Start, receive: Receive, send: Send, deliver_to: DeliverTo | None = None
    ) -> None:
        """Join an accepted media socket, past its `start`; returns when it or the leg has ended.
        `deliver_to`: how the server delivers messages directly, if it can."""
        self._encoder = Encoder(start.stream_sid)
        self._outbox = MediaOutbox(
            send,
            on_blocked=lambda: self._later(ev.StreamBlocked()),
            on_unblocked=lambda: self._later(ev.StreamUnblocked()),
        )
        self.feed(ev.StreamStarted(start.stream_sid))
        reader = asyncio.create_task(self._read_stream(receive, deliver_to))
        ends: set[asyncio.Task[Any]] = {
            reader,
            asyncio.create_task(self._outbox.run()),
            asyncio.create_task(self._over.wait()),
        }
        try:
            while True:
                done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                if reader in done or self._over.is_set():
                    break
                ends -= done  # the writer is through: the socket closes, and its reader hears of it
                if any(task.exception() for task in done):
                    break
        finally:
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
            self.feed(ev.StreamEnded("media socket closed", lost=True))

    async def _read_stream(self, receive: Receive, deliver_to: DeliverTo | None) -> None:
        """Read until the socket closes. What a server can deliver directly does not pass
        `receive`, which takes a task's turn for every frame."""
        if deliver_to is not None:
            deliver_to(self._take)
        while (message := await receive())["type"] != "websocket.disconnect":
            self._take(message.get("text") or message.get("bytes") or b"")
        reason = f"media socket closed with code {message.get('code')}"
        self.feed(ev.StreamEnded(reason, lost=True))

    def _take(self, message: str | bytes) -> None:
        """A message of Twilio's: frames to the model, everything else to the machine."""
        try:
            decoded = media_stream.decode(message)
            if isinstance(decoded, Media):
                self._hear(decoded)
            elif isinstance(decoded, Start):
                raise ProtocolError("Twilio started the stream twice")
            elif isinstance(decoded, ev.MarkEchoed):
                if self._surplus.takes_mark():
                    self.feed(decoded)
            elif isinstance(decoded, ev.DigitPressed):
                now_ms = self._now_ms()
                if self._surplus.takes_key(now_ms):
                    secret = self._machine.masks_keys(now_ms)
                    self.feed(self._runs.masked(decoded) if secret else decoded)
            elif decoded is not None:
                self.feed(decoded)
        except ProtocolError as error:
            self._surplus.bad_message("Twilio", error)

    def _hear(self, media: Media) -> None:
        if self._audio.muted:
            media = self._audio.silenced(media)
        if self._recorder.keeps_sound:
            self._recorder.heard(media.payload, media.timestamp, self._now_ms())
        model = self._model.socket
        if model is not None and self._machine.hears_caller and model.writable:
            self._audio.forward(media, model)
        else:
            self._audio.keep(media)

    def _send_early(self) -> None:
        """What the caller said while no session took it."""
        model = self._model.socket
        if model is not None and self._machine.hears_caller:
            self._audio.forward_early(model)

    # --- doing what the machine says --------------------------------------------------------------

    def _handle(self, event: ev.Event, now_ms: float) -> None:
        self._recorder.event(event, now_ms)
        for command in self._machine.handle(event, now_ms):
            self._recorder.command(command, now_ms)
            self._perform(command)
        self.line.take(event, now_ms)
        match event:
            case ev.SessionConfigured():
                self.ready.set()
                self._send_early()
            case ev.ModelLost(reason, fatal):
                extra = {"call_sid": self.call.call_sid, "reason": reason, "fatal": fatal}
                logger.warning("no model session", extra=extra)
                if fatal:
                    self.ready.set()
            case ev.ModelFaulted(code, message):
                extra = {"call_sid": self.call.call_sid, "code": code, "error": message}
                logger.warning("model reported an error", extra=extra)
            case ev.HangUpFailed(reason):
                extra = {"call_sid": self.call.call_sid, "reason": reason}
                logger.error("hang-up failed", extra=extra)

    def _perform(self, command: do.Command) -> None:
        match command:
            case do.PlayAudio() | do.SendMark() | do.ClearAudio():
                if isinstance(command, do.SendMark):
                    self._surplus.mark_sent()
                if self._outbox is not None:
                    self._outbox.put(self._encoder.encode(command))
            case do.OpenModel():
                self._start(self._model.open())
            case do.CloseModel():
                self._model.close()
            case do.Synthesize():
                self._voice.say(command)
            case do.DropSynthesis(utterance_id):
                self._voice.drop(utterance_id)
            case do.PauseModel() | do.ResumeModel():
                self._model.pause(isinstance(command, do.PauseModel))
            case do.RunTool(call_id, name, arguments):
                self._tools[call_id] = self._start(self._runs.run(call_id, name, arguments))
            case do.CancelTool(call_id):
                if call_id in self._tools:
                    self._tools.pop(call_id).cancel()
            case do.GiveDigits():
                self._runs.give(command)
            case do.MuteCaller() | do.UnmuteCaller():
                self._audio.muted = isinstance(command, do.MuteCaller)
            case do.TransferCall() | do.PlayDigits():
                self.left_with = command
                self._start(self._leave(command))
            case do.HangUp():
                self._start(self._hang_up())
            case do.CloseStream():
                if self._outbox is not None:
                    self._outbox.close()
            case do.ReportDecision(decision, reason):
                log_decision(self.call.call_sid, decision, reason)
            case do.EndLeg():
                self._over.set()
            case _:
                self._model.send(realtime.encode(command, self._agent))

    async def _leave(self, command: do.TransferCall | do.PlayDigits) -> None:
        try:
            await self._redirect(self, command)
        except TwilioError as error:
            why = f"status {error.status}" if error.status else "it could not be reached"
            self.feed(ev.RedirectFailed(f"the telephone network refused, {why}"))
        else:
            self.feed(ev.CallRedirected())

    async def _hang_up(self) -> None:
        if self._services.rest is None:
            self.feed(ev.HangUpFailed("no Twilio credentials; the TwiML ends the call"))
            return
        try:
            await self._services.rest.hang_up(self.call.call_sid)
        except TwilioError as error:
            # "No such call" of a call whose stream lives is wrong: the stream is right.
            self.feed(ev.HangUpFailed(str(error)))
        else:
            self.feed(ev.HangUpConfirmed())

    # --- the rest ---------------------------------------------------------------------------------

    def _now_ms(self) -> float:
        return round((monotonic() - self._began_s) * 1000, 3)

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
        """A fault of ours: this leg ends, and Twilio goes on with what its TwiML says next."""
        logger.error("leg failed", exc_info=error, extra={"call_sid": self.call.call_sid})
        self._machine.ended_by = "error"
        self._over.set()
