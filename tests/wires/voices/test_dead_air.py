"""Silence in a voice's sound is shortened, however the sound is divided."""

import random

import pytest

from app.wires.voices.dead_air import FRAME_BYTES, LONGEST_BYTES, DeadAir


def loud(frames: int) -> bytes:
    return b"\x00\x20\x00\xe0" * (FRAME_BYTES // 4 * frames)


def still(frames: int) -> bytes:
    return bytes(FRAME_BYTES * frames)


def shortened(sound: bytes, *, by: int = 1000) -> bytes:
    air = DeadAir()
    pieces = [air.feed(sound[at : at + by]) for at in range(0, len(sound), by)]
    return b"".join([*pieces, air.finish()])


@pytest.mark.parametrize(
    "sound",
    [
        loud(30),
        still(20) + loud(30) + still(60) + loud(5) + still(100),
        loud(3) + b"\x01",
        still(100) + loud(1),
    ],
)
@pytest.mark.parametrize("by", [1, 159, 160, 10_000])
def test_the_sound_of_a_sentence_stays_as_it_is(sound: bytes, by: int) -> None:
    assert shortened(sound, by=by) == sound


def test_a_long_silence_is_shortened_to_a_second() -> None:
    kept = LONGEST_BYTES // FRAME_BYTES
    sound = still(400) + loud(10) + still(700) + loud(10) + still(900)
    wanted = still(kept) + loud(10) + still(kept) + loud(10) + still(kept)
    for by in (160, 1000, random.Random(0).randrange(1, 5000)):
        assert shortened(sound, by=by) == wanted


def test_silence_alone_gives_nothing() -> None:
    assert shortened(still(300) + b"\x00" * 40) == b""


def test_it_says_that_a_long_silence_lasts() -> None:
    air = DeadAir()
    air.feed(still(100))
    assert not air.lasts
    air.feed(still(1))
    assert air.lasts
    air.feed(loud(1))
    assert not air.lasts
