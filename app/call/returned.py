"""Why the agent has a caller back, and what it is told of that."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Returned:
    """What took the caller away from the agent, and what became of it: a tool's name, the call of
    it, and its output."""

    tool: str = ""
    call_id: str = ""
    output: str = ""


BY_ACCIDENT = Returned()  # nothing did, but that the stream was lost
