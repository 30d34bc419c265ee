"""When each word of a text sounds, by its letters and by the pauses in the audio."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.call.words.pause_alignment import Pace, Pause
from app.call.words.word_times import WordBoundary, WordTimes, complete, learn, so_far


def ms(*places: int) -> list[int]:
    return [place * 8 for place in places]


def pauses_ms(*places: tuple[int, int]) -> list[Pause]:
    return [(start * 8, end * 8) for start, end in places]


def near_ms(times: tuple[int, ...]) -> list[int]:
    return [round(time / 8) for time in times]


# --- a whole sentence -----------------------------------------------------------------------------


def test_words_without_a_pause_share_the_time_by_their_letters() -> None:
    times = complete("one two three four", 1000 * 8, [])
    lasted = [end - begin for begin, end in zip(times.begins, times.ends, strict=True)]
    assert times.begins[0] == 0 and times.ends[-1] == 8000
    assert lasted[0] == pytest.approx(lasted[1], abs=1)
    assert lasted[1] < lasted[2] < lasted[3]  # the last word of a sentence is longer
    assert times.ends[:-1] == times.begins[1:]


def test_silence_around_a_sentence_belongs_to_no_word() -> None:
    times = complete("one two", 1000 * 8, pauses_ms((0, 200), (800, 1000)))
    assert (times.begins[0], times.ends[-1]) == (1600, 6400)


def test_a_pause_is_matched_with_the_comma_near_it() -> None:
    text = "If you call before noon, we can help."
    times = complete(text, 2500 * 8, pauses_ms((1500, 1800)))
    assert times.paused == (False, False, False, False, True, False, False, True)
    assert near_ms((times.ends[4], times.begins[5])) == [1500, 1800]


def test_a_pause_far_from_any_comma_still_ends_a_word() -> None:
    times = complete("We will certainly call you back today", 2500 * 8, pauses_ms((1080, 1400)))
    assert times.paused.count(True) == 2
    assert near_ms((times.ends[2], times.begins[3])) == [1080, 1400]


def test_a_short_pause_within_a_long_word_does_not_end_it() -> None:
    times = complete("Congratulations my dear", 1900 * 8, pauses_ms((450, 520)))
    assert not any(times.paused[:-1])
    assert near_ms((times.ends[0],))[0] > 1000


@pytest.mark.parametrize("last", [(), ((1620, 1720),)])
def test_a_pause_behind_every_word_gives_exact_times(last: tuple[tuple[int, int], ...]) -> None:
    pauses = pauses_ms((60, 160), (880, 980), (1400, 1500), *last)
    times = complete("Incomprehensible I a $1,032.17", (1720 if last else 1620) * 8, pauses)
    assert near_ms(times.begins) == [0, 160, 980, 1500]
    assert near_ms(times.ends) == [60, 880, 1400, 1620]


def test_pauses_behind_every_word_may_be_longer_at_commas() -> None:
    pauses = pauses_ms((300, 500), (800, 900), (1200, 1300), (1600, 1800))
    times = complete("Sure, what is it, Sam?", 2100 * 8, pauses)
    assert near_ms(times.ends) == [300, 800, 1200, 1600, 2100]


def test_a_breath_between_two_pauses_is_not_a_word() -> None:
    times = complete("Good morning, sir", 1500 * 8, pauses_ms((800, 900), (920, 1100)))
    assert near_ms((times.ends[1], times.begins[2])) == [800, 1100]


def test_signs_of_scripts_without_spaces_have_times_as_well() -> None:
    times = complete("你好，我是前台。", 1700 * 8, pauses_ms((500, 700)))
    assert len(times.words) == 6
    assert near_ms((times.ends[1], times.begins[2])) == [500, 700]


def test_a_text_without_words_has_no_times() -> None:
    for times in (complete("...", 8000, []), so_far("", 0, [])):
        assert times.words_heard(8000) == 0
        assert times.boundary(0, 8000) == WordBoundary(0, 8000)


def test_the_words_of_silent_audio_are_at_its_end() -> None:
    times = complete("one two", 8000, [(0, 8000)])
    assert times.words_heard(7999) == 0


# --- how much was heard, and where to cut ---------------------------------------------------------


TIMES = WordTimes(
    complete("a b c, d", 8000, []).words,
    (100, 1100, 2000, 3000),
    (1000, 2000, 3000, 4000),
    (True, False, True, True),
)


def test_a_word_is_heard_when_about_half_of_it_was() -> None:
    heard = {byte: TIMES.words_heard(byte) for byte in (0, 100, 400, 700, 1050, 1400, 1700, 9000)}
    assert heard == {0: 0, 100: 0, 400: 0, 700: 1, 1050: 1, 1400: 1, 1700: 2, 9000: 4}


def test_the_best_cut_is_at_a_pause_behind_punctuation() -> None:
    assert TIMES.boundary(500, 3500) == WordBoundary(3, 3000)
    assert TIMES.boundary(500, 4000) == WordBoundary(3, 3000)


def test_without_such_a_pause_the_cut_is_behind_the_next_word() -> None:
    """A pause without punctuation may lie within a word, and the estimate gets worse the longer
    the audio is."""
    late = 480
    assert TIMES.boundary(500, 2500) == WordBoundary(1, 1000 + late)
    assert TIMES.boundary(1200, 2500) == WordBoundary(2, 2000 + late)
    assert TIMES.boundary(1200, 2100) == WordBoundary(2, 2100), "not behind the end of the range"


def test_without_a_whole_word_the_cut_is_before_the_first() -> None:
    assert TIMES.boundary(0, 900) == WordBoundary(0, 100)


def test_a_word_is_cut_in_two_if_no_word_ends_in_the_range() -> None:
    assert TIMES.boundary(2100, 2600) == WordBoundary(2, 2600)
    assert TIMES.boundary(2100, 2900) == WordBoundary(3, 2900), "most of it was heard"


# --- a sentence that still arrives ----------------------------------------------------------------

FAST = Pace(rates=(40.0 * 8,))
SLOW = Pace(rates=(80.0 * 8,))
TEXT = "We can send a mechanic to your house, if someone is at home before noon."


def test_a_slow_voice_speaks_fewer_words_in_the_same_time() -> None:
    heard = [so_far(TEXT, 1500 * 8, [], pace).words_heard(1500 * 8) for pace in (SLOW, FAST)]
    assert heard[0] < heard[1]


def test_words_that_have_not_arrived_are_behind_the_audio() -> None:
    times = so_far(TEXT, 1000 * 8, [], FAST)
    assert times.words_heard(1000 * 8) < 8
    assert times.ends[-1] > 2500 * 8


def test_a_pause_at_the_comma_shows_the_tempo_of_an_unknown_voice() -> None:
    for comma_ms in (1500, 2400):
        times = so_far(TEXT, (comma_ms + 400) * 8, pauses_ms((comma_ms, comma_ms + 300)))
        assert times.paused[7] and near_ms((times.ends[7],)) == [comma_ms]


def test_a_pause_at_the_end_of_the_audio_ends_a_word() -> None:
    times = so_far(TEXT, 2100 * 8, pauses_ms((1900, 2100)))
    assert near_ms((times.ends[7],)) == [1900]
    assert times.begins[8] >= 2100 * 8
    assert times.boundary(1000 * 8, 2100 * 8) == WordBoundary(8, 1900 * 8)


def test_three_equal_pauses_mean_that_a_voice_speaks_word_by_word() -> None:
    pauses = pauses_ms((200, 300), (500, 600), (800, 900))
    times = so_far("Unquestionably I may go there tomorrow", 1000 * 8, pauses)
    assert near_ms(times.ends[:3]) == [200, 500, 800]


def test_a_voice_that_spoke_word_by_word_is_expected_to_do_it_again() -> None:
    said = "this is how it goes"
    pauses = pauses_ms((200, 300), (500, 600), (800, 900), (1100, 1200))
    pace = learn(Pace(), said, 1400 * 8, pauses)
    assert pace.word_by_word
    times = so_far("Unquestionably I may go", 500 * 8, pauses_ms((200, 300)), pace)
    assert near_ms((times.ends[0], times.begins[1])) == [200, 300]


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


def test_a_number_teaches_how_numbers_are_read() -> None:
    text = "your code is 417 2893 now"
    brief = learn(FAST, text, 1100 * 8, [])
    long = learn(FAST, text, 4000 * 8, [])
    assert brief.rates == long.rates == FAST.rates
    assert brief.numbers < 1 < long.numbers
    assert learn(Pace(), text, 8000, []) == Pace()  # numbers alone say nothing about the rate


# --- any text and audio ---------------------------------------------------------------------------

steps = st.lists(st.integers(1, 4000), max_size=60)
paces = st.sampled_from([Pace(), FAST, Pace((800.0,), 0.3, word_by_word=True)])


@given(st.text("ab1,. $é你\n-", max_size=80), steps, st.integers(0, 3000), paces)
def test_words_never_overlap(text: str, lengths: list[int], rest: int, pace: Pace) -> None:
    places = list(accumulate(lengths))
    pauses = list(zip(places[::2], places[1::2], strict=False))
    total = (places[-1] if places else 0) + rest
    whole = complete(text, total, pauses, pace)
    for times in (whole, so_far(text, total, pauses, pace)):
        edges = [edge for pair in zip(times.begins, times.ends, strict=True) for edge in pair]
        assert edges == sorted(edges) and all(edge >= 0 for edge in edges)
        assert 0 <= times.boundary(0, total).words <= len(times.words)
    assert all(end <= total for end in whole.ends)
    assert learn(pace, text, total, pauses).numbers > 0
