"""A call's recording: one stereo WAV file, the caller left, the agent right.

The file has the timeline's clock: audio that arrived from the caller, or began to play, `at_ms` is
at sample `8 * at_ms`, so neither side includes the delay of the line. The agent's side holds only
what the caller heard, by the playback ledger from which the model's items are truncated too.
"""

import asyncio
import audioop
import logging
import os
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

OPEN_MS = 10_000  # the newest part stays in memory, where late frames can still be placed
MOST_RUNS = 1000  # of the agent's audio: how far back a clear may reach
SETTLING_MS = 1000  # from the start of a stream: its fastest frame sets the clock offset
TOLERANCE_MS = 10  # of jitter, afterwards
HEADER_BYTES = 44
_CHANNELS, _SAMPLE_BYTES = 2, 2
FRAME_BYTES = _CHANNELS * _SAMPLE_BYTES
_LARGEST_DATA_BYTES = 0xFFFF_FFFF - HEADER_BYTES
_NOT_IN_NAMES = re.compile("[^A-Za-z0-9_-]")


def check_folder(folder: Path) -> None:
    """Create the folder if it is missing, readable by its owner alone, and check that files can be
    written there. Raises OSError."""
    private_folder(folder)
    TemporaryFile(dir=folder).close()


def wav_header(data_bytes: int) -> bytes:
    """RIFF header of 44 bytes for stereo PCM of 16 bits at 8000 Hz (Microsoft: WAVEFORMATEX)."""
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", HEADER_BYTES - 8 + data_bytes, b"WAVE", b"fmt ", 16, 1, _CHANNELS, ULAW_HZ),
        *(ULAW_HZ * FRAME_BYTES, FRAME_BYTES, 8 * _SAMPLE_BYTES, b"data", data_bytes),
    )


class _Side:
    """µ-law of one side, from sample `begin` on. Gaps are silence."""

    def __init__(self) -> None:
        self.begin = 0
        self._ulaw = bytearray()

    @property
    def end(self) -> int:
        return self.begin + len(self._ulaw)

    def put(self, at: int, ulaw: bytes) -> None:
        """Place audio at sample `at`. What lies before `begin` is dropped."""
        late = max(0, self.begin - at)
        place = at + late - self.begin
        if place > len(self._ulaw):
            self._ulaw += _silence(place - len(self._ulaw))
        fresh = ulaw[late:]
        self._ulaw[place : place + len(fresh)] = fresh

    def cut(self, at: int) -> None:
        """Remove everything from sample `at` on."""
        del self._ulaw[max(0, at - self.begin) :]

    def pull(self, at: int, samples: int) -> int:
        """Move everything from sample `at` on to the left by this many samples, over what is before
        it. Returns how many there was room for."""
        place = max(0, at - self.begin)
        moved = min(samples, place)
        del self._ulaw[place - moved : place]
        return moved

    def take(self, until: int) -> bytes:
        """Remove and return the samples before `until`."""
        size = max(0, until - self.begin)
        taken = bytes(self._ulaw[:size])
        del self._ulaw[:size]
        self.begin += size
        return taken + _silence(size - len(taken))


def _silence(samples: int) -> bytes:
    return silence(1)[:1] * samples


