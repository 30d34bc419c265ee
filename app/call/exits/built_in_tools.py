"""The built-in tools, one object each: what the model sees of a tool, and who handles its call.

The call handles them itself: a tool call is a trigger of `transitions`. The table `BUILT_IN` is all
that the agent file, the registry of tools and the call know of them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.call import prompts
from app.call.agent import ToolSpec
from app.call.destinations import Destination
from app.call.events import OutputItemDone
from app.call.exits.farewell import Goodbye
from app.call.exits.last_words import LastWords
from app.call.exits.tones import SEND_DIGITS, read_digits
from app.call.exits.transfer import TRANSFER, PendingTransfer, TransferRefused, read_request
from app.call.exits.transitions import Trigger
from app.call.exits.triggers import Occasion
from app.call.model.responses import Wish

END_CALL = "end_call"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model's call of a built-in tool."""

    #: Carries the arguments.
    event: OutputItemDone
    destinations: Sequence[Destination]
    now_ms: float
    #: Unix time, in seconds.
    at_s: float


@dataclass(frozen=True, slots=True)
class BuiltInTool:
    """A tool that the call handles."""

    name: str
    #: What the model sees. Takes the agent's destinations; returns None if the tool needs some and
    #: there is none.
    spec: Callable[[Sequence[Destination]], ToolSpec | None]
    #: Reads a call: which trigger it is, and what comes with it. `Exits` handles the trigger.
    read: Callable[[ToolCall], tuple[Trigger, Occasion]]
    #: The direction of the first response of a leg that resumes a call which left for this tool.
    resumed: str = prompts.RESUMED


def offered(names: Sequence[str], destinations: Sequence[Destination]) -> Iterator[ToolSpec]:
    """What the model sees of the built-in tools with these names, in the order of the table."""
    for name, tool in BUILT_IN.items():
        spec = tool.spec(destinations) if name in names else None
        if spec is not None:
            yield spec


def resumed(tool: str) -> str:
    """The direction of the first response of a leg that resumes a call.

    Args:
        tool: `ResumeCause.tool`: the tool for which the call left; empty: the stream was lost.
    """
    return BUILT_IN[tool].resumed if tool in BUILT_IN else prompts.RESUMED


# --- what the model sees --------------------------------------------------------------------------


def _takes(**properties: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema with these properties, all required, and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


_END_CALL = ToolSpec(
    name=END_CALL,
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

_SEND_DIGITS = ToolSpec(
    name=SEND_DIGITS,
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


def transfer_spec(destinations: Sequence[Destination]) -> ToolSpec:
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
        return ToolSpec(TRANSFER, description, _takes(reason=reason, summary=summary))
    destination = {
        "type": "string",
        "enum": [each.name for each in destinations],
        "description": "Who is reached. " + "; ".join(map(_described, destinations)) + ".",
    }
    parameters = _takes(destination=destination, reason=reason, summary=summary)
    return ToolSpec(TRANSFER, description, parameters)


def _described(destination: Destination) -> str:
    """`name: description, open …`, without the parts that the destination does not have."""
    text = destination.name
    if destination.description:
        text += f": {destination.description.rstrip('.')}"
    if hours := destination.hours.in_words():
        text += f", open {hours}"
    return text


# --- who handles the call -------------------------------------------------------------------------


def _read_end_call(call: ToolCall) -> tuple[Trigger, Occasion]:
    call_id, words = call.event.call_id, _words_of(call, Wish.GOODBYE)
    return Trigger.END_CALL, Occasion(call_id=call_id, begins=Goodbye("agent", words, call_id))


def _read_transfer(call: ToolCall) -> tuple[Trigger, Occasion]:
    call_id = call.event.call_id
    try:
        request = read_request(call.event.arguments, call.destinations, call.at_s)
    except TransferRefused as refusal:
        return Trigger.TRANSFER_REFUSED, Occasion(call_id=call_id, reason=str(refusal))
    begins = PendingTransfer(call_id, request, _words_of(call, Wish.ANNOUNCEMENT))
    return Trigger.TRANSFER, Occasion(call_id=call_id, begins=begins)


def _read_send_digits(call: ToolCall) -> tuple[Trigger, Occasion]:
    call_id = call.event.call_id
    if digits := read_digits(call.event.arguments):
        return Trigger.SEND_DIGITS, Occasion(call_id=call_id, digits=digits)
    refused = Occasion(call_id=call_id, reason=prompts.DIGITS_UNREADABLE)
    return Trigger.SEND_DIGITS_REFUSED, refused


def _words_of(call: ToolCall, wish: Wish) -> LastWords:
    """What the response that calls the tool says, to be heard before the exit."""
    return LastWords(wish, call.now_ms, call.event.response_id)


# --- the table ------------------------------------------------------------------------------------

_TOOLS = (
    BuiltInTool(END_CALL, lambda _: _END_CALL, _read_end_call),
    BuiltInTool(
        TRANSFER,
        lambda known: transfer_spec(known) if known else None,
        _read_transfer,
        prompts.NOT_REACHED,
    ),
    BuiltInTool(SEND_DIGITS, lambda _: _SEND_DIGITS, _read_send_digits, prompts.KEYS_PRESSED),
)
#: Every built-in tool by its name. An agent's own tools cannot have these names, even if the
#: built-in tool is switched off.
BUILT_IN: Mapping[str, BuiltInTool] = {tool.name: tool for tool in _TOOLS}
