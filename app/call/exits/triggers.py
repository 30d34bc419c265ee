"""What comes with a trigger, and which trigger the call of a built-in tool is."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.call import prompts
from app.call.destinations import Destination
from app.call.events import OutputItemDone
from app.call.exits.farewell import Goodbye
from app.call.exits.last_words import LastWords
from app.call.exits.tones import SEND_DIGITS, read_digits
from app.call.exits.transfer import TRANSFER, PendingTransfer, TransferRefused, read_request
from app.call.exits.transitions import Action, Trigger
from app.call.model.responses import Wish
from app.call.prompts import TakenBack

END_CALL = "end_call"
BUILT_IN = (END_CALL, TRANSFER, SEND_DIGITS)

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


def read_tool_call(
    event: OutputItemDone, destinations: Sequence[Destination], now_ms: float, at_s: float
) -> tuple[Trigger, Occasion]:
    """Read the call of a built-in tool. `at_s`: Unix time, in seconds."""
    call_id = event.call_id
    if event.name == END_CALL:
        goodbye = Goodbye("agent", LastWords(Wish.GOODBYE, now_ms, event.response_id), call_id)
        return Trigger.END_CALL, Occasion(call_id=call_id, begins=goodbye)
    if event.name == SEND_DIGITS:
        if digits := read_digits(event.arguments):
            return Trigger.SEND_DIGITS, Occasion(call_id=call_id, digits=digits)
        refused = Occasion(call_id=call_id, reason=prompts.DIGITS_UNREADABLE)
        return Trigger.SEND_DIGITS_REFUSED, refused
    try:
        request = read_request(event.arguments, destinations, at_s)
    except TransferRefused as refusal:
        return Trigger.TRANSFER_REFUSED, Occasion(call_id=call_id, reason=str(refusal))
    words = LastWords(Wish.ANNOUNCEMENT, now_ms, event.response_id)
    begins = PendingTransfer(call_id, request, words)
    return Trigger.TRANSFER, Occasion(call_id=call_id, begins=begins)
