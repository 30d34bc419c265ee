"""The loudness of each side of a recording, in cells of 10 ms, and where sound starts and ends.

A call of half an hour is 180 000 cells a side, a megabyte.
"""

import audioop
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.records.report.recorded_pcm import AGENT, CALLER, HZ, SAMPLE_BYTES, read_pcm

CELL_MS = 10
_CELL_SAMPLES = HZ * CELL_MS // 1000
_READ_CELLS = 1000

# The least noise to compare with, since a line may be digitally silent: -66 dBFS, an empty office.
_LEAST_QUIET = 16.0
_LEAST_CONTRAST = 2.0  # 6 dB: with less between loud and quiet, no sound can be told from noise
_LEVEL_SHARE = 0.35  # of the way from quiet to loud, in dB: above breath, below a last syllable
_SOUND_CELLS = 2  # a lone cell is a click


@dataclass(frozen=True, slots=True)
class Side:
    """One side, in cells of `CELL_MS` from 0 ms on."""

    #: 0 to 32768, for each cell.
    rms: Sequence[int]
    peak: Sequence[int]

    def level(self, from_ms: float, to_ms: float, *, rest_ms: float = 0.0) -> float | None:
        """The rms above which this stretch is sound. It follows from the stretch alone: the noise
        of one line is louder than speech on another. None: no sound can be told from noise.

        `rest_ms`: how much of its end is known to be without speech. That tells noise from speech
        in a turn without a pause.
        """
        cells = sorted(self.rms[_cell(from_ms) : _cell(to_ms)])
        if not cells:
            return None
        rest = sorted(self.rms[_cell(to_ms - rest_ms) : _cell(to_ms)]) or cells
        noise = min(cells[len(cells) // 10], rest[len(rest) // 2])
        quiet = max(_LEAST_QUIET, noise)
        loud = cells[len(cells) * 19 // 20]
        if loud < _LEAST_CONTRAST * quiet:
            return None
        return float(quiet * (loud / quiet) ** _LEVEL_SHARE)

    def first_sound_ms(self, level: float, from_ms: float, to_ms: float) -> float | None:
        """Where sound starts in a stretch; None: there is none."""
        begin, end = _cell(from_ms), min(_cell(to_ms), len(self.rms))
        for cell in range(begin, end - _SOUND_CELLS + 1):
            if self._sounds(cell, level):
                return float(max(from_ms, cell * CELL_MS))
        return None

    def last_sound_ms(self, level: float, from_ms: float, to_ms: float) -> float | None:
        """Where the last sound of a stretch ends; None: there is none."""
        begin, end = _cell(from_ms), min(_cell(to_ms), len(self.rms))
        for cell in range(end - _SOUND_CELLS, begin - 1, -1):
            if self._sounds(cell, level):
                return float(min(to_ms, (cell + _SOUND_CELLS) * CELL_MS))
        return None

    def _sounds(self, cell: int, level: float) -> bool:
        return all(rms > level for rms in self.rms[cell : cell + _SOUND_CELLS])


@dataclass(frozen=True, slots=True)
class Levels:
    """Both sides of a call."""

    caller: Side
    agent: Side

    @property
    def length_ms(self) -> int:
        return len(self.caller.rms) * CELL_MS


def read_levels(wav: Path) -> Levels:
    """Read a recording. A file that still grows is read up to its present end.

    Raises:
        RecordingUnreadable: it is missing, or not in the format of `app.records.recording`.
    """
    sides = tuple((array("H"), array("H")) for _ in range(2))
    for pcm in read_pcm(wav, _READ_CELLS * _CELL_SAMPLES):
        for (rms, peak), of in zip(sides, (CALLER, AGENT), strict=True):
            _measure(audioop.tomono(pcm, SAMPLE_BYTES, *of), rms, peak)
    return Levels(*(Side(rms, peak) for rms, peak in sides))


def _measure(mono: bytes, rms: "array[int]", peak: "array[int]") -> None:
    size = _CELL_SAMPLES * SAMPLE_BYTES
    for start in range(0, len(mono), size):
        cell = mono[start : start + size]
        rms.append(audioop.rms(cell, SAMPLE_BYTES))
        peak.append(audioop.max(cell, SAMPLE_BYTES))


def _cell(at_ms: float) -> int:
    return max(0, int(at_ms // CELL_MS))
