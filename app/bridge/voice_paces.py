"""How the external voices speak, as the calls of this process measured it."""

from collections.abc import Sequence

from app.call.words.word_times import UNKNOWN, Pace


class VoicePaces:
    """One value for each voice, in the order of `Agent.voices`.

    A call takes a copy when it starts, and learns on its own: its legs pass the values on in their
    seeds. When it has ended, pass its values to `call_ended`.
    """

    def __init__(self, voices: int) -> None:
        #: What a call that starts now begins with.
        self.known: tuple[Pace, ...] = (UNKNOWN,) * voices

    def call_ended(self, learned: Sequence[Pace]) -> None:
        """Keep what a call learned, for later calls. Of two calls at once, the one that ends last
        counts. A voice that is still unknown to it keeps its value. Nothing is kept of a call that
        began with other voices."""
        if len(learned) != len(self.known):
            return
        pairs = zip(self.known, learned, strict=True)
        self.known = tuple(before if after == UNKNOWN else after for before, after in pairs)
