"""The caller's audio on its way to the model: kept while nobody takes it, counted, and muted."""

import base64
from collections import deque

from app.audio import silence
from app.call.events import CallerAudioForwarded
from app.wires.realtime import codec as realtime
from app.wires.realtime.socket import RealtimeSocket
from app.wires.twilio.media_stream import Media

MOST_BYTES = 10_000 * 8  # ten seconds: what is older answers nothing any more
_FRAME_BYTES = 160
_SILENT_FRAME = base64.b64encode(silence(20)).decode("ascii")


class CallerAudio:
    """`muted`: silence stands in for what the caller sends, so that time goes on and no sound
    does."""

    def __init__(self) -> None:
        self.muted = False
        self.frames = 0  # that went to the model since this was last told
        self._size_bytes = 0
        self._early: deque[Media] = deque()
        self._early_bytes = 0

    def silenced(self, media: Media) -> Media:
        """Silence of the same length, at the same time."""
        if media.size_bytes == _FRAME_BYTES:
            return Media(_SILENT_FRAME, _FRAME_BYTES, media.timestamp)
        quiet = base64.b64encode(b"\xff" * media.size_bytes).decode("ascii")
        return Media(quiet, media.size_bytes, media.timestamp)

    def forward(self, media: Media, model: RealtimeSocket) -> None:
        """Give it to the model, after all that waits."""
        if self._early:
            self.forward_early(model)
        model.send(realtime.append_audio(media.payload))
        self.frames += 1
        self._size_bytes += media.size_bytes

    def forward_early(self, model: RealtimeSocket) -> None:
        """Give the model what nobody took, as far as it goes."""
        while self._early and model.writable:
            media = self._early.popleft()
            self._early_bytes -= media.size_bytes
            model.send(realtime.append_audio(media.payload))
            self.frames += 1
            self._size_bytes += media.size_bytes

    def keep(self, media: Media) -> None:
        """Nobody takes it yet."""
        self._early.append(media)
        self._early_bytes += media.size_bytes
        while self._early_bytes > MOST_BYTES:
            self._early_bytes -= self._early.popleft().size_bytes

    def told(self) -> CallerAudioForwarded:
        """What went to the model since this was last told."""
        event = CallerAudioForwarded(self.frames, self._size_bytes)
        self.frames = self._size_bytes = 0
        return event
