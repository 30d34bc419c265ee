"""The built-in tools' specifications. The call executes them itself; they have no function."""

from collections.abc import Sequence
from typing import Any

from app.call.agent import ToolSpec
from app.call.destinations import Destination

TRANSFER_TO_HUMAN = "transfer_to_human"
RESERVED_NAMES = frozenset({"end_call", TRANSFER_TO_HUMAN, "send_digits"})
"""Names that an agent's own tools cannot have, even if the built-in tool is switched off."""


def _takes(**properties: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema with these properties, all required, and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


END_CALL = ToolSpec(
    name="end_call",
    description=(
        "End this phone call. Call it when the caller has said goodbye, or wants nothing more, or "
        "asks you to hang up. Say a short goodbye first, in the same answer: the line stays open "
        "until the caller has heard it to its end, and closes then. Say nothing after it."
    ),
    parameters=_takes(
        reason={
            "type": "string",
            "description": "Why the call ends, in a few words. The caller does not hear it.",
        }
    ),
)

SEND_DIGITS = ToolSpec(
    name="send_digits",
    description=(
        "Press keys on this phone line, as on a keypad. Use it when another telephone system "
        "answers you and asks for a choice or an extension. It is not for numbers that the caller "
        "is to enter: callers press their own keys, and you get what they enter."
    ),
    parameters=_takes(
        digits={
            "type": "string",
            "pattern": "^[0-9A-D*#wW]+$",
            "minLength": 1,
            "maxLength": 200,
            "description": (
                "The keys in their order: 0 to 9, *, #, A to D; w is a pause of half a second, "
                "W of one second. An extension after a choice is for example 1W42#."
            ),
        }
    ),
)


def transfer_to_human(destinations: Sequence[Destination]) -> ToolSpec:
    """The tool that transfers the caller to one of these destinations, of which there is at least
    one. It holds their names and hours but not their numbers, so that the model cannot reveal or
    dial a number."""
    description = (
        "Connect the caller with a human. Call it when the caller asks for a human, or when your "
        "instructions say so; do not promise a connection before you call it. In the same answer, "
        "before the call, say one short sentence: that you are connecting the caller. It is heard "
        "to its end, and then the human's telephone rings. Say nothing after it. If the caller "
        "interrupts that sentence, no one is called, and the result says so: listen to what they "
        "want, and call this again if they still want the human. If no one takes the call, the "
        "caller is back with you, and the result says what happened."
    )
    reason = {
        "type": "string",
        "description": "Why a human is needed, in a few words. The caller does not hear it.",
    }
    summary = {
        "type": "string",
        "description": (
            "What the human has to know, in one to three sentences: who calls, what they want, "
            "what was done so far. It is read out to the human."
        ),
    }
    if len(destinations) == 1:
        description += f" Who is reached: {_described(destinations[0])}."
        return ToolSpec(TRANSFER_TO_HUMAN, description, _takes(reason=reason, summary=summary))
    destination = {
        "type": "string",
        "enum": [each.name for each in destinations],
        "description": "Who is reached. " + "; ".join(map(_described, destinations)) + ".",
    }
    parameters = _takes(destination=destination, reason=reason, summary=summary)
    return ToolSpec(TRANSFER_TO_HUMAN, description, parameters)


def _described(destination: Destination) -> str:
    """`name: description, open …`, without the parts that the destination does not have."""
    text = destination.name
    if destination.description:
        text += f": {destination.description.rstrip('.')}"
    if hours := destination.hours.in_words():
        text += f", open {hours}"
    return text
