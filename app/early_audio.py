"""The caller's audio that no session takes yet: kept in order, the newest ten seconds of it."""

from collections import deque

from app.telephony.media_stream import Media

MOST_BYTES = 10_000 * 8


class EarlyAudio:
    """Filled while the model's session opens or its socket is full, and emptied when it takes
    audio. What is older than ten seconds answers nothing any more, and is dropped."""

    def __init__(self) -> None:
        self._waiting: deque[Media] = deque()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def keep(self, media: Media) -> None:
        self._waiting.append(media)
        self._bytes += media.size_bytes
        while self._bytes > MOST_BYTES:
            self._bytes -= self._waiting.popleft().size_bytes

    def take(self) -> Media:
        """The oldest. Raises IndexError when nothing waits."""
        media = self._waiting.popleft()
        self._bytes -= media.size_bytes
        return media
