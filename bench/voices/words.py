"""Which words of an answer were played, found in the sound itself.

Places are bytes of µ-law at 8000 Hz, one for each sample, from the begin of a piece or answer. An
answer is said in pieces; the service pads each to whole frames of 20 ms
(app/bridge/leg/voice_side.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.audio import ULAW_HZ, resample_pcm16, ulaw_decode
from app.simulator.voices.mouth import Said, Spoken
from bench.stamps import FRAME_BYTES

QUIET = 0.02  # of the loudest sample of a text: samples below are silence
PLAYED = 0.75  # of a word: then it counts as played
BLOCK_BYTES = 200 * ULAW_HZ // 1000  # compared at a time
ALIKE = 0.7  # least correlation: resampling costs a little, another sound nearly all
LAGS = range(-3, 4)  # bytes: resamplers differ by some samples

Samples = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Piece:
    """A text that was said in one request, as it sounds on the phone."""

    text: str
    size_bytes: int
    #: Begin and end of each word.
    words: tuple[tuple[int, int], ...]
    #: `size_bytes` samples.
    samples: Samples


def piece(text: str, spoken: Spoken, hz: int) -> Piece:
    """The sound of a mouth at `hz`, as it sounds on the phone. Words that the mouth joins, such as
    "of the", share their sound by their number of letters."""
    samples = np.frombuffer(spoken.pcm, "<i2").astype(np.float64)
    loud = np.flatnonzero(np.abs(samples) > QUIET * np.abs(samples).max(initial=1.0))
    offsets = [word.offset_bytes // 2 for word in spoken.words] + [len(samples)]
    words = []
    for said, begin, end in zip(spoken.words, offsets, offsets[1:], strict=False):
        sounding = loud[np.searchsorted(loud, begin) : np.searchsorted(loud, end)]
        if len(sounding):
            begin, end = int(sounding[0]), int(sounding[-1]) + 1
        words += _shared(said.text.split(), begin, end)
    phone = np.frombuffer(resample_pcm16(spoken.pcm, hz, ULAW_HZ), "<i2").astype(np.float64)
    size_bytes = -(-round(len(samples) * ULAW_HZ / hz) // FRAME_BYTES) * FRAME_BYTES
    return Piece(
        text.strip(),
        size_bytes,
        tuple((begin * ULAW_HZ // hz, end * ULAW_HZ // hz) for begin, end in words),
        np.pad(phone, (0, max(0, size_bytes - len(phone))))[:size_bytes],
    )


def _shared(words: Sequence[str], begin: int, end: int) -> list[tuple[int, int]]:
    letters = [max(1, sum(map(str.isalnum, word))) for word in words]
    places = [begin + (end - begin) * sum(letters[:n]) // sum(letters) for n in range(len(words))]
    return list(zip(places, [*places[1:], end], strict=True))


def pieces_by_text(all_said: Iterable[Said]) -> dict[str, Piece]:
    """The pieces that a stand-in said, by text. Its mouth must say a text the same each time."""
    found: dict[str, Piece] = {}
    for said in all_said:
        if said.text.strip() not in found:
            found[said.text.strip()] = piece(said.text, said.spoken, said.hz)
    return found


def pieces_of(text: str, known: Mapping[str, Piece]) -> list[Piece]:
    """The pieces in which a text was said, as far as it was. A piece of one text must not match the
    continuation of another."""
    pieces: list[Piece] = []
    rest = text.lstrip()
    while rest:
        begins = max((each for each in known if rest.startswith(each)), key=len, default="")
        if not begins:
            break
        pieces.append(known[begins])
        rest = rest[len(begins) :].lstrip()
    return pieces


def words_played(pieces: Sequence[Piece], heard_bytes: int) -> int:
    """How many words were played with `heard_bytes` of the pieces: those of which at least `PLAYED`
    was heard."""
    count = start = 0
    for each in pieces:
        places = (start + begin + PLAYED * (end - begin) for begin, end in each.words)
        count += sum(place <= heard_bytes for place in places)
        start += each.size_bytes
    return count


def words_told(text: str, told: str) -> int | None:
    """The number of words in `told`; None if they are not the first words of `text`."""
    words = told.split()
    return len(words) if text.split()[: len(words)] == words else None


def foreign_bytes(ulaw: bytes, pieces: Sequence[Piece]) -> int:
    """How much of a sound differs from the pieces at its place, compared block by block.

    Sound past their end is foreign, unless it is silent. So is everything after a foreign sound,
    because it is out of place.
    """
    samples = np.frombuffer(ulaw_decode(ulaw), "<i2").astype(np.float64)
    expected = np.concatenate([np.zeros(0), *(each.samples for each in pieces)])
    expected = np.pad(expected, (0, max(0, len(samples) - len(expected))))
    foreign = 0
    for start in range(0, len(samples), BLOCK_BYTES):
        got = samples[start : start + BLOCK_BYTES]
        if not _alike(got, expected, start):
            foreign += len(got)
    return foreign


def _alike(got: Samples, expected: Samples, start: int) -> bool:
    """Whether a block is the expected sound, or both are silent."""
    silent = 300.0 * len(got) ** 0.5  # 40 dB below full scale
    best = 0.0
    for lag in LAGS:
        there = expected[max(0, start + lag) : max(0, start + lag) + len(got)]
        here = got[: len(there)]
        norms = float(np.linalg.norm(here)), float(np.linalg.norm(there))
        if max(norms) <= silent:
            return True
        if min(norms) > 0:
            best = max(best, float(here @ there) / (norms[0] * norms[1]))
    return best >= ALIKE
