"""The caller's audio on its way to the model: recorded, forwarded, counted, muted, or buffered; and
measured, because voice in it interrupts the agent."""

import base64
from collections.abc import Callable

from app.audio import ULAW_BYTES_PER_MS, silence
from app.bridge.leg.model_side import ModelSide
from app.bridge.leg.voice_meter import VoiceMeter
from app.call.caller.pause import CONFIRMED_MS, QUIET_MS
from app.call.deadlines import NEVER
from app.call.events import CallerAudioForwarded, CallerQuieted, CallerVoiced, Event
from app.call.machine import CallMachine
from app.call.model_session import CARRIED_MS
from app.records.recorder import Recorder
from app.wires.model import ModelWire
from app.wires.twilio.media_stream import Media

#: Of the buffer: ten seconds. The oldest frames are dropped first.
MOST_BYTES = 10_000 * ULAW_BYTES_PER_MS
#: Of what the session got and the next one may have to hear as well.
_KEPT_BYTES = CARRIED_MS * ULAW_BYTES_PER_MS
_CONFIRMED_BYTES = CONFIRMED_MS * ULAW_BYTES_PER_MS
_QUIET_BYTES = QUIET_MS * ULAW_BYTES_PER_MS
#: Frames measured together: one by one costs twice as much. While the machine waits for what they
#: hold, each is measured at once.
_MEASURED_AT_ONCE = 5
_SILENT_ULAW = silence(20)
_SILENT_PAYLOAD = base64.b64encode(_SILENT_ULAW).decode("ascii")


