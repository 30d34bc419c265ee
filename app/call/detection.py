"""Carries out the verdict of answering machine detection, as `answering_machine.EFFECTS` says."""

from app.call.barge_in import BargeIn
from app.call.caller.answering_machine import (
    EFFECTS,
    EVIDENCE,
    Effect,
    Shown,
    is_machine,
    verdict_of,
)
from app.call.caller.callee_evidence import CalleeEvidence
from app.call.caller.floor import Floor
from app.call.commands import ReportDecision
from app.call.events import CalleeDetected
from app.call.exits.exits import Exits
from app.call.outbox import Outbox

#: The decision to report when evidence outranks the verdict.
WENT_ON = "go on with the conversation"


class Detection:
    """Takes Twilio's verdicts of one leg."""

    def __init__(
        self,
        outbox: Outbox[ReportDecision],
        evidence: CalleeEvidence,
        barge_in: BargeIn,
        floor: Floor,
        exits: Exits,
    ) -> None:
        self._outbox = outbox
        self._evidence = evidence
        self._barge_in = barge_in
        self._floor = floor
        self._exits = exits

    def detected(self, event: CalleeDetected, now_ms: float) -> None:
        """A verdict came. It may come twice, and after anything else."""
        shown, verdict = self._shown(now_ms), verdict_of(event.answered_by)
        effect = EFFECTS[verdict][shown]
        if effect is Effect.LEAVE_MESSAGE:
            self._barge_in.voicemail_reached(event.message, now_ms)
        elif effect is Effect.HANG_UP:
            self._barge_in.voicemail_reached("", now_ms)
        elif effect is Effect.GO_ON and is_machine(verdict):
            why = f"Twilio detected {event.answered_by}, but {EVIDENCE[shown]}"
            self._outbox.put(ReportDecision(WENT_ON, why))

    def _shown(self, now_ms: float) -> Shown:
        if self._exits.hanging_up:
            return Shown.ENDING
        return Shown.MESSAGE if self._floor.voicemail else self._evidence.shown(now_ms)
