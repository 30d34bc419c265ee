"""Which responses may be requested, by the state of the exit."""

from collections.abc import Collection

from app.call.exits.transitions import ExitState
from app.call.model.responses import Wish

_AT_THE_END = frozenset({Wish.GOODBYE, Wish.UNSPOKEN})
_BEFORE_A_TRANSFER = frozenset({Wish.ANNOUNCEMENT, Wish.HOLD, Wish.UNSPOKEN})
_ALLOWED = {
    ExitState.WITH_AGENT: frozenset(Wish) - {Wish.GOODBYE, Wish.ANNOUNCEMENT},
    ExitState.ANNOUNCING: _BEFORE_A_TRANSFER,
    ExitState.TRANSFERRING: _BEFORE_A_TRANSFER,
}


def allowed(state: ExitState) -> Collection[Wish]:
    """The wishes for which a response may be requested in this state."""
    return _ALLOWED.get(state, _AT_THE_END)
