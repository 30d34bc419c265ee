"""A call's sound: one stereo WAV, the caller left and the agent right, both when they sounded.

The file's clock is the timeline's: what came from the caller or began to play `at_ms` begins at
sample `8 * at_ms`, so the line's own delay is in neither side. The agent's side holds what was
heard of it and nothing else, by the same ledger that the model is told from.
"""

import asyncio
import audioop
import logging
import re
import struct
import threading
from binascii import a2b_base64
from collections import deque
from pathlib import Path
from tempfile import TemporaryFile

from app.audio import ULAW_BYTES_PER_MS, ULAW_HZ, silence, ulaw_decode
from app.call import commands as do
from app.call import events as ev
from app.records.private_files import new_private_file, private_folder

logger = logging.getLogger(__name__)

OPEN_MS = 10_000  # the newest part is kept in memory: what comes late still finds its place there
MOST_RUNS = 1000  # of the agent's audio, back to which a clear may reach
SETTLING_MS = 1000  # of a stream: meanwhile its frames show how fast the line can be
TOLERANCE_MS = 10  # of the line's jitter, afterwards
_CHANNELS, _SAMPLE_BYTES, _HEADER_BYTES = 2, 2, 44
_LARGEST_DATA_BYTES = 0xFFFF_FFFF - _HEADER_BYTES
_NOT_IN_NAMES = re.compile("[^A-Za-z0-9_-]")


def check_folder(folder: Path) -> None:
    """Make the folder if it is missing; only its owner may look into a new one. Raises OSError when
    nothing can be written there."""
    private_folder(folder)
    TemporaryFile(dir=folder).close()


def wav_header(data_bytes: int) -> bytes:
    """RIFF header of 44 bytes for stereo PCM of 16 bits at 8000 Hz (Microsoft: WAVEFORMATEX)."""
    frame_bytes = _CHANNELS * _SAMPLE_BYTES
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", _HEADER_BYTES - 8 + data_bytes, b"WAVE", b"fmt ", 16, 1, _CHANNELS, ULAW_HZ),
        *(ULAW_HZ * frame_bytes, frame_bytes, 8 * _SAMPLE_BYTES, b"data", data_bytes),
    )


class _Side:
    """µ-law of one side from sample `begin` on, with silence where nothing was put."""

    def __init__(self) -> None:
        self.begin = 0
        self._ulaw = bytearray()

    @property
    def end(self) -> int:
        return self.begin + len(self._ulaw)

    def put(self, at: int, ulaw: bytes) -> None:
        """Lay audio from sample `at` on. What was taken already is changed no more."""
        late = max(0, self.begin - at)
        place = at + late - self.begin
        if place > len(self._ulaw):
            self._ulaw += _silence(place - len(self._ulaw))
        fresh = ulaw[late:]
        self._ulaw[place : place + len(fresh)] = fresh

    def cut(self, at: int) -> None:
        """Nothing sounds from sample `at` on."""
        del self._ulaw[max(0, at - self.begin) :]

    def pull(self, at: int, samples: int) -> int:
        """What lies from sample `at` on sounded earlier by so much; returns by how much it could be
        moved over the silence before it."""
        place = max(0, at - self.begin)
        moved = min(samples, place)
        del self._ulaw[place - moved : place]
        return moved

    def take(self, until: int) -> bytes:
        """The samples before `until`; they are let go of."""
        size = max(0, until - self.begin)
        taken = bytes(self._ulaw[:size])
        del self._ulaw[:size]
        self.begin += size
        return taken + _silence(size - len(taken))


def _silence(samples: int) -> bytes:
    return silence(1)[:1] * samples


