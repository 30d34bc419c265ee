"""When each word of a text sounds: by the voice's own times, or in proportion to the text."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.call.words.word_places import words
from app.call.words.word_times import (
    UNKNOWN,
    Pace,
    Pause,
    TimedWord,
    WordBoundary,
    WordTimes,
    learn,
    word_times,
)


def pauses_ms(*places: tuple[int, int]) -> list[Pause]:
    return [(start * 8, end * 8) for start, end in places]


def near_ms(times: tuple[float, ...]) -> list[int]:
    return [round(time / 8) for time in times]


def complete(text: str, total_bytes: int, pauses: list[Pause]) -> WordTimes:
    return word_times(text, total_bytes, pauses, complete=True)


# --- without times of the voice -------------------------------------------------------------------


def test_words_share_the_time_by_their_characters() -> None:
    times = complete("one two three four", 1800 * 8, [])
    assert near_ms(times.begins) == [0, 400, 800, 1400]
    assert near_ms(times.ends) == [300, 700, 1300, 1800]


def test_pauses_belong_to_no_word() -> None:
    times = complete("one two", 1100 * 8, pauses_ms((0, 200), (500, 600), (1000, 1100)))
    assert near_ms(times.begins) == [200, 700]
    assert near_ms(times.ends) == [500, 1000]


def test_signs_of_scripts_without_spaces_have_times_as_well() -> None:
    times = complete("你好，我", 800 * 8, [])
    assert near_ms(times.begins) == [0, 200, 600]


def test_a_text_without_words_has_no_times() -> None:
    for whole in (True, False):
        times = word_times("...", 8000, [], complete=whole)
        assert times.words_heard(8000) == 0
        assert times.boundary(0, 8000) == WordBoundary(0, 8000)


FAST = Pace(rates=(40.0 * 8,))
SLOW = Pace(rates=(80.0 * 8,))
TEXT = "We can send a mechanic to your house, if someone is at home before noon."


def so_far(received_ms: int, pace: Pace) -> WordTimes:
    return word_times(TEXT, received_ms * 8, [], complete=False, pace=pace)


def test_while_audio_arrives_the_pace_of_the_voice_says_how_long_the_rest_is() -> None:
    heard = [so_far(1500, pace).words_heard(1500 * 8) for pace in (SLOW, UNKNOWN, FAST)]
    assert heard == [5, 6, 8]
    assert near_ms(so_far(1000, FAST).ends)[-1] == 40 * len(TEXT)
    assert near_ms(so_far(9000, FAST).ends)[-1] == 9000  # slower than expected


# --- with times of the voice ----------------------------------------------------------------------


def timed_ms(*spoken: tuple[str, int, int]) -> list[TimedWord]:
    return [(text, begin * 8, end * 8) for text, begin, end in spoken]


EXACT = timed_ms(
    ("Well", 100, 300), ("it", 500, 550), ("costs", 560, 900), ("nine", 910, 1200),
    ("euros", 1300, 1800),
)  # fmt: skip


@pytest.mark.parametrize("whole", [True, False])
def test_the_voices_own_times_are_exact(whole: bool) -> None:
    times = word_times("Well, it costs nine euros.", 1900 * 8, [], complete=whole, timed=EXACT)
    assert near_ms(times.begins) == [100, 500, 560, 910, 1300]
    assert near_ms(times.ends)[:-1] == [300, 550, 900, 1200]
    assert [times.words_heard(at * 8) for at in (199, 201, 1054, 1056)] == [0, 1, 3, 4]


def test_a_word_that_is_spoken_otherwise_than_written_is_between_its_neighbours() -> None:
    spoken = [*EXACT[:3], *timed_ms(("twenty", 910, 1000), ("two", 1000, 1200)), EXACT[4]]
    times = word_times("Well, it costs 22 euros.", 1900 * 8, [], complete=True, timed=spoken)
    assert near_ms(times.begins)[3] in range(900, 1200) and near_ms(times.ends)[3] in range(
        1000, 1301
    )
    assert near_ms(times.begins)[4] == 1300


def test_words_that_the_voice_has_not_timed_yet_follow_at_its_pace() -> None:
    times = word_times(
        "Well, it costs nine euros.", 900 * 8, [], complete=False, pace=FAST, timed=EXACT[:3]
    )
    assert near_ms(times.ends)[2] == 900 and near_ms(times.ends)[3:] == [1100, 1380]


def test_times_of_other_words_and_times_out_of_order_do_not_count() -> None:
    for timed in (EXACT[:1], [EXACT[1], *EXACT[:1]], timed_ms(("a", 0, 1), ("b", 1, 2))):
        found = word_times("it, well so be it", 1000 * 8, [], complete=True, timed=timed)
        assert found == complete("it, well so be it", 1000 * 8, [])


# --- how much was heard, and where to cut ---------------------------------------------------------


TIMES = WordTimes(
    words("a b c, d"), (100, 1100, 2000, 3200), (1000, 2000, 3000, 4000), ((3040, 3160),)
)


def test_a_word_is_heard_when_half_of_it_was() -> None:
    heard = {byte: TIMES.words_heard(byte) for byte in (0, 100, 500, 700, 1050, 1400, 1700, 9000)}
    assert heard == {0: 0, 100: 0, 500: 0, 700: 1, 1050: 1, 1400: 1, 1700: 2, 9000: 4}


def test_the_best_cut_is_at_a_pause_and_behind_punctuation() -> None:
    assert TIMES.boundary(500, 3500) == WordBoundary(3, 3040)
    early = WordTimes(TIMES.words, TIMES.begins, TIMES.ends, ((2100, 2200),))
    assert early.boundary(500, 3500) == WordBoundary(3, 2100), "the comma is near"
    plain = WordTimes(words("a b c d"), TIMES.begins, TIMES.ends, ((2100, 2200),))
    assert plain.boundary(500, 3500) == WordBoundary(2, 2100)


def test_without_a_pause_the_cut_is_behind_the_next_word() -> None:
    assert TIMES.boundary(500, 2500) == WordBoundary(1, 1000)
    assert TIMES.boundary(1200, 2500) == WordBoundary(2, 2000)


def test_without_a_whole_word_the_cut_is_before_the_first() -> None:
    assert TIMES.boundary(0, 900) == WordBoundary(0, 100)


def test_a_word_is_cut_in_two_if_no_word_ends_in_the_range() -> None:
    assert TIMES.boundary(2100, 2600) == WordBoundary(2, 2600)
    assert TIMES.boundary(2100, 2900) == WordBoundary(3, 2900), "most of it was heard"


# --- learning a voice's pace ---------------------------------------------------------------------


def test_the_rate_of_a_voice_is_the_median_of_its_latest_utterances() -> None:
    pace = Pace()
    for total_ms in (9000, 1000, 2000, 1500, 1600, 1700):
        pace = learn(pace, "Thank you for calling us", total_ms * 8, [])
    assert len(pace.rates) == 5
    assert pace.rate == learn(Pace(), "Thank you for calling us", 1600 * 8, []).rate


def test_pauses_do_not_change_the_rate() -> None:
    text = "Thank you, and good bye"
    with_pause = learn(Pace(), text, 2000 * 8, pauses_ms((500, 1000)))
    assert with_pause.rate == learn(Pace(), text, 1500 * 8, []).rate


def test_short_texts_and_silence_teach_nothing() -> None:
    assert learn(FAST, "Yes, sure.", 5000 * 8, []) == FAST
    assert learn(FAST, "Thank you for calling", 8000, [(0, 8000)]) == FAST


# --- any text and audio ---------------------------------------------------------------------------

steps = st.lists(st.integers(1, 4000), max_size=60)
spoken_words = st.lists(st.text("ab1é你", min_size=1, max_size=3), max_size=12)


@given(st.text("ab1,. $é你\n-", max_size=80), steps, st.integers(0, 3000), spoken_words)
def test_words_never_overlap(text: str, lengths: list[int], rest: int, spoken: list[str]) -> None:
    places = list(accumulate(lengths))
    pauses = list(zip(places[::2], places[1::2], strict=False))
    total = (places[-1] if places else 0) + rest
    timed = [(word, at, at + 90) for word, at in zip(spoken, range(0, total, 100), strict=False)]
    for times in (
        word_times(text, total, pauses, complete=whole, pace=pace, timed=found)
        for whole in (True, False)
        for pace in (UNKNOWN, FAST)
        for found in ([], timed)
    ):
        edges = [edge for pair in zip(times.begins, times.ends, strict=True) for edge in pair]
        assert edges == pytest.approx(sorted(edges)) and all(edge >= 0 for edge in edges)
        cut = times.boundary(0, total)
        assert 0 <= cut.words <= len(times.words) and 0 <= cut.at_byte <= total
