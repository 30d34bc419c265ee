"""The sound of a recording as µ-law, which is what the phone line had."""

import audioop
from collections.abc import Iterator
from pathlib import Path

from app.records.report.recorded_pcm import HZ, SAMPLE_BYTES, read_pcm

_READ_FRAMES = 10 * HZ


def read_ulaw(wav: Path, side: tuple[int, int]) -> Iterator[bytes]:
    """One side of a recording, in pieces. µ-law, 8000 Hz, 1 byte per sample, from 0 ms of the
    timeline.

    Args:
        side: `CALLER` or `AGENT` of `recorded_pcm`.

    Raises:
        RecordingUnreadable: it is missing, or not in the format of `app.records.recording`.
    """
    for pcm in read_pcm(wav, _READ_FRAMES):
        yield audioop.lin2ulaw(audioop.tomono(pcm, SAMPLE_BYTES, *side), SAMPLE_BYTES)
