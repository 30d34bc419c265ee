"""A scene for the call machine: a virtual clock, a virtual Twilio, and a method for each event."""

import heapq
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from random import Random
from typing import Self, TypeVar

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent, Limits, TurnTaking
from app.call.destinations import Destination
from app.call.machine import CallMachine
from app.call.timeline import Timeline
from app.simulator.twilio.media.playback import PlaybackClock

BYTES_PER_MS = 8
DELTA_MS = 100
ANSWERS_AFTER_MS = 50

AGENT = Agent("Ada", "Be kind.", limits=Limits(idle_ms=0, longest_call_ms=0))
"""An agent without idle prompts and longest call, so that only the test's own events count."""

C = TypeVar("C", bound=do.Command)


def agent(
    *,
    greeting: str = "",
    interruptible: bool = True,
    limits: Limits = AGENT.limits,
    destinations: tuple[Destination, ...] = (),
) -> Agent:
    turns = TurnTaking(interruptible=interruptible)
    return replace(AGENT, greeting=greeting, turns=turns, limits=limits, destinations=destinations)


class Line:
    """Twilio at the end of a network: plays what arrives, echoes marks, in virtual time."""

    def __init__(self, up_ms: float, down_ms: float, jitter_ms: float, random: Random) -> None:
        """
        Args:
            up_ms, down_ms: One-way delays to Twilio and back.
            jitter_ms: By how much the delay of a message may differ. No message overtakes another.
        """
        self.clock = PlaybackClock()
        self.item_ids: list[str] = []  # whose audio each of `clock.media` is
        self.cleared_ms = 0.0  # when the last clear took effect
        self.echoes = True  # False: every mark is lost
        self.up_ms, self._down_ms, self._jitter_ms = up_ms, down_ms, jitter_ms
        self._random = random
        self._last_up_ms = self._last_down_ms = 0.0

    def up(self, now_ms: float) -> float:
        """When a message that is sent now reaches Twilio."""
        self._last_up_ms = max(self._last_up_ms, now_ms + self._delay(self.up_ms))
        return self._last_up_ms

    def down(self, now_ms: float) -> float:
        """When a message that Twilio sends now reaches the machine."""
        self._last_down_ms = max(self._last_down_ms, now_ms + self._delay(self._down_ms))
        return self._last_down_ms

    def _delay(self, base_ms: float) -> float:
        return max(0.0, base_ms + self._random.uniform(-self._jitter_ms, self._jitter_ms))

    def take(self, command: do.ToStream, now_ms: float) -> list[str]:
        """A message arrives. Returns the marks to echo because of it."""
        match command:
            case do.PlayAudio(item_id, _, size_bytes):
                self.item_ids.append(item_id)
                assert self.clock.play(bytes(size_bytes), now_ms)
            case do.SendMark(name):
                self.clock.mark(name, now_ms)
            case do.ClearAudio():
                self.cleared_ms = now_ms
                return self.clock.clear(now_ms)
        return self.clock.due_marks(now_ms)

    def heard_bytes(self, item_id: str, at_ms: float) -> int:
        """How much of an item the caller heard by then."""
        media = zip(self.item_ids, self.clock.media, strict=True)
        return sum(piece.heard_bytes(at_ms) for whose, piece in media if whose == item_id)

    def silences_ms(self, from_ms: float, until_ms: float) -> list[float]:
        """How long each silence lasted that the caller heard in between."""
        edges = [from_ms]
        for begin_ms, end_ms in self.clock.spans(until_ms):
            edges += [max(begin_ms, from_ms), max(end_ms, from_ms)]
        edges.append(until_ms)
        return [edges[i + 1] - edges[i] for i in range(0, len(edges), 2)]


