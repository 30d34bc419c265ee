"""Names for what nobody else names: our events, our items, our calls of tools."""

OURS = "bridge_"
"""What the ids that we make up begin with."""


class Ids:
    """Those of one leg."""

    def __init__(self) -> None:
        self._events = 0
        self._own = 0
        self._after = 0

    def offset(self, told: int) -> None:
        """So much was told of the call before this leg: its own ids differ from those of before."""
        self._after = told

    def event(self) -> str:
        """For a client event, which the model names when it refuses it."""
        self._events += 1
        return f"{OURS}{self._events}"

    def own(self, what: str) -> str:
        """For something else, unlike those of the call's earlier legs."""
        self._own += 1
        return f"{OURS}{what}_{self._after}_{self._own}"
