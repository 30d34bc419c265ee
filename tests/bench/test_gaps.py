"""A gap is a delay of the service: not of the model, and not of the load itself."""

from math import inf

import pytest

from bench.strangers.gaps import Stalls, gap_ms

EVER = (-inf, 10_000.0)


def frames(*at_ms: float) -> list[float]:
    return list(at_ms)


def test_audio_that_is_passed_on_at_once_has_no_gap() -> None:
    sent = frames(0, 20, 40, 60)
    assert gap_ms(sent, [at_ms + 1 for at_ms in sent], Stalls(), EVER) == pytest.approx(1)


def test_frames_that_are_held_up_leave_a_gap_before_the_first_of_them() -> None:
    sent = frames(0, 20, 40, 60, 80)
    assert gap_ms(sent, frames(1, 21, 521, 521, 521), Stalls(), EVER) == pytest.approx(480)


def test_the_first_frame_counts_from_when_it_was_sent() -> None:
    assert gap_ms(frames(0, 20), frames(300, 301), Stalls(), EVER) == pytest.approx(300)


def test_a_pause_of_the_model_is_not_a_gap() -> None:
    assert gap_ms(frames(0, 20, 900), frames(1, 21, 902), Stalls(), EVER) == pytest.approx(1)


def test_a_frame_that_never_arrives_is_waited_for_to_the_end() -> None:
    assert gap_ms(frames(0, 20, 40), frames(1, 21), Stalls(), (0, 3000)) == pytest.approx(2959)
    assert gap_ms(frames(0, 20), (), Stalls(), (0, 3000)) == pytest.approx(3000)


def test_a_frame_that_is_sent_after_the_window_makes_no_gap() -> None:
    assert gap_ms(frames(0, 4000), frames(1), Stalls(), (0, 3000)) == pytest.approx(1)


def test_gaps_outside_the_window_do_not_count() -> None:
    sent, arrived = frames(0, 20, 40, 60), frames(1, 501, 502, 700)
    assert gap_ms(sent, arrived, Stalls(), (600, 1000)) == pytest.approx(178)
    assert gap_ms(sent, arrived, Stalls(), (2000, 3000)) == 0


def test_stalls_of_the_load_are_subtracted() -> None:
    stalls = Stalls()
    stalls.late(at_ms=90, late_ms=60)
    assert gap_ms(frames(0, 20), frames(1, 91), stalls, EVER) == pytest.approx(10)


def test_timers_that_catch_up_are_one_stall() -> None:
    stalls = Stalls()
    for at_ms, late_ms in ((100, 50), (101, 46), (102, 42), (300, 5)):
        stalls.late(at_ms, late_ms)
    assert stalls.within(0, 1000) == pytest.approx(52 + 5)
    assert stalls.within(60, 80) == pytest.approx(20)
    assert stalls.within(102, 295) == 0
    assert stalls.longest_ms(0, 1000) == pytest.approx(52)
    assert stalls.longest_ms(200, 1000) == pytest.approx(5)
