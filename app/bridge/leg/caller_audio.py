"""The caller's audio on its way to the model: forwarded, counted, muted, or buffered."""

import base64
from collections import deque

from app.audio import ULAW_BYTES_PER_MS, silence
from app.call.events import CallerAudioForwarded
from app.wires.realtime import codec as realtime
from app.wires.realtime.socket import RealtimeSocket
from app.wires.twilio.media_stream import Media

MOST_BYTES = (
    10_000 * ULAW_BYTES_PER_MS
)  # of the buffer: ten seconds, the oldest frames are dropped first
_FRAME_BYTES = 160
_SILENT_FRAME = base64.b64encode(silence(20)).decode("ascii")


class CallerAudio:
    """Frames of µ-law at 8000 Hz, in base64 as Twilio sends them."""

    def __init__(self) -> None:
        #: Forward silence in place of the caller's frames, so that the model's time goes on.
        self.muted = False
        #: Frames forwarded since `take_event`.
        self.frames = 0
        self._size_bytes = 0
        self._buffered: deque[Media] = deque()
        self._buffered_bytes = 0

    def silenced(self, media: Media) -> Media:
        """Silence of the same length and timestamp."""
        if media.size_bytes == _FRAME_BYTES:
            return Media(_SILENT_FRAME, _FRAME_BYTES, media.timestamp)
        quiet = base64.b64encode(b"\xff" * media.size_bytes).decode("ascii")
        return Media(quiet, media.size_bytes, media.timestamp)

    def forward(self, media: Media, model: RealtimeSocket) -> None:
        """Send a frame to the model, after the buffered ones."""
        if self._buffered:
            self.forward_buffered(model)
        model.send(realtime.append_audio(media.payload))
        self.frames += 1
        self._size_bytes += media.size_bytes

    def forward_buffered(self, model: RealtimeSocket) -> None:
        """Send the buffered frames to the model while its socket is writable."""
        while self._buffered and model.writable:
            media = self._buffered.popleft()
            self._buffered_bytes -= media.size_bytes
            model.send(realtime.append_audio(media.payload))
            self.frames += 1
            self._size_bytes += media.size_bytes

    def buffer(self, media: Media) -> None:
        """Keep a frame until a session takes it."""
        self._buffered.append(media)
        self._buffered_bytes += media.size_bytes
        while self._buffered_bytes > MOST_BYTES:
            self._buffered_bytes -= self._buffered.popleft().size_bytes

    def take_event(self) -> CallerAudioForwarded:
        """How much was forwarded since this was last called."""
        event = CallerAudioForwarded(self.frames, self._size_bytes)
        self.frames = self._size_bytes = 0
        return event