class CallSound:
    """Both sides of a call, placed on the timeline's clock.

    The caller's frames are placed by Twilio's timestamps, so a frame that the network delivers late
    is not misplaced (Twilio: media message, `timestamp` in ms from the stream's start).
    """

    def __init__(self) -> None:
        self.started = False
        self._caller, self._agent = _Side(), _Side()
        self._began_ms = 0.0  # of the present stream
        self._caller_from = 0  # sample of its first frame
        self._offset_ms: float | None = None  # from Twilio's timestamps to the timeline
        self._agent_until = 0  # sample at which the sent audio ends
        self._runs: deque[list[int]] = deque(maxlen=MOST_RUNS)  # first sample, samples

    def stream_started(self, now_ms: float) -> None:
        self.started = True
        self._began_ms, self._offset_ms = now_ms, None

    def skip(self, until_ms: float) -> int:
        """Nothing comes before this, on either side; call it first. Returns the samples skipped."""
        self._caller.begin = self._agent.begin = _sample(until_ms)
        return self._caller.begin

    def caller_frame(self, payload: str, timestamp: object, now_ms: float) -> None:
        """Place a frame of the caller's. `payload`: base64 µ-law. `timestamp`: Twilio's, or any."""
        ulaw = a2b_base64(payload)
        at_ms = self._at_ms(str(timestamp), now_ms)
        if at_ms is None:  # no usable timestamp
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
            # Faster than all frames before it: those were late by the difference at least.
            moved = self._caller.pull(self._caller_from, _sample(self._offset_ms - offset_ms))
            self._caller_from -= moved
            self._offset_ms -= moved / ULAW_BYTES_PER_MS
        elif offset_ms < self._offset_ms - TOLERANCE_MS:
            self._offset_ms = offset_ms  # its place was in the future; earlier frames stay
        at_ms = int(timestamp) + self._offset_ms
        return at_ms if abs(at_ms - now_ms) < OPEN_MS else None

    def command(self, command: do.Command, now_ms: float) -> None:
        """Place audio that was sent, or remove audio that was cleared or never played."""
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
        """Remove the last `dropped_bytes` that were sent: they were not heard."""
        while dropped_bytes and self._runs:
            first, samples = self._runs.pop()
            kept = max(0, samples - dropped_bytes)
            dropped_bytes -= samples - kept
            self._agent_until = first + kept
        self._agent.cut(self._agent_until)

    def take(self, until_ms: float) -> bytes:
        """Remove and return everything before `until_ms`: stereo PCM, 16 bits, little-endian."""
        left, right = map(ulaw_decode, self._take(until_ms))
        pcm = audioop.add(audioop.tostereo(left, 2, 1, 0), audioop.tostereo(right, 2, 0, 1), 2)
        return pcm if _LITTLE_ENDIAN else audioop.byteswap(pcm, 2)

    def take_ulaw(self, until_ms: float) -> bytes:
        """The same as µ-law: one byte of the caller's, one of the agent's, and so on."""
        left, right = self._take(until_ms)
        both = bytearray(2 * len(left))
        both[::2], both[1::2] = left, right
        return bytes(both)

    def _take(self, until_ms: float) -> tuple[bytes, bytes]:
        until = _sample(until_ms)
        return self._caller.take(until), self._agent.take(until)


_LITTLE_ENDIAN = struct.pack("=H", 1) == struct.pack("<H", 1)


def _sample(at_ms: float) -> int:
    return round(at_ms * ULAW_BYTES_PER_MS)


class Recording:
    """The WAV file of one call. It grows during the call, and is valid after every write.

    A file that cannot be written ends the recording, not the call.
    """

    def __init__(self, folder: Path, call_sid: str, at: str = "") -> None:
        #: Where the folder is, in words for people.
        self.at = at
        #: None until the file is created.
        self.path: Path | None = None
        #: On the timeline: nothing sounds before this.
        self.from_ms = 0.0
        self._stem = folder / (_NOT_IN_NAMES.sub("_", call_sid) or "call")
        self._sound = CallSound()
        self._data_bytes = 0
        self._writing = asyncio.Lock()
        self._file_lock = threading.Lock()  # a cancelled `write` leaves its thread running
        self._failed = False

    def event(self, event: ev.Event, now_ms: float) -> None:
        if isinstance(event, ev.StreamStarted):
            if not self._sound.started:
                # What another process recorded is a hole in this file. The caller's first frames
                # may have been late, and belong before the stream's start.
                self.from_ms = max(0.0, now_ms - SETTLING_MS)
                self._data_bytes = FRAME_BYTES * self._sound.skip(self.from_ms)
            self._sound.stream_started(now_ms)

    def caller_frame(self, payload: str, timestamp: object, now_ms: float) -> None:
        """Add a frame of the caller's. `payload`: base64 µ-law. `timestamp`: Twilio's."""
        if not self._failed:
            self._sound.caller_frame(payload, timestamp, now_ms)

    def command(self, command: do.Command, now_ms: float) -> None:
        if not self._failed:
            self._sound.command(command, now_ms)

    async def write(self, until_ms: float) -> None:
        """Write everything before `until_ms` of the timeline, in a thread."""
        async with self._writing:
            if not self._sound.started:
                return  # no stream has started: create no file
            pcm = self._sound.take(until_ms)
            if self._failed or (self.path is not None and not pcm):
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
            path = self._create()
            os.truncate(path, HEADER_BYTES + self._data_bytes)  # a hole, which reads as silence
            self.path = path
        with open(self.path, "r+b") as file:
            file.seek(HEADER_BYTES + self._data_bytes)
            file.write(pcm)
            self._data_bytes += len(pcm)
            file.seek(0)
            file.write(wav_header(self._data_bytes))

    def _create(self) -> Path:
        """Create a new file that only its owner may read. Never replace one: number the name."""
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
