"""The playback buffer: what was heard, and when marks are echoed."""

from math import inf

from bench.playback import PlaybackBuffer


def test_audio_plays_eight_bytes_a_millisecond_one_after_the_other() -> None:
    playback = PlaybackBuffer()
    playback.play(1, 800, now_ms=1000)
    playback.play(1, 800, now_ms=1010)
    playback.play(2, 400, now_ms=1020)
    assert playback.end_ms == 1250
    assert playback.heard_ms(1, now_ms=1150) == 150
    assert playback.heard_ms(2, now_ms=1150) == 0
    assert (playback.heard_ms(1), playback.heard_ms(2)) == (200, 50)


def test_a_pause_of_the_model_is_not_heard_as_speech() -> None:
    playback = PlaybackBuffer()
    playback.play(1, 80, now_ms=0)
    playback.play(1, 80, now_ms=500)
    assert playback.heard_ms(1, now_ms=505) == 15
    assert playback.ended_ms(1) == 510


def test_a_clear_cuts_what_plays_and_drops_what_waits() -> None:
    playback = PlaybackBuffer()
    playback.play(1, 800, now_ms=0)
    playback.play(2, 800, now_ms=0)
    playback.clear(now_ms=60)
    assert (playback.heard_ms(1), playback.heard_ms(2)) == (60, 0)
    assert playback.end_ms == playback.ended_ms(1) == 60
    playback.play(3, 80, now_ms=70)
    assert playback.ended_ms(3) == 80


def test_a_clear_of_silence_changes_nothing() -> None:
    playback = PlaybackBuffer()
    playback.play(1, 80, now_ms=0)
    playback.clear(now_ms=100)
    assert playback.heard_ms(1) == 10
    assert playback.end_ms == 10


def test_a_mark_is_due_when_the_audio_before_it_has_played() -> None:
    playback = PlaybackBuffer()
    playback.play(1, 80, now_ms=0)
    playback.mark("end of the first", now_ms=1)
    playback.play(1, 80, now_ms=2)
    playback.mark("end of the second", now_ms=3)
    assert playback.next_mark_ms == 10
    assert playback.reached_marks(now_ms=9) == []
    assert playback.reached_marks(now_ms=10) == ["end of the first"]
    assert playback.reached_marks(now_ms=20) == ["end of the second"]
    assert playback.next_mark_ms == inf


def test_a_mark_on_an_empty_buffer_is_due_at_once() -> None:
    playback = PlaybackBuffer()
    playback.mark("round trip", now_ms=5)
    assert playback.reached_marks(now_ms=5) == ["round trip"]


def test_a_clear_echoes_every_outstanding_mark() -> None:
    playback = PlaybackBuffer()
    playback.play(1, 80, now_ms=0)
    playback.mark("a", now_ms=0)
    playback.mark("b", now_ms=0)
    assert playback.clear(now_ms=1) == ["a", "b"]
    assert playback.next_mark_ms == inf
