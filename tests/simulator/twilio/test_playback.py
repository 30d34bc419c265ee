"""The playback clock: time is a number, so ten minutes pass at once."""

import pytest

from app.simulator.twilio.media.playback import PlaybackClock


def ulaw(size_ms: int, fill: int = 1) -> bytes:
    return bytes([fill]) * (size_ms * 8)


def test_media_plays_from_its_arrival_at_eight_bytes_a_millisecond() -> None:
    clock = PlaybackClock()
    clock.play(ulaw(20), 1000)
    assert clock.heard_bytes(999) == 0
    assert clock.heard_bytes(1000) == 0
    assert clock.heard_bytes(1000.99) == 7
    assert clock.heard_bytes(1010) == 80
    assert clock.heard_bytes(1500) == 160
    assert clock.plays_until_ms == 1020


def test_media_waits_for_the_media_before_it() -> None:
    clock = PlaybackClock()
    clock.play(ulaw(100, 1), 0)
    clock.play(ulaw(100, 2), 10)
    clock.play(ulaw(100, 3), 500)
    assert [media.starts_ms for media in clock.media] == [0, 100, 500]
    assert clock.heard(110) == ulaw(100, 1) + ulaw(10, 2)
    assert clock.heard(1000) == ulaw(100, 1) + ulaw(100, 2) + ulaw(100, 3)
    assert clock.spans(550) == [(0, 200), (500, 550)]


def test_a_clear_cuts_to_the_byte() -> None:
    clock = PlaybackClock()
    clock.play(ulaw(100, 1), 0)
    clock.play(ulaw(100, 2), 0)
    clock.clear(150.2)  # 50.2 ms of the second: 401.6 bytes, of which 401 were heard
    assert clock.heard(10_000) == ulaw(100, 1) + b"\x02" * 401
    assert clock.clears[0].at_ms == 150.2
    assert clock.clears[0].dropped_bytes == 800 - 401
    assert [media.kept_bytes for media in clock.media] == [800, 401]


def test_media_after_a_clear_plays_at_once() -> None:
    clock = PlaybackClock()
    clock.play(ulaw(1000, 1), 0)
    clock.clear(100)
    clock.play(ulaw(50, 2), 120)
    assert clock.heard(145) == ulaw(100, 1) + ulaw(25, 2)
    assert clock.spans(1000) == [(0, 100), (120, 170)]
    assert clock.heard_bytes(90) == 720, "what was heard before the clear stays heard"


def test_a_clear_of_an_empty_buffer_drops_nothing() -> None:
    clock = PlaybackClock()
    clock.play(ulaw(20), 0)
    assert clock.clear(20) == []
    assert clock.clears[0].dropped_bytes == 0
    assert clock.heard_bytes(20) == 160


def test_a_mark_is_due_when_all_media_before_it_have_played() -> None:
    clock = PlaybackClock()
    clock.play(ulaw(100), 0)
    clock.mark("middle", 5)
    clock.play(ulaw(100), 6)
    clock.mark("end", 7)
    assert clock.next_mark_ms == 100
    assert clock.due_marks(99.9) == []
    assert clock.due_marks(100) == ["middle"]
    assert clock.due_marks(100) == []
    assert clock.due_marks(300) == ["end"]
    assert clock.next_mark_ms is None


def test_a_mark_on_an_empty_buffer_is_due_at_once() -> None:
    clock = PlaybackClock()
    clock.mark("first", 10)
    assert clock.due_marks(10) == ["first"]
    clock.play(ulaw(20), 20)
    clock.mark("late", 40)
    assert clock.due_marks(40) == ["late"]


def test_marks_echoed_by_a_clear_are_not_heard() -> None:
    clock = PlaybackClock()
    clock.play(ulaw(100), 0)
    clock.mark("heard", 0)
    for name in ("a", "b"):
        clock.play(ulaw(100), 0)
        clock.mark(name, 0)
    assert clock.clear(150) == ["heard", "a", "b"]
    assert clock.clears[0].flushed_marks == ("a", "b")
    assert [mark.flushed for mark in clock.marks] == [False, True, True]
    assert clock.due_marks(1000) == []


def test_more_than_ten_minutes_are_discarded() -> None:
    clock = PlaybackClock()
    assert clock.play(ulaw(600_000), 0)
    assert not clock.play(b"\x01", 0)
    assert clock.discarded == [b"\x01"]
    assert clock.play(ulaw(1000), 1000), "a second was played, so a second fits again"
    assert clock.plays_until_ms == 601_000


def test_the_end_of_the_stream_drops_the_buffer_and_its_marks() -> None:
    clock = PlaybackClock()
    clock.play(ulaw(100), 0)
    clock.mark("end", 0)
    clock.end(40)
    assert clock.due_marks(1000) == []
    assert clock.marks[0].echoed_ms is None
    assert clock.heard_bytes(1000) == 320
    assert clock.clears == []


def test_it_knows_when_a_number_of_bytes_will_have_been_heard() -> None:
    clock = PlaybackClock()
    assert clock.heard_at_ms(1) is None
    clock.play(ulaw(100), 0)
    clock.clear(50)
    clock.play(ulaw(100), 200)
    assert clock.heard_at_ms(400) == 50
    assert clock.heard_at_ms(480) == 210
    assert clock.heard_at_ms(1201) is None
    for size_bytes in (1, 399, 400, 401, 1200):
        at_ms = clock.heard_at_ms(size_bytes)
        assert at_ms is not None
        assert clock.heard_bytes(at_ms) == size_bytes


@pytest.mark.parametrize("origin_ms", [0.0, 123_456_789.123])
def test_long_speech_in_small_pieces_loses_no_byte(origin_ms: float) -> None:
    clock = PlaybackClock()
    for _ in range(3000):
        clock.play(ulaw(20), origin_ms)
    clock.clear(origin_ms + 30_000)
    assert clock.heard_bytes(origin_ms + 90_000) == 240_000
    assert clock.clears[0].dropped_bytes == 240_000
