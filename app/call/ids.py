"""Ids that the bridge makes: of commands, of items, of tool calls that no model made."""

#: Prefix of every id that the bridge makes.
OURS = "bridge_"


class Ids:
    """The ids of one leg."""

    def __init__(self) -> None:
        self._events = 0
        self._own = 0
        self._after = 0

    def offset(self, turns: int) -> None:
        """Make the ids differ from those of the call's earlier legs.

        Args:
            turns: How many turns of the call its earlier legs had; grows from leg to leg.
        """
        self._after = turns

    def event(self) -> str:
        """Id of a command to the model, which names it when it refuses the command."""
        self._events += 1
        return f"{OURS}{self._events}"

    def own(self, what: str) -> str:
        """Id of something else, different from those of the call's earlier legs.

        Args:
            what: What it names, such as keys or transfer; becomes part of the id.
        """
        self._own += 1
        return f"{OURS}{what}_{self._after}_{self._own}"