class CallSound:
    """Both sides of a call. Told what came and what was sent, with the timeline's time.

    The caller's frames are laid by Twilio's own time stamps, which keep their places when the
    network delivers them late (Twilio: media message, `timestamp` in ms from the stream's start).
    """

    def __init__(self) -> None:
        self.started = False
        self._caller, self._agent = _Side(), _Side()
        self._began_ms = 0.0  # of the present stream
        self._caller_from = 0  # sample at which its first frame lies
        self._offset_ms: float | None = None  # from Twilio's time stamps to our clock
        self._agent_until = 0  # sample at which what was sent is over
        self._runs: deque[list[int]] = deque(maxlen=MOST_RUNS)  # first sample, samples

    def stream_started(self, now_ms: float) -> None:
        self.started = True
        self._began_ms, self._offset_ms = now_ms, None

    def heard(self, payload: str, timestamp: object, now_ms: float) -> None:
        """A frame of the caller's. `payload`: base64 µ-law. `timestamp`: Twilio's, as it came."""
        ulaw = a2b_base64(payload)
        at_ms = self._at_ms(str(timestamp), now_ms)
        if at_ms is None:  # no time stamp to go by
            at = max(self._caller.end, _sample(now_ms))
        else:
            at = _sample(at_ms)
        self._caller.put(at, ulaw)

    def _at_ms(self, timestamp: str, now_ms: float) -> float | None:
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16):
            return None
        offset_ms = now_ms - int(timestamp)
        if self._offset_ms is None:
            self._offset_ms, self._caller_from = offset_ms, _sample(now_ms)
        elif offset_ms < self._offset_ms and now_ms < self._began_ms + SETTLING_MS:
            # This one was faster than all before it, so those were late by at least the difference.
            moved = self._caller.pull(self._caller_from, _sample(self._offset_ms - offset_ms))
            self._caller_from -= moved
            self._offset_ms -= moved / ULAW_BYTES_PER_MS
        elif offset_ms < self._offset_ms - TOLERANCE_MS:
            self._offset_ms = offset_ms  # it lay in the future; what was laid down stays
        at_ms = int(timestamp) + self._offset_ms
        return at_ms if abs(at_ms - now_ms) < OPEN_MS else None

    def ordered(self, command: do.Command, now_ms: float) -> None:
        """Something was sent, or taken back."""
        match command:
            case do.PlayAudio(_, payload):
                self._play(a2b_base64(payload), _sample(now_ms))
            case do.ClearAudio(dropped_bytes) | do.EndLeg(_, dropped_bytes):
                self._take_back(dropped_bytes)

    def _play(self, ulaw: bytes, now: int) -> None:
        at = max(self._agent_until, now)
        if self._runs and at == self._agent_until:
            self._runs[-1][1] += len(ulaw)
        else:
            self._runs.append([at, len(ulaw)])
        self._agent.put(at, ulaw)
        self._agent_until = at + len(ulaw)

    def _take_back(self, dropped_bytes: int) -> None:
        """The last of what was sent was not heard."""
        while dropped_bytes and self._runs:
            first, samples = self._runs.pop()
            kept = max(0, samples - dropped_bytes)
            dropped_bytes -= samples - kept
            self._agent_until = first + kept
        self._agent.cut(self._agent_until)

    def take(self, until_ms: float) -> bytes:
        """Stereo PCM of 16 bits, little-endian, of all before this that was not taken yet."""
        until = _sample(until_ms)
        left, right = (ulaw_decode(side.take(until)) for side in (self._caller, self._agent))
        pcm = audioop.add(audioop.tostereo(left, 2, 1, 0), audioop.tostereo(right, 2, 0, 1), 2)
        return pcm if _LITTLE_ENDIAN else audioop.byteswap(pcm, 2)


_LITTLE_ENDIAN = struct.pack("=H", 1) == struct.pack("<H", 1)


def _sample(at_ms: float) -> int:
    return round(at_ms * ULAW_BYTES_PER_MS)


class Recording:
    """The WAV of one call, which grows while the call lasts and is whole after every write.

    `path`: where it is, once something was written. A file that cannot be written costs the
    recording, never the call.
    """

    def __init__(self, folder: Path, call_sid: str) -> None:
        self.path: Path | None = None
        self._stem = folder / (_NOT_IN_NAMES.sub("_", call_sid) or "call")
        self._sound = CallSound()
        self._data_bytes = 0
        self._writing = asyncio.Lock()
        self._file_lock = threading.Lock()  # a write that nobody waits for any more goes on
        self._failed = False

    def event(self, event: ev.Event, now_ms: float) -> None:
        if isinstance(event, ev.StreamStarted):
            self._sound.stream_started(now_ms)

    def heard(self, payload: str, timestamp: object, now_ms: float) -> None:
        """A frame of the caller's came."""
        if not self._failed:
            self._sound.heard(payload, timestamp, now_ms)

    def command(self, command: do.Command, now_ms: float) -> None:
        if not self._failed:
            self._sound.ordered(command, now_ms)

    async def write(self, until_ms: float) -> None:
        """Write what sounded before `until_ms`, off the event loop."""
        async with self._writing:
            if not self._sound.started:
                return  # nobody was on the line yet, and perhaps never will be
            pcm = self._sound.take(until_ms)
            if self._failed or not pcm:
                return
            try:
                await asyncio.to_thread(self._append, pcm)
            except OSError as error:
                self._failed = True
                extra = {"file": str(self.path or self._stem), "cause": str(error)}
                logger.error("recording stopped, its file cannot be written", extra=extra)

    def _append(self, pcm: bytes) -> None:
        with self._file_lock:
            self._append_alone(pcm)

    def _append_alone(self, pcm: bytes) -> None:
        if self._data_bytes + len(pcm) > _LARGEST_DATA_BYTES:
            raise OSError("a WAV file holds no more than 4 GiB")
        if self.path is None:
            self.path = self._create()
        with open(self.path, "r+b") as file:
            file.seek(_HEADER_BYTES + self._data_bytes)
            file.write(pcm)
            self._data_bytes += len(pcm)
            file.seek(0)
            file.write(wav_header(self._data_bytes))

    def _create(self) -> Path:
        """A new file that only its owner may read; one that is there already stays as it is."""
        private_folder(self._stem.parent)
        number = 1
        while True:
            name = f"{self._stem.name}.wav" if number == 1 else f"{self._stem.name}-{number}.wav"
            path = self._stem.with_name(name).resolve()
            try:
                new_private_file(path)
                return path
            except FileExistsError:
                number += 1
