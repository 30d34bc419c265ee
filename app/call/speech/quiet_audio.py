"""Audio of the model that is too quiet to be heard: held back until sound follows it.

A model may send digital silence in place of an answer. Played, it would count as an answer, and
whatever the caller is to hear meanwhile would wait behind it.
"""

from app.call.events import AudioReceived
from app.call.heard.ledger import BYTES_PER_MS, HeardPart

#: A pause up to this length is played as it comes, and as much is played of a longer one.
LONGEST_BYTES = 500 * BYTES_PER_MS


class QuietAudio:
    """Give it every piece while `is_open`, and every quiet one; play what `take` returns."""

    def __init__(self) -> None:
        self._item_id = ""
        self._held: list[AudioReceived] = []
        self._held_bytes = 0
        self._played_bytes = 0  # of the present pause
        self._left_out_bytes = 0  # of the present pause
        # Left out before sound: by item, (bytes of the item that were played before, bytes).
        self._left_out: dict[str, list[tuple[int, int]]] = {}

    @property
    def is_open(self) -> bool:
        """Whether the last piece was quiet, or quiet audio was left out since the last sound."""
        return bool(self._held or self._played_bytes or self._left_out_bytes)

    @property
    def holds(self) -> bool:
        """Whether quiet audio is held back: the caller hears nothing of what the model sends."""
        return bool(self._held)

    def take(self, piece: AudioReceived, played_bytes: int) -> list[AudioReceived]:
        """A piece came. Returns what to play now, in order.

        Args:
            played_bytes: How much of its item was played before.
        """
        if piece.item_id != self._item_id:
            self.drop()
            self._item_id, self._left_out_bytes = piece.item_id, 0
        if not piece.quiet:
            return [*self._release(played_bytes), piece]
        if played_bytes and self._played_bytes + piece.size_bytes <= LONGEST_BYTES:
            self._played_bytes += piece.size_bytes
            return [piece]
        self._hold(piece)
        return []

    def drop(self) -> None:
        """What is held is never played. It counts as left out, should sound of its item follow."""
        self._left_out_bytes += self._held_bytes
        self._held.clear()
        self._held_bytes = self._played_bytes = 0

    def with_left_out(self, heard: HeardPart) -> HeardPart:
        """What was heard of an item, in the item's own time: with the quiet audio before the end of
        it that was never played."""
        pauses = self._left_out.get(heard.item_id)
        if not pauses:
            return heard
        before = sum(size for at_bytes, size in pauses if at_bytes < heard.heard_bytes)
        every = sum(size for _, size in pauses)
        return HeardPart(heard.item_id, heard.heard_bytes + before, heard.generated_bytes + every)

    def _hold(self, piece: AudioReceived) -> None:
        self._held.append(piece)
        self._held_bytes += piece.size_bytes
        while self._held_bytes > LONGEST_BYTES and len(self._held) > 1:
            size_bytes = self._held.pop(0).size_bytes
            self._held_bytes -= size_bytes
            self._left_out_bytes += size_bytes

    def _release(self, played_bytes: int) -> list[AudioReceived]:
        """The end of a pause, for it to be played before the sound that follows."""
        if self._left_out_bytes:
            pause = played_bytes, self._left_out_bytes
            self._left_out.setdefault(self._item_id, []).append(pause)
        held, self._held = self._held, []
        self._held_bytes = self._played_bytes = self._left_out_bytes = 0
        return held
