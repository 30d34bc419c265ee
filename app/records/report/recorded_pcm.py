"""Reads the samples of a recording.

Reads what `app.records.recording` writes: stereo PCM of 16 bits at 8000 Hz, the caller left and the
agent right, on the timeline's clock.
"""

import wave
from collections.abc import Iterator
from pathlib import Path

from app.errors import BridgeError

HZ = 8000
SAMPLE_BYTES = 2
FRAME_BYTES = 2 * SAMPLE_BYTES
#: To multiply the left and the right sample with, for `audioop.tomono`.
CALLER, AGENT = (1, 0), (0, 1)


class RecordingUnreadable(BridgeError):
    """The file is missing, or not in the format of `app.records.recording`."""


def read_pcm(wav: Path, frames: int) -> Iterator[bytes]:
    """Yield pieces of this many frames, the last one shorter. A file that still grows is read up to
    its present end.

    Raises:
        RecordingUnreadable: it is missing, or not in the format of `app.records.recording`.
    """
    try:
        with wave.open(str(wav), "rb") as file:
            form = file.getnchannels(), file.getsampwidth(), file.getframerate()
            if form != (2, SAMPLE_BYTES, HZ):
                raise RecordingUnreadable(
                    f"{wav}: expected stereo PCM of 16 bits at {HZ} Hz, got {form[0]} channels "
                    f"of {8 * form[1]} bits at {form[2]} Hz"
                )
            while pcm := file.readframes(frames):
                yield pcm[: len(pcm) // FRAME_BYTES * FRAME_BYTES]
    except (OSError, EOFError, wave.Error) as error:
        cause = getattr(error, "strerror", None) or str(error) or "it is cut short"
        raise RecordingUnreadable(f"{wav}: the recording cannot be read: {cause}") from error
