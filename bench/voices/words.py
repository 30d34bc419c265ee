"""Which words of an answer were played, told from the sound itself, against those that were told.

Places are bytes of µ-law at 8000 Hz, one for each sample, from where something begins. An answer is
said in pieces, one after the other; to each the service adds what it lacks to whole frames of 20 ms
(app/bridge/leg/voice_side.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.audio import ULAW_HZ, resample_pcm16, ulaw_decode
from app.simulator.voices.mouth import Said, Spoken
from bench.stamps import FRAME_BYTES

QUIET = 0.02  # of the loudest sample of its text: below it nothing sounds
BLOCK_BYTES = 200 * ULAW_HZ // 1000  # as much is compared at a time
ALIKE = 0.7  # correlation; another rate on the way costs a little, another sound nearly all
LAGS = range(-3, 4)  # bytes: resamplers do not agree to the sample

Samples = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Piece:
    """A text that was said in one go, as the telephone has it. `words`: where each begins to sound
    and ends to. `samples`: its sound, `size_bytes` of them."""

    text: str
    size_bytes: int
    words: tuple[tuple[int, int], ...]
    samples: Samples


def piece(text: str, spoken: Spoken, hz: int) -> Piece:
    """What the mouth said at `hz`, as the telephone has it. What it says in one breath, such as "of
    the", is given to the words in it by their letters."""
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
    """What a stand-in has said, each text once; its mouth must always say it alike."""
    found: dict[str, Piece] = {}
    for said in all_said:
        if said.text.strip() not in found:
            found[said.text.strip()] = piece(said.text, said.spoken, said.hz)
    return found


def pieces_of(text: str, known: Mapping[str, Piece]) -> list[Piece]:
    """The pieces in which this text was said, as far as it was. No piece of one text may begin as
    another text goes on."""
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
    """How many words were played when so much of the pieces' sound was: those of which at least
    half was."""
    count = start = 0
    for each in pieces:
        count += sum(start + (begin + end) / 2 <= heard_bytes for begin, end in each.words)
        start += each.size_bytes
    return count


def words_told(text: str, told: str) -> int | None:
    """How many words of a text somebody was told; None when they are not its first ones."""
    words = told.split()
    return len(words) if text.split()[: len(words)] == words else None


def foreign_bytes(ulaw: bytes, pieces: Sequence[Piece]) -> int:
    """How much of a sound, looked at block by block, is not what the pieces sound like there. What
    lies past their end is foreign too, unless it is silent; so is everything behind a sound that
    does not belong, because it is not in its place."""
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
    """Whether it is what is expected there, or both are silent."""
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
