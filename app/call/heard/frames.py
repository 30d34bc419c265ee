"""Cuts an item's audio into whole frames of 20 ms, the unit in which a telephone line plays."""

from binascii import b2a_base64

from app.audio import base64_decode, base64_length
from app.call.commands import PlayAudio

#: µ-law at 8000 Hz: 20 ms.
FRAME_BYTES = 160
# Whole frames, and a whole number of base64's groups of 3 bytes: base64 can be cut there undecoded.
_GROUP_BYTES = 3 * FRAME_BYTES


class Frames:
    """The end of an item's latest audio that does not fill a frame yet: its rest.

    `add` each piece of audio; call `take_rest` when the item ends, and before another item's audio.
    Sizes follow from `size_bytes` alone, because a stored timeline has no payloads.
    """

    def __init__(self) -> None:
        #: The item that the rest belongs to.
        self.item_id = ""
        #: The size of the rest, below `FRAME_BYTES`.
        self.rest_bytes = 0
        self._rest = b""

    def add(self, item_id: str, payload: str, size_bytes: int) -> PlayAudio | None:
        """The rest and this audio as whole frames; None if they do not fill one. Whole frames
        behind no rest pass as they came, without being decoded.

        `payload`: base64 of `size_bytes` of µ-law.
        """
        rest_bytes = (self.rest_bytes + size_bytes) % FRAME_BYTES
        if not self.rest_bytes and not rest_bytes:
            return PlayAudio(item_id, payload, size_bytes)
        frames_bytes = self.rest_bytes + size_bytes - rest_bytes
        uncut_bytes = 0 if self.rest_bytes else size_bytes - size_bytes % _GROUP_BYTES
        uncut_chars = base64_length(uncut_bytes)
        ulaw = self._rest + base64_decode(payload[uncut_chars:])
        end = frames_bytes - uncut_bytes
        self.item_id, self.rest_bytes, self._rest = item_id, rest_bytes, ulaw[end:]
        if not frames_bytes:
            return None
        return PlayAudio(item_id, payload[:uncut_chars] + _base64(ulaw[:end]), frames_bytes)

    def take_rest(self) -> PlayAudio | None:
        """The rest, which is less than a frame; None if there is none."""
        if not self.rest_bytes:
            return None
        audio = PlayAudio(self.item_id, _base64(self._rest), self.rest_bytes)
        self.drop()
        return audio

    def drop(self) -> None:
        """Forget the rest: it will not be played."""
        self.rest_bytes, self._rest = 0, b""


def _base64(ulaw: bytes) -> str:
    return b2a_base64(ulaw, newline=False).decode("ascii")