class CallerAudio:
    """Takes each frame from the reader of the media stream, and sends it to the model's session.

    Frames are µ-law at 8000 Hz, in base64 as Twilio sends them. They come fifty times a second: the
    reader calls `take`, which appends to the session's wire, and nothing is in between.

    Args:
        now_ms: the leg's clock.
        feed: gives an event to the machine.
    """

    def __init__(
        self,
        model: ModelSide,
        machine: CallMachine,
        recorder: Recorder,
        now_ms: Callable[[], float],
        feed: Callable[[Event], None],
    ) -> None:
        #: Forward silence in place of the caller's frames, so that the model's time goes on.
        self.muted = False
        #: Frames forwarded since `take_event`.
        self.frames = 0
        self._model = model
        self._machine = machine
        self._recorder = recorder
        self._now_ms = now_ms
        self._feed = feed
        self._meter = VoiceMeter()
        self._sound = 0  # the sound that is measured now
        self._untold: set[type[CallerVoiced | CallerQuieted]] = set()
        self._unmeasured: list[bytes] = []
        self._forwarded_bytes = 0  # to all sessions
        self._counted_bytes = 0  # of these, before the last `take_event`
        self._buffered: list[Media] = []
        self._buffered_bytes = 0
        self._carried_bytes = 0  # of the buffer, what the session before has heard as well
        # What the session got since a successor was opened, the last `_KEPT_BYTES`.
        self._sent: list[Media] = []
        self._sent_bytes = 0
        self._of_wire: ModelWire | None = None  # of this session
        self._earlier_bytes = 0  # forwarded to the sessions before it

    def take(self, media: Media) -> None:
        """Record a frame, and forward it. Without a session that takes it, it is buffered."""
        if self.muted:
            media = _silenced(media)
        if self._recorder.records_audio:
            self._recorder.caller_frame(media.payload, media.timestamp, self._now_ms())
        if self._buffered or not self._append(media):
            self._buffer(media)
            self.forward_buffered()
        unmeasured, machine = self._unmeasured, self._machine
        unmeasured.append(media.ulaw)
        if machine.awaited_sound or machine.awaits_quiet or len(unmeasured) >= _MEASURED_AT_ONCE:
            self._measure()

    def _measure(self) -> None:
        """Measure the frames that are not yet, and tell the machine what it waits for."""
        self._catch_up()
        meter, machine = self._meter, self._machine
        if sound := machine.awaited_sound:
            self._tell(sound)
        elif meter.run_bytes >= _CONFIRMED_BYTES:
            from_ms = machine.voice_awaited_ms
            if from_ms != NEVER and self._now_ms() >= from_ms:
                self._feed(CallerVoiced())
        elif machine.awaits_quiet and meter.quiet_bytes >= _QUIET_BYTES:
            self._feed(CallerQuieted())

    def _catch_up(self) -> None:
        self._meter.take(self._unmeasured)
        self._unmeasured.clear()

    def _tell(self, sound: int) -> None:
        """Tell the machine, once for each sound that pauses the agent, when it holds enough voice,
        and when it is over."""
        meter = self._meter
        if sound != self._sound:
            self._sound, self._untold = sound, {CallerVoiced, CallerQuieted}
            meter.quiet_bytes = 0
        if CallerVoiced in self._untold and meter.run_bytes >= _CONFIRMED_BYTES:
            self._untold.clear()
            self._feed(CallerVoiced())
        elif CallerQuieted in self._untold and meter.quiet_bytes >= _QUIET_BYTES:
            self._untold.discard(CallerQuieted)
            self._feed(CallerQuieted())

    def forward_buffered(self) -> None:
        """Send the buffered frames while the session takes them. Call it when that may be so."""
        while self._buffered and self._append(self._buffered[0]):
            self._pop_buffered()

    def _append(self, media: Media) -> bool:
        """Append a frame to the session. Returns False when none takes it now."""
        model = self._model
        wire = model.wire
        if wire is None or not self._machine.hears_caller or not wire.append_audio(media.payload):
            return False
        if wire is not self._of_wire:
            self._of_wire, self._earlier_bytes = wire, self._forwarded_bytes
            self._forget_sent()
        self.frames += 1
        self._forwarded_bytes += len(media.ulaw)
        if model.successor is not None:
            self._keep_sent(media)
        elif self._sent:
            self._forget_sent()
        return True

    def _keep_sent(self, media: Media) -> None:
        """The session that takes over may have to hear this frame as well."""
        self._sent.append(media)
        self._sent_bytes += len(media.ulaw)
        while self._sent_bytes > _KEPT_BYTES:
            self._sent_bytes -= len(self._sent.pop(0).ulaw)

    def _forget_sent(self) -> None:
        self._sent.clear()
        self._sent_bytes = 0

    def carry_over(self, from_ms: int, most_ms: int) -> None:
        """Another session takes over: it gets the last frames again that the one before got.

        Args:
            from_ms: From where on; a position in the audio that the session got.
            most_ms: At most so much of their end.
        """
        position_bytes = self._forwarded_bytes - self._earlier_bytes
        wanted_bytes = position_bytes - from_ms * ULAW_BYTES_PER_MS
        wanted_bytes = min(wanted_bytes, most_ms * ULAW_BYTES_PER_MS)
        while self._sent and len(self._sent[-1].ulaw) <= wanted_bytes:
            media = self._sent.pop()
            size_bytes = len(media.ulaw)
            wanted_bytes -= size_bytes
            self._buffered.insert(0, media)
            self._buffered_bytes += size_bytes
            self._carried_bytes += size_bytes
        self._forget_sent()

    def take_event(self) -> CallerAudioForwarded:
        """How much was forwarded since this was last called."""
        self._catch_up()
        quiet_ms = self._meter.quiet_bytes // ULAW_BYTES_PER_MS
        size_bytes = self._forwarded_bytes - self._counted_bytes
        event = CallerAudioForwarded(self.frames, size_bytes, quiet_ms)
        self.frames, self._counted_bytes = 0, self._forwarded_bytes
        return event

    def _buffer(self, media: Media) -> None:
        self._buffered.append(media)
        self._buffered_bytes += len(media.ulaw)
        while self._buffered_bytes > MOST_BYTES + self._carried_bytes:
            self._pop_buffered()

    def _pop_buffered(self) -> None:
        size_bytes = len(self._buffered.pop(0).ulaw)
        self._buffered_bytes -= size_bytes
        self._carried_bytes = max(0, self._carried_bytes - size_bytes)


def _silenced(media: Media) -> Media:
    """Silence of the same length and timestamp."""
    if len(media.ulaw) == len(_SILENT_ULAW):
        return Media(_SILENT_PAYLOAD, _SILENT_ULAW, media.timestamp)
    ulaw = b"\xff" * len(media.ulaw)
    return Media(base64.b64encode(ulaw).decode("ascii"), ulaw, media.timestamp)
