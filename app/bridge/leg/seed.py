"""What a leg of a call begins with: a seed, made once, and never changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic, time

from app.bridge.services import Services
from app.call.agent import Agent
from app.call.events import (
    STREAM_LOST,
    LegOpened,
    ResumeCause,
    SayRequested,
    TransferRequested,
    VoicemailReached,
)
from app.call.words.pause_alignment import Pace
from app.records.recorder import Recorder, StoredCall
from app.wires.twilio.call import CallInfo, voicemail_reached


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
    #: What to leave on the answering machine that answered the call; None: none did.
    voicemail: VoicemailReached | None = None
    #: Transfers that another process recorded.
    earlier_transfers: tuple[Mapping[str, object], ...] = field(default=(), repr=False)
    #: Digits of the call's secret entries so far: they are removed from error texts in the log.
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    #: A secret entry was open when the leg before ended: the caller may go on typing it.
    secret_entry_open: bool = False
    #: Orders of an operator that the leg before accepted and could not carry out.
    orders: tuple[SayRequested | TransferRequested, ...] = field(default=(), repr=False)

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
            reports_silences=True,
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
        resume_cause: why the caller left the agent of the other process.
    """
    agent = agent or services.agent.agent
    before = stored or StoredCall()
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
        voicemail=before.voicemail
        or voicemail_reached(before.answered_by, agent.outbound.voicemail),
        earlier_transfers=tuple(before.transfers),
        secret_entry_open=resume_cause == STREAM_LOST and before.secret_entry_open,
    )
