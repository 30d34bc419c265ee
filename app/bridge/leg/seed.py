"""What a leg of a call begins with: a seed, made once, and never changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic, time

from app.bridge.services import Equipment, Services
from app.call.agent import Agent
from app.call.events import (
    STREAM_LOST,
    CalleeDetected,
    LegOpened,
    OpenEntry,
    ResumeCause,
    SayRequested,
    TransferRequested,
)
from app.call.optional_settings import Setting
from app.call.words.word_times import Pace
from app.records.carried import Placed
from app.records.recorder import Recorder
from app.records.stored_call import StoredCall
from app.wires.twilio.call import CallInfo


@dataclass(frozen=True, slots=True)
class LegSeed:
    """Everything that a leg needs from what came before it.

    `first_seed` makes the one of a call's first leg in this process, `Leg.next_seed` each later
    one. A leg reads nothing of the leg before it but this.
    """

    call: CallInfo
    #: Where Twilio reaches this service.
    base_url: str
    agent: Agent
    #: Records the whole call. It has the numbers of the turns and timeline entries so far.
    recorder: Recorder = field(repr=False)
    #: Monotonic seconds at 0 ms of the call's clock: its first leg was opened then.
    began_s: float
    #: (role, text) of what the caller said and heard on earlier legs.
    history: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    #: Why the caller left the agent before.
    resume_cause: ResumeCause = STREAM_LOST
    #: How the agent's external voices speak, in the order of `Agent.voices`.
    paces: tuple[Pace, ...] = ()
    #: Twilio's verdict on who answered the outbound call; None: there is none.
    detected: CalleeDetected | None = None
    #: What earlier legs showed of who answered, see `LegOpened.shown`.
    shown: str = ""
    #: Transfers that another process recorded.
    earlier_transfers: tuple[Mapping[str, object], ...] = field(default=(), repr=False)
    #: Digits of the call's secret entries so far: they are removed from error texts in the log.
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    #: A secret entry was open when the leg before ended: the caller may go on typing it.
    secret_entry_open: bool = False
    #: An entry that the caller may continue, see `LegOpened.entry`.
    entry: OpenEntry | None = field(default=None, repr=False)
    #: Settings of the model's sessions that it refused before.
    left_out: tuple[Setting, ...] = ()
    #: Orders of an operator that the leg before accepted and could not carry out.
    orders: tuple[SayRequested | TransferRequested, ...] = field(default=(), repr=False)
    #: The tools and voices of `agent`; None: those of calls that begin now.
    equipment: Equipment | None = field(default=None, repr=False)

    async def save_recording(self) -> None:
        """Write the recording of the call so far, in a thread."""
        await self.recorder.save_recording((monotonic() - self.began_s) * 1000)

    def opening(self) -> LegOpened:
        """The first event of the leg."""
        cause = self.resume_cause
        return LegOpened(
            self.history,
            time(),
            cause.tool,
            cause.call_id,
            cause.output,
            self.paces,
            self.secret_entry_open,
            self.shown,
            self.entry,
            whole_frames=True,
            left_out=self.left_out,
            reports_silences=True,
            answers_unreported=True,
        )


def first_seed(
    call: CallInfo,
    services: Services,
    base_url: str,
    *,
    agent: Agent | None = None,
    stored: StoredCall | None = None,
    resume_cause: ResumeCause = STREAM_LOST,
) -> LegSeed:
    """The seed of a call's first leg in this process.

    Args:
        base_url: where Twilio reaches this service.
        agent: None: the agent of the agent file.
        stored: the record of the call, when another process had it.
        resume_cause: why the caller left the agent of the other process; STREAM_LOST: as its
            record says.
    """
    before = stored or StoredCall()
    agent = agent or agent_for(call, services, before.placed)
    if resume_cause == STREAM_LOST:
        resume_cause = before.resume_cause
    on_the_line = resume_cause == STREAM_LOST
    return LegSeed(
        call,
        base_url,
        agent,
        services.recorder(call, agent, stored),
        # Finer than the loop's clock, which uvloop rounds to 1 ms.
        monotonic() - before.age_s,
        history=before.history,
        resume_cause=resume_cause,
        paces=services.paces.known,
        detected=_detected(before, agent),
        shown=before.shown,
        earlier_transfers=tuple(before.transfers),
        secret_entry_open=on_the_line and before.secret_entry_open,
        entry=before.carried.entry if on_the_line else None,
        left_out=tuple(sorted(services.refused_settings)),
        orders=before.carried.orders,
        equipment=services.equipment,
    )


def agent_for(call: CallInfo, services: Services, placed: Placed) -> Agent:
    """The agent of a call. `placed`: what an outbound call is for."""
    agent = services.agent_of(call.call_sid)
    outbound = call.direction == "outbound-api"
    return agent.calling(placed.greeting, placed.context) if outbound else agent


def _detected(before: StoredCall, agent: Agent) -> CalleeDetected | None:
    """The verdict that is stored, with the agent's own message if the call's is not."""
    if not before.answered_by or agent.outbound.answering_machine == "off":
        return None
    message = before.voicemail
    if message is None:  # it came with no verdict that is stored
        message = before.placed.voicemail or agent.outbound.voicemail
    return CalleeDetected(before.answered_by, message)
