"""The tools that every agent has: the call itself carries them out, no function does."""

from app.call.agent import ToolSpec

RESERVED_NAMES = frozenset({"end_call", "transfer_to_human", "send_digits"})
"""Names that no tool of an agent's own may take, switched on or not."""

END_CALL = ToolSpec(
    name="end_call",
    description=(
        "End this phone call. Call it when the caller has said goodbye, or wants nothing more, or "
        "asks you to hang up. Say a short goodbye first, in the same answer: the line stays open "
        "until the caller has heard it to its end, and closes then. Say nothing after it."
    ),
    parameters={
        "type": "object",
        "properties": {
            "reason": {
                "type": "string",
                "description": "Why the call ends, in a few words. The caller does not hear it.",
            }
        },
        "required": ["reason"],
        "additionalProperties": False,
    },
)
