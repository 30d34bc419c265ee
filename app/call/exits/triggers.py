"""What comes with a trigger."""

from dataclasses import dataclass

from app.call import prompts
from app.call.exits.farewell import Goodbye
from app.call.exits.transfer import PendingTransfer
from app.call.exits.transitions import Action, Trigger
from app.call.prompts import TakenBack

#: The triggers of tools whose response a barge-in interrupted. The keys are pressed all the same.
CUT = {
    Trigger.END_CALL: Trigger.END_CALL_CUT,
    Trigger.TRANSFER: Trigger.TRANSFER_CUT,
    Trigger.TRANSFER_REFUSED: Trigger.TRANSFER_CUT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """What comes with a trigger, for the actions that need it."""

    #: The tool call to answer at once.
    call_id: str = ""
    #: Why it failed, expired, is refused or is closed: for the model, the record and the log.
    reason: str = ""
    #: Why a goodbye is taken back or a transfer is suspended.
    why: TakenBack = TakenBack.CALLER_SPOKE
    #: What begins if the table allows it.
    begins: Goodbye | PendingTransfer | None = None
    #: The keys of send_digits.
    digits: str = ""

    def answer(self, action: Action) -> str:
        """The answer to a tool that is called at the wrong moment, or wrongly."""
        return {
            Action.ANSWER_ENDING: prompts.END_ALREADY,
            Action.ANSWER_TRANSFERRING: prompts.TRANSFER_ALREADY,
            Action.ANSWER_TAKEN_BACK: prompts.end_taken_back(self.why),
            Action.ANSWER_SUSPENDED: prompts.transfer_suspended(self.why),
            Action.ANSWER_KEYS_BUSY: prompts.DIGITS_BUSY,
            Action.ANSWER_REFUSED: self.reason,
        }[action]


#: A trigger that says everything by itself.
NOTHING = Occasion()
