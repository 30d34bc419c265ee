"""Carries out the verdict of answering machine detection, as `answering_machine.EFFECTS` says.

A verdict against a machine is held back while the evidence depends on a transcript that is pending.
"""

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
from app.call.deadlines import NEVER
from app.call.events import CalleeDetected
from app.call.exits.exits import Exits
from app.call.outbox import Outbox

#: The decision to report when evidence outranks the verdict.
WENT_ON = "go on with the conversation"
#: Deadline for a transcript that the evidence depends on, from the verdict on.
HOLD_MS = 1500.0


class Detection:
    """Takes Twilio's verdicts of one leg. Call `settle` after every event, and at `due_ms`."""

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
        self._held: CalleeDetected | None = None
        #: When a verdict that is held back is carried out; NEVER: none is held back.
        self.due_ms = NEVER

    def detected(self, event: CalleeDetected, now_ms: float) -> None:
        """A verdict came. It may come twice, and after anything else. One that is no verdict
        against a machine changes nothing about one that is held back."""
        if is_machine(verdict_of(event.answered_by)):
            if self._held is None:
                self.due_ms = now_ms + HOLD_MS
            self._held = event
            self.settle(now_ms)

    def settle(self, now_ms: float) -> None:
        """Carry out the verdict that is held back, if nothing that is pending can change what it
        does, or if its deadline has passed."""
        if self._held is None:
            return
        if now_ms >= self.due_ms or not self._pending(now_ms):
            held, self._held, self.due_ms = self._held, None, NEVER
            self._carry_out(held, now_ms)

    def _pending(self, now_ms: float) -> bool:
        return self._shown(now_ms) is Shown.NOTHING and self._evidence.pending(now_ms)

    def _carry_out(self, event: CalleeDetected, now_ms: float) -> None:
        shown, verdict = self._shown(now_ms), verdict_of(event.answered_by)
        effect = EFFECTS[verdict][shown]
        if effect is Effect.LEAVE_MESSAGE:
            self._barge_in.voicemail_reached(event.message, now_ms)
        elif effect is Effect.HANG_UP:
            self._barge_in.voicemail_reached("", now_ms)
        elif effect is Effect.GO_ON:
            why = f"Twilio detected {event.answered_by}, but {EVIDENCE[shown]}"
            self._outbox.put(ReportDecision(WENT_ON, why))

    def _shown(self, now_ms: float) -> Shown:
        if self._exits.hanging_up:
            return Shown.ENDING
        return Shown.MESSAGE if self._floor.voicemail else self._evidence.shown(now_ms)
