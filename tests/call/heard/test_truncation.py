"""Accuracy of truncation at a barge-in: the reported length against what Twilio had played.

All in virtual time, so the numbers are the same on every machine.
"""

from dataclasses import dataclass, field
from functools import partial
from random import Random
from statistics import median, quantiles

import pytest

from app.call import commands as do
from tests.call.scene import BYTES_PER_MS, Scene

INTERRUPTIONS = 200
TURNS_OF_A_CALL = 10
JITTER_MS = 20.0
ROUNDING_MS = 1.0  # a report is in whole milliseconds
UNNOTICED_MS = ROUNDING_MS + 4 * JITTER_MS  # the round trip and the audio may both be off


class Answer:
    """The model's answer, a delta of 100 ms every `pace_ms`."""

    def __init__(self, scene: Scene, number: int, length_ms: int, pace_ms: float) -> None:
        self.scene = scene
        self.item_id, self.response_id = f"item_{number}", f"resp_{number}"
        self.length_ms = length_ms
        self.received_ms = 0
        self.cancelled = False
        scene.begin(self.item_id, self.response_id)
        self._go_on(pace_ms)

    def _go_on(self, pace_ms: float) -> None:
        if self.cancelled:
            return
        size_ms = min(100, self.length_ms - self.received_ms)
        self.received_ms += size_ms
        self.scene.audio(size_ms, self.item_id, self.response_id)
        if self.received_ms == self.length_ms:
            self.scene.finish(self.item_id, self.response_id)
        else:
            self.scene.later(pace_ms, partial(self._go_on, pace_ms))

    def cancel(self) -> None:
        """The caller barges in: the model stops a while later."""
        if self.received_ms == self.length_ms:
            return
        self.scene.audio(100, self.item_id, self.response_id)  # was on its way
        self.cancelled = True
        self.scene.finish(self.item_id, self.response_id, "cancelled")

    def heard_ms(self, at_ms: float) -> float:
        return self.scene.line.heard_bytes(self.item_id, at_ms) / BYTES_PER_MS


@dataclass
class Measured:
    """The results of many barge-ins."""

    #: Reported minus played length.
    errors_ms: list[float] = field(default_factory=list)
    #: What was still to be played when a barge-in truncated nothing.
    missed_ms: list[float] = field(default_factory=list)
    #: Truncations of items that were heard to their end.
    needless: int = 0


def interrupt(scene: Scene, random: Random, number: int, measured: Measured) -> None:
    length_ms = random.randint(500, 12_000)
    answer = Answer(scene, number, length_ms, pace_ms=random.choice([1, 10, 40, 80]))
    scene.run(random.uniform(0, length_ms + 1000))
    received_ms, clears = answer.received_ms, len(scene.line.clock.clears)
    commands = scene.speak(f"user_{number}")
    complete = received_ms == length_ms
    answer.cancel()
    spoke_ms = scene.now_ms
    scene.run(2000)
    ended_ms = scene.now_ms
    cuts = [c for c in commands if isinstance(c, do.TruncateItem | do.DeleteItem)]
    if cuts:
        (cut,) = cuts
        assert cut.item_id == answer.item_id
        reported_ms = cut.audio_end_ms if isinstance(cut, do.TruncateItem) else 0
        assert reported_ms <= received_ms
        if len(scene.line.clock.clears) > clears:
            cleared_ms = scene.line.cleared_ms
            # Not a byte of it is heard after the clear, whatever was on its way.
            assert answer.heard_ms(ended_ms) == answer.heard_ms(cleared_ms)
        measured.errors_ms.append(reported_ms - answer.heard_ms(ended_ms))
        measured.needless += complete and answer.heard_ms(ended_ms) >= length_ms
    else:
        assert complete
        effective_ms = spoke_ms + scene.line.up_ms
        measured.missed_ms.append(length_ms - answer.heard_ms(effective_ms))
        assert answer.heard_ms(ended_ms) == length_ms
    scene.fall_silent(f"user_{number}")
    scene.run(random.uniform(0, 1000))


def measure(delay_ms: float, jitter_ms: float) -> Measured:
    random = Random(f"{delay_ms} {jitter_ms}")
    measured = Measured()
    while len(measured.errors_ms) < INTERRUPTIONS:
        scene = Scene(up_ms=delay_ms, down_ms=delay_ms, jitter_ms=jitter_ms, random=random)
        scene.connect()
        for turn in range(TURNS_OF_A_CALL):
            interrupt(scene, random, turn, measured)
    assert measured.missed_ms  # some spoke when the agent had ended, and cut nothing
    return measured


def p99(errors_ms: list[float]) -> float:
    return quantiles(sorted(map(abs, errors_ms)), n=100)[98]


@pytest.mark.parametrize("delay_ms", [0.0, 40.0, 120.0])
def test_a_steady_network_leaves_no_doubt_what_was_heard(delay_ms: float) -> None:
    measured = measure(delay_ms, 0.0)
    assert median(map(abs, measured.errors_ms)) <= 5
    assert p99(measured.errors_ms) <= 20
    assert max(measured.missed_ms) <= ROUNDING_MS
    assert measured.needless == 0


@pytest.mark.parametrize("delay_ms", [0.0, 40.0, 120.0])
def test_a_jittery_network_costs_no_more_than_its_jitter(delay_ms: float) -> None:
    measured = measure(delay_ms, JITTER_MS)
    assert median(map(abs, measured.errors_ms)) <= 20
    assert p99(measured.errors_ms) <= 20 + 2 * JITTER_MS
    assert max(measured.missed_ms) <= UNNOTICED_MS
    # A clear that was late by its own jitter may find an answer that has just ended.
    assert measured.needless <= INTERRUPTIONS * 0.02