class Scene:
    """Feeds events at their times, fires the timer when it is due, and remembers every command."""

    def __init__(
        self,
        agent: Agent = AGENT,
        *,
        up_ms: float = 20.0,
        down_ms: float = 20.0,
        jitter_ms: float = 0.0,
        random: Random | None = None,
    ) -> None:
        self.agent = agent
        self.machine = CallMachine(agent)
        self.timeline = Timeline()
        self.line = Line(up_ms, down_ms, jitter_ms, random or Random(0))
        self.now_ms = 0.0
        self.commands: list[tuple[float, do.Command]] = []
        self.decisions: list[do.ReportDecision] = []  # kept apart: they go to the log
        self.answers_ms: int | None = None  # the model responds to each request with so much speech
        self._taken = 0
        self._pending: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()
        self._numbers = count(1)
        self._echo_due_ms: float | None = None

    # --- time -----------------------------------------------------------------------------------

    def feed(self, *events: ev.Event) -> list[do.Command]:
        """These events happen now, in this order. Returns the commands that the machine returns."""
        ordered: list[do.Command] = []
        for event in events:
            self.timeline.event(event, self.now_ms)
            for command in self.machine.handle(event, self.now_ms):
                self.timeline.command(command, self.now_ms)
                if isinstance(command, do.ReportDecision):
                    self.decisions.append(command)
                    continue
                self.commands.append((self.now_ms, command))
                ordered.append(command)
                if isinstance(command, do.CreateResponse) and self.answers_ms is not None:
                    self.later(ANSWERS_AFTER_MS, partial(self.respond, self.answers_ms))
                if isinstance(command, do.PlayAudio | do.SendMark | do.ClearAudio):
                    self._send(command)
        return ordered

    def later(self, after_ms: float, act: Callable[[], object]) -> None:
        """Do this in a while, when time is run so far."""
        heapq.heappush(self._pending, (self.now_ms + after_ms, next(self._order), act))

    def run(self, ms: float) -> None:
        self.run_until(self.now_ms + ms)

    def run_until(self, at_ms: float) -> None:
        """Let time pass: messages arrive, and the timer fires whenever it is due."""
        while True:
            pending_ms = self._pending[0][0] if self._pending else float("inf")
            due_ms = min(pending_ms, self.machine.next_deadline_ms)
            if due_ms > at_ms:
                break
            assert due_ms >= self.now_ms, "a deadline in the past"
            self.now_ms = due_ms
            if pending_ms <= due_ms:
                heapq.heappop(self._pending)[2]()
            else:
                self.feed(ev.TimerFired())
                assert self.machine.next_deadline_ms > self.now_ms, "a busy loop"
        self.now_ms = at_ms

    # --- the line -------------------------------------------------------------------------------

    def _send(self, command: do.ToStream) -> None:
        def arrive() -> None:
            self._echo(self.line.take(command, self.now_ms))
            self._await_mark()

        self.later(self.line.up(self.now_ms) - self.now_ms, arrive)

    def _await_mark(self) -> None:
        due_ms = self.line.clock.next_mark_ms
        if due_ms is None or due_ms == self._echo_due_ms:
            return
        self._echo_due_ms = due_ms

        def reach() -> None:
            self._echo(self.line.clock.due_marks(self.now_ms))
            self._await_mark()

        self.later(due_ms - self.now_ms, reach)

    def _echo(self, names: list[str]) -> None:
        for name in names:
            if self.line.echoes:
                after_ms = self.line.down(self.now_ms) - self.now_ms
                self.later(after_ms, partial(self.feed, ev.MarkEchoed(name)))

    # --- what was ordered -----------------------------------------------------------------------

    def take(self) -> list[do.Command]:
        """The commands since the last take."""
        taken = [command for _, command in self.commands[self._taken :]]
        self._taken = len(self.commands)
        return taken

    def all(self, kind: type[C]) -> list[C]:
        """Every command of this kind so far."""
        return [command for _, command in self.commands if isinstance(command, kind)]

    def when(self, kind: type[do.Command]) -> list[float]:
        """When commands of this kind were given."""
        return [at_ms for at_ms, command in self.commands if isinstance(command, kind)]

    def asked(self) -> list[str]:
        """The directions of all requested responses; empty ones are plain answers."""
        return [request.direction for request in self.all(do.CreateResponse)]

    def outputs(self) -> list[str]:
        """The outputs of tool calls that the model got, in order."""
        return [answer.output for answer in self.all(do.AddToolOutput)]

    def messages(self) -> list[tuple[str, str]]:
        """The text put into the conversation, as (role, text)."""
        return [(message.role, message.text) for message in self.all(do.AddMessage)]

    # --- a call ---------------------------------------------------------------------------------

    def configure(self) -> list[do.Command]:
        """The model's session opens and takes the settings."""
        return self.feed(ev.ModelOpened(), ev.SessionConfigured())

    def connect(self) -> Self:
        """Connect the caller and configure the session, and let the round trip be measured."""
        self.feed(ev.LegOpened())
        self.configure()
        self.feed(ev.StreamStarted("MZ1"))
        self.run(1000)
        self.take()
        return self

    # --- the agent ------------------------------------------------------------------------------

    def begin(self, item_id: str = "item_1", response_id: str = "resp_1") -> list[do.Command]:
        """A response begins, and its message."""
        return self.feed(
            ev.ResponseCreated(response_id), ev.OutputItemAdded(response_id, item_id, "message")
        )

    def audio(
        self, ms: int, item_id: str = "item_1", response_id: str = "resp_1"
    ) -> list[do.Command]:
        """So much speech comes at once, in deltas of 100 ms."""
        sizes = [DELTA_MS] * (ms // DELTA_MS) + ([ms % DELTA_MS] if ms % DELTA_MS else [])
        return self.feed(
            *(ev.AudioReceived(response_id, item_id, "", size * BYTES_PER_MS) for size in sizes)
        )

    def finish(
        self, item_id: str = "item_1", response_id: str = "resp_1", status: str = "completed"
    ) -> list[do.Command]:
        """The message ends, and its response."""
        item_status = "completed" if status == "completed" else "incomplete"
        return self.feed(
            ev.OutputItemDone(response_id, item_id, "message", item_status),
            ev.ResponseDone(response_id, status),
        )

    def answer(
        self, ms: int, item_id: str = "item_1", response_id: str = "resp_1", text: str = ""
    ) -> list[do.Command]:
        """A whole answer comes at once."""
        commands = self.begin(item_id, response_id)
        if text:
            commands += self.feed(ev.TranscriptReceived(item_id, text))
        commands += self.audio(ms, item_id, response_id)
        return commands + self.finish(item_id, response_id)

    def call_tool(
        self,
        call_id: str = "call_1",
        name: str = "look_up",
        response_id: str = "resp_1",
        arguments: str = "{}",
    ) -> list[do.Command]:
        """The response under way calls a tool."""
        item_id = f"item_{call_id}"
        return self.feed(
            ev.OutputItemAdded(response_id, item_id, "function_call"),
            ev.OutputItemDone(
                response_id, item_id, "function_call", "completed", call_id, name, arguments
            ),
        )

    def tool_response(self, *call_ids: str, response_id: str = "resp_1") -> list[do.Command]:
        """A response that calls these tools and nothing else."""
        commands = self.feed(ev.ResponseCreated(response_id))
        for call_id in call_ids:
            commands += self.call_tool(call_id, response_id=response_id)
        return commands + self.feed(ev.ResponseDone(response_id, "completed"))

    # --- the caller -----------------------------------------------------------------------------

    def speak(self, item_id: str = "user_1") -> list[do.Command]:
        return self.feed(ev.SpeechStarted(item_id, 0))

    def press(self, digits: str, gap_ms: float = 0.0) -> list[do.Command]:
        """These keys, with so much time between two of them."""
        commands: list[do.Command] = []
        for number, digit in enumerate(digits):
            if number:
                self.run(gap_ms)
            commands += self.feed(ev.DigitPressed(digit))
        return commands

    def fall_silent(self, item_id: str = "user_1", text: str = "") -> list[do.Command]:
        commands = self.feed(ev.SpeechStopped(item_id, 0), ev.CallerTurnCommitted(item_id, None))
        return commands + (self.feed(ev.CallerTranscribed(item_id, text)) if text else [])

    def respond(self, ms: int = 500) -> None:
        """Respond to the last request with so much speech."""
        number = next(self._numbers)
        self.answer(ms, f"said_{number}", f"resp_said_{number}")

    def heard(self) -> list[tuple[str, str]]:
        """The transcript as (role, heard text)."""
        return [(t.role, t.heard_text) for t in self.machine.transcript(self.now_ms)]
