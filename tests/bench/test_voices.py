"""Played words are found in the sound, and the tables follow from them."""

from array import array

import pytest

from app.audio import ulaw_encode
from app.simulator.speech import Word
from app.simulator.voices.mouth import Said, Spoken, tones
from bench.voices import cost as voices_cost
from bench.voices.cost import Cost
from bench.voices.heard import Heard
from bench.voices.latency import Added
from bench.voices.model import ANSWER_MS, PROBE, PROBE_MS, WRITTEN, hum
from bench.voices.stories import stories
from bench.voices.words import (
    Piece,
    foreign_bytes,
    piece,
    pieces_by_text,
    pieces_of,
    words_played,
    words_told,
)

FIRST, SECOND = "One two three.", "Four five."


def said(text: str, hz: int = 8000) -> Piece:
    """100 ms of sound for each letter or mark, and 200 ms of silence after each word."""
    return piece(text, tones(text, hz, ms_per_character=100, gap_ms=200), hz)


def sound_of(*texts: str) -> bytes:
    """These sounds on the phone, in order."""
    pcm = (tones(text, 8000, ms_per_character=100, gap_ms=200).pcm for text in texts)
    return b"".join(ulaw_encode(each) for each in pcm)


@pytest.mark.parametrize("hz", [8000, 24000])
def test_a_word_sounds_from_its_first_sound_to_its_last(hz: int) -> None:
    words = said("No, thanks", hz).words
    expected = [(0, 300), (500, 1100)]
    for (begin, end), (begin_ms, end_ms) in zip(words, expected, strict=True):
        assert (begin / 8, end / 8) == pytest.approx((begin_ms, end_ms), abs=2)


def test_joined_words_share_their_sound_by_their_letters() -> None:
    pcm = array("h", [0] * 800 + [9000] * 6400 + [0] * 800).tobytes()
    words = piece("of the house", Spoken(pcm, (Word("of the house", 0),)), 8000).words
    assert words == ((800, 2080), (2080, 4000), (4000, 7200))


def test_a_piece_is_padded_to_whole_frames() -> None:
    pcm = array("h", [9000] * 161).tobytes()
    assert piece("Hm.", Spoken(pcm, (Word("Hm.", 0),)), 8000).size_bytes == 320
    assert piece("Hm.", Spoken(pcm, (Word("Hm.", 0),)), 24000).size_bytes == 160


def test_a_word_counts_as_played_when_half_of_it_was() -> None:
    pieces = [said(FIRST), said(SECOND)]
    first_ms = pieces[0].size_bytes / 8
    half_of_four = first_ms + 200
    heard_ms = [0, 149, 151, 500, 650, 651, first_ms, half_of_four - 1, half_of_four + 1, 99_999]
    played = [words_played(pieces, int(ms * 8)) for ms in heard_ms]
    assert played == [0, 0, 1, 1, 1, 2, 3, 3, 4, 5]


def test_kept_words_must_be_the_first_words_of_the_text() -> None:
    text = f"{FIRST} {SECOND}"
    assert words_told(text, "") == 0
    assert words_told(text, "One two") == 2
    assert words_told(text, text) == 5
    assert words_told(text, "One three") is None
    assert words_told(text, "One two th") is None
    assert words_told(text, f"{text} Six.") is None


def test_a_text_was_said_in_pieces_as_far_as_it_was() -> None:
    texts = [FIRST, f"{SECOND} ", "Six, seven, eight", "Six, seven"]
    known = pieces_by_text(Said(text, tones(text, 8000), 8000) for text in texts)
    story = f"{FIRST} {SECOND} Six, seven, eight and nine. Ten."
    assert [each.text for each in pieces_of(story, known)] == [FIRST, SECOND, "Six, seven, eight"]
    assert pieces_of("No one said that.", known) == []


def test_audio_of_the_answer_is_recognized_wherever_it_is_cut() -> None:
    pieces, sound = [said(FIRST), said(SECOND)], sound_of(FIRST, SECOND)
    for size in (0, 1, 999, 8000, len(sound)):
        assert foreign_bytes(sound[:size], pieces) == 0
    assert foreign_bytes(sound + bytes([0xFF]) * 1600, pieces) == 0  # silence at its end


def test_resampled_audio_still_matches_the_answer() -> None:
    assert foreign_bytes(sound_of(FIRST), [said(FIRST, 24000)]) == 0


def test_the_rest_of_an_interrupted_answer_is_foreign_to_the_next_one() -> None:
    late, answer = sound_of(FIRST)[4000:4960], sound_of(SECOND)
    assert foreign_bytes(late + answer, [said(SECOND)]) > len(late)
    assert foreign_bytes(answer + late, [said(SECOND)]) > 0
    assert foreign_bytes(late, []) == len(late)


def test_stories_have_three_to_five_sentences_and_none_repeats() -> None:
    told = stories(150, seed=3)
    assert told == stories(150, seed=3)
    sentences = [each for story in told for each in story.replace("!", ".").split(". ")]
    assert len(set(sentences)) == len(sentences)
    assert all(3 <= sum(story.count(mark) for mark in ".!?") <= 5 for story in told)


def test_a_written_answer_is_as_long_as_a_spoken_one() -> None:
    sizes = [len(hum(text, 24000).pcm) for text in WRITTEN]
    assert sum(sizes) / 48 == pytest.approx(ANSWER_MS, abs=1)
    assert len(hum(PROBE, 8000).pcm) / 16 == pytest.approx(PROBE_MS, abs=1)


def test_word_times_may_be_off_by_one_word_and_a_cut_in_proportion_by_three() -> None:
    assert Heard("a way", timed=True, off=[0, 1, -1]).kept
    assert not Heard("a way", timed=True, off=[0, 0, -2]).kept
    assert Heard("a way", off=[0, 1, -3]).kept
    assert not Heard("a way", off=[0, 0, -4]).kept
    assert not Heard("a way").kept, "nothing was measured"
    for fault in ("missed", "misplaced", "untrue", "foreign_bytes"):
        assert not Heard("a way", off=[0], **{fault: 1}).kept  # type: ignore[arg-type]
    row = Heard("a way", interruptions=3, off=[0, -1, 0]).row
    assert row[:6] == ("a way, in proportion", "3", "0", "1", "1 (≤ 3)", "2 of 3")


def test_ninety_nine_of_a_hundred_answers_must_keep_the_limit() -> None:
    added = Added("a way", 0, first=[30.0], spaced=[2.0] * 50, bare=[11.0] * 99 + [40.0])
    added.texts = [1.0]
    assert added.kept and added.row[-1] == "PASS"
    added.bare[0] = 16.0
    assert not added.kept
    added.bare[0], added.faults = 11.0, ["no sound"]
    assert not added.kept


def test_a_cost_is_shown_with_its_ratio_to_the_native_voice() -> None:
    def cost(name: str, cpu_s: float, *faults: str) -> Cost:
        return Cost(name, cpu_s, heard_s=35.0, faults=faults, doubts=())

    runs = [cost("native", 0.2), cost("http", 0.3), cost("native", 0.4), cost("http", 0.6, "lost")]
    native, http = voices_cost.rows(runs)
    assert native[:4] == ("native", "0.300", "1.00", "35.0")
    assert http[:3] == ("http", "0.450", "1.50") and http[4:] == ("0.300 0.600", "FAIL")
    assert voices_cost.remarks(runs) == ["http: lost"]
