"""Metrics of all calls for Prometheus, counted from the events and commands that watchers see.

Every label comes from a closed list of this module, and the tools' names from the agent file:
`docs/metrics.md` has them all. What is in no list is counted as `other`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_args

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent
from app.call.exits.attempts import CALLER_GONE, FAILED, NOT_TAKEN, TAKEN
from app.call.exits.built_in_tools import BUILT_IN, END_CALL
from app.call.model_session import REPLACE_SESSION
from app.records.response_clock import ResponseClock
from app.records.watching import CallEnded, Selective, TransferEnded, Watched
from app.web.exposition import Counter, Family, Histogram
from app.wires.twilio.call import CallInfo

OTHER = "other"
DIRECTIONS = ("inbound", "outbound-api", "softphone", OTHER)
ENDED_BY = (
    "caller", "agent", "operator", "transfer", "send_digits", "voicemail", "idle", "limit", "busy",
    "model", "line", "handshake", "stuck", "unclaimed", "shutdown", "error", "unanswered", OTHER,
)  # fmt: skip
VERDICTS = get_args(do.Verdict)
OUTCOMES = (TAKEN, NOT_TAKEN, "busy", "no-answer", FAILED, CALLER_GONE, OTHER)
REASONS = ("closed", "expired", "refused", "unreachable", "replaced")
CAUSES = get_args(do.Cause)
TOOL_OUTCOMES = ("returned", "failed", "canceled")

#: Of histograms, in seconds.
BUCKETS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0)
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
#: Legs that are followed at a time. Past it the oldest go: their process had no end of them.
MOST_LEGS = 10_000


@dataclass(slots=True)
class _Leg:
    """What the metrics need of a leg that lives."""

    #: A session with the model is open.
    session: bool = False
    clock: ResponseClock = field(default_factory=ResponseClock)
    #: (name, when it was called) of the open tool calls, by call_id.
    tools: dict[str, tuple[str, float]] = field(default_factory=dict)
    #: The call_id of every tool call: the end of its response lists it again.
    calls: set[str] = field(default_factory=set)


class Metrics:
    """The metrics of one service.

    Args:
        agent: its tools are labels; its turn taking says whether interruptions are reported.
        live_calls: returns how many calls are live now.
    """

    def __init__(self, agent: Agent, live_calls: Callable[[], int]) -> None:
        #: The values of `tool`.
        self.tools = (*BUILT_IN, *(t.name for t in agent.tools if t.name not in BUILT_IN), OTHER)
        turns = agent.turns
        self._reported = turns.interruptible and turns.resume_false_interruptions
        self._legs: dict[str, _Leg] = {}  # by call SID
        self._registry = registry = CollectorRegistry()
        # Of all threads, those of the database too. Linux.
        ProcessCollector(registry=registry)
        live = Gauge("phone_agent_live_calls", "Calls that have not ended.", registry=registry)
        live.set_function(live_calls)
        self._calls = Counter(
            "phone_agent_calls",
            "Calls that ended.",
            {"direction": DIRECTIONS, "ended_by": ENDED_BY},
        )
        self._response = Histogram(
            "phone_agent_response_seconds",
            "From the caller's last sound to the first byte sent of the agent's answer.",
            buckets=BUCKETS,
        )
        self._interruptions = Counter(
            "phone_agent_interruptions",
            "Sounds of callers while the agent spoke, by what they were.",
            {"verdict": VERDICTS},
        )
        self._transfers = Counter(
            "phone_agent_transfers",
            "Attempts to transfer a caller to a human.",
            {"outcome": OUTCOMES},
        )
        self._lost = Counter(
            "phone_agent_model_sessions_lost",
            "Sessions with the model that ended during a call, or could not be opened.",
            {"reason": REASONS},
        )
        self._silences = Counter(
            "phone_agent_silences",
            "Waits over 4 s in which nothing was heard.",
            {"cause": CAUSES},
        )
        self._tool = Histogram(
            "phone_agent_tool_seconds",
            "Tool calls, from the model's call to its end.",
            {"tool": self.tools, "outcome": TOOL_OUTCOMES},
            buckets=BUCKETS,
        )
        self._cost = Counter(
            "phone_agent_cost_usd",
            "Cost of the calls that ended, as far as prices are known.",
        )
        self._families: tuple[Family, ...] = (
            self._calls, self._response, self._interruptions, self._transfers, self._lost,
            self._silences, self._tool, self._cost,
        )  # fmt: skip
        self._handlers: dict[type, Callable[[CallInfo, Any, float], None]] = {
            do.PlayAudio: self._played,
            do.ClearAudio: self._cleared,
            do.ReportInterruption: self._interrupted,
            do.ReportSilence: self._silent,
            do.ReportDecision: self._decided,
            do.RunTool: self._tool_runs,
            do.CancelTool: self._tool_canceled,
            do.AddToolOutput: self._tool_returned,
            do.TransferCall: self._tool_returned,
            do.PlayDigits: self._tool_returned,
            do.HangUp: self._said_goodbye,
            do.CloseStream: self._said_goodbye,
            do.EndLeg: self._leg_ended,
            do.SwapModel: self._session_opened,
            ev.LegOpened: self._leg_opened,
            ev.ModelOpened: self._session_opened,
            ev.ModelLost: self._session_lost,
            ev.CallerAudioForwarded: self._caller_counted,
            ev.SpeechStarted: self._caller_acted,
            ev.DigitPressed: self._caller_acted,
            ev.SpeechStopped: self._caller_stopped,
            ev.OutputItemDone: self._item_done,
            ev.ResponseDone: self._response_done,
            ev.ToolReturned: self._tool_returned,
            ev.ToolFailed: self._tool_failed,
            TransferEnded: self._transfer_ended,
            CallEnded: self._call_ended,
        }
        #: Put it among `Services.watchers`.
        self.watcher = Selective(self.watch, frozenset(self._handlers))

    def page(self) -> bytes:
        """All metrics in Prometheus' text format, see `CONTENT_TYPE`."""
        counted = "".join([family.text() for family in self._families])
        return generate_latest(self._registry) + counted.encode()

    def watch(self, call: CallInfo, message: Watched, now_ms: float) -> None:
        """Count an event or a command of a call, or its end."""
        handle = self._handlers.get(type(message))
        if handle is not None:
            handle(call, message, now_ms)

    # --- a leg ----------------------------------------------------------------------------------

    def _leg_opened(self, call: CallInfo, _event: ev.LegOpened, _now_ms: float) -> None:
        if len(self._legs) >= MOST_LEGS:
            del self._legs[next(iter(self._legs))]
        self._legs[call.call_sid] = _Leg()

    def _leg_ended(self, call: CallInfo, _command: do.EndLeg, _now_ms: float) -> None:
        self._legs.pop(call.call_sid, None)

    def _call_ended(self, call: CallInfo, end: CallEnded, _now_ms: float) -> None:
        self._legs.pop(call.call_sid, None)
        direction = _of(DIRECTIONS, call.direction)
        self._calls.inc(direction, _of(ENDED_BY, end.ended_by or "unanswered"))
        self._cost.inc(by=max(0.0, end.cost_usd))

    def _transfer_ended(self, _call: CallInfo, end: TransferEnded, _now_ms: float) -> None:
        self._transfers.inc(_of(OUTCOMES, end.outcome))

    def _silent(self, _call: CallInfo, silence: do.ReportSilence, _now_ms: float) -> None:
        self._silences.inc(silence.cause)

    # --- the model's session ----------------------------------------------------------------------

    def _session_opened(
        self, call: CallInfo, _message: ev.ModelOpened | do.SwapModel, _now_ms: float
    ) -> None:
        """A session is open: a new one, or the successor of the one before."""
        if leg := self._legs.get(call.call_sid):
            leg.session = True

    def _session_lost(self, call: CallInfo, lost: ev.ModelLost, _now_ms: float) -> None:
        leg = self._legs.get(call.call_sid) or _Leg()
        if lost.fatal:
            reason = "refused"
        elif not leg.session:
            reason = "unreachable"
        else:
            reason = "expired" if "expired" in lost.reason else "closed"
        leg.session = False
        self._lost.inc(reason)

    def _decided(self, call: CallInfo, made: do.ReportDecision, _now_ms: float) -> None:
        if made.decision == REPLACE_SESSION:
            self._lost.inc("replaced")
            if leg := self._legs.get(call.call_sid):
                leg.session = False

    # --- the caller -------------------------------------------------------------------------------

    def _caller_acted(
        self, call: CallInfo, event: ev.SpeechStarted | ev.DigitPressed, now_ms: float
    ) -> None:
        if leg := self._legs.get(call.call_sid):
            leg.clock.caller_acted(now_ms)

    def _caller_counted(
        self, call: CallInfo, event: ev.CallerAudioForwarded, now_ms: float
    ) -> None:
        if leg := self._legs.get(call.call_sid):
            leg.clock.caller_counted(event.quiet_ms, now_ms)

    def _caller_stopped(self, call: CallInfo, _event: ev.SpeechStopped, now_ms: float) -> None:
        if leg := self._legs.get(call.call_sid):
            leg.clock.caller_stopped(now_ms)

    def _played(self, call: CallInfo, audio: do.PlayAudio, now_ms: float) -> None:
        leg = self._legs.get(call.call_sid)
        waited_ms = leg.clock.played(audio.item_id, now_ms) if leg is not None else None
        if waited_ms is not None:
            self._response.observe(amount=waited_ms / 1000)

    def _cleared(self, call: CallInfo, _command: do.ClearAudio, now_ms: float) -> None:
        leg = self._legs.get(call.call_sid)
        if leg is not None and not self._reported and leg.clock.acted_ms == now_ms:
            self._interruptions.inc("confirmed")

    def _interrupted(self, call: CallInfo, report: do.ReportInterruption, _ms: float) -> None:
        self._interruptions.inc(report.verdict)
        leg = self._legs.get(call.call_sid)
        if leg is not None and report.verdict == "false":
            leg.clock.not_interrupted()

    # --- tools ------------------------------------------------------------------------------------

    def _item_done(self, call: CallInfo, item: ev.OutputItemDone, now_ms: float) -> None:
        leg = self._legs.get(call.call_sid)
        if leg is not None and item.kind == "function_call" and item.status == "completed":
            self._tool_called(leg, item.call_id, item.name, now_ms)

    def _response_done(self, call: CallInfo, done: ev.ResponseDone, now_ms: float) -> None:
        for item in done.calls:  # some models announce them nowhere else
            self._item_done(call, item, now_ms)

    def _tool_runs(self, call: CallInfo, tool: do.RunTool, now_ms: float) -> None:
        if leg := self._legs.get(call.call_sid):
            self._tool_called(leg, tool.call_id, tool.name, now_ms)

    @staticmethod
    def _tool_called(leg: _Leg, call_id: str, name: str, now_ms: float) -> None:
        if call_id not in leg.calls:
            leg.calls.add(call_id)
            leg.tools[call_id] = name, now_ms

    def _tool_returned(
        self,
        call: CallInfo,
        message: ev.ToolReturned | do.AddToolOutput | do.TransferCall | do.PlayDigits,
        now_ms: float,
    ) -> None:
        """It returned; or it was answered; or it has ordered the redirect that ends the leg."""
        self._tool_ended(call, message.call_id, "returned", now_ms)

    def _tool_failed(self, call: CallInfo, event: ev.ToolFailed, now_ms: float) -> None:
        self._tool_ended(call, event.call_id, "failed", now_ms)

    def _tool_canceled(self, call: CallInfo, command: do.CancelTool, now_ms: float) -> None:
        self._tool_ended(call, command.call_id, "canceled", now_ms)

    def _said_goodbye(
        self, call: CallInfo, _command: do.HangUp | do.CloseStream, now_ms: float
    ) -> None:
        """What `end_call` was called for is done."""
        if leg := self._legs.get(call.call_sid):
            for call_id in [key for key, (name, _) in leg.tools.items() if name == END_CALL]:
                self._tool_ended(call, call_id, "returned", now_ms)

    def _tool_ended(self, call: CallInfo, call_id: str, outcome: str, now_ms: float) -> None:
        leg = self._legs.get(call.call_sid)
        known = leg.tools.pop(call_id, None) if leg is not None else None
        if known is not None:
            name, began_ms = known
            took_s = (now_ms - began_ms) / 1000
            self._tool.observe(_of(self.tools, name), outcome, amount=took_s)


def _of(known: tuple[str, ...], value: str) -> str:
    """The value as a label: `other` if it is in no list."""
    return value if value in known else OTHER
