"""What the bench of the coughs makes, and how it judges what was played."""

from math import inf
from random import Random

import pytest

from app.audio import rms_dbfs, ulaw_encode
from app.simulator.realtime import Turn
from app.simulator.twilio.media.playback import PlaybackClock
from bench.coughs.answers import Answer, Finder, Place, Teller, mouth
from bench.coughs.judge import Outcome, Said, heard_bytes, judge, placed
from bench.coughs.script import FATES, INVENTED, Ears, Event, script
from bench.coughs.sounds import Kind, Sound, make
from bench.coughs.turns import Compared
from bench.voices.stories import pieces

AT_ONCE, LATE, NEVER, FAILED = FATES[0], FATES[3], FATES[4], FATES[5]
SOUND = Sound(Kind.COUGH, "", b"")


def answers(count: int) -> list[Answer]:
    teller = Teller(seed=1)
    for _ in range(count):
        teller.answer(Turn("reply", "", "", (), (), (), None, None, True, "sess"))
    return teller.told["sess"]


# --- what the caller does ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(Kind))
def test_a_sound_has_the_length_and_the_level_of_its_kind(kind: Kind) -> None:
    sounds = [make(kind, Random(seed)) for seed in range(20)]
    shortest, longest = {
        Kind.WORD: (80, 520),
        Kind.SENTENCE: (900, 6000),
    }.get(kind, (80, 500))
    for sound in sounds:
        assert shortest <= sound.ms <= longest
        assert -30 < rms_dbfs(sound.ulaw) < -10
    assert len({sound.ulaw for sound in sounds}) == 20
    assert make(kind, Random(3)).ulaw == sounds[3].ulaw


def test_a_script_has_as_many_interruptions_as_other_sounds_and_every_fate() -> None:
    events = script(120, Random(5))
    assert [each.sound.interrupts for each in events].count(True) == len(events) / 2 == 120
    assert {each.fate for each in events} == set(FATES)
    assert 10 < sum(each.invented for each in events) < 40
    assert all(each.fate.in_time or each.fate is LATE for each in events if each.invented)


@pytest.mark.parametrize(
    ("kind", "fate", "invented", "resumes", "answered"),
    [
        (Kind.COUGH, AT_ONCE, False, True, False),
        (Kind.COUGH, AT_ONCE, True, False, True),
        (Kind.BANG, LATE, True, True, True),
        (Kind.MM_HM, FAILED, False, True, False),
        (Kind.WORD, AT_ONCE, False, False, True),
        (Kind.WORD, LATE, False, True, True),
        (Kind.WORD, NEVER, False, True, False),
        (Kind.SENTENCE, NEVER, False, False, True),
        (Kind.SENTENCE, FAILED, False, False, True),
    ],
)
def test_what_has_to_become_of_a_sound_follows_from_its_length_and_its_words(
    kind: Kind, fate: object, invented: bool, resumes: bool, answered: bool
) -> None:
    (fate,) = (each for each in FATES if each is fate)
    event = Event(Sound(kind, "", b""), fate, invented, 0.0)
    assert (event.resumes, event.answered) == (resumes, answered)


def test_the_model_hears_which_sound_a_turn_is() -> None:
    ears, events = Ears(), script(6, Random(7))
    ears.learn(events)
    quiet = b"\xff" * 160
    for event in events:
        turn = quiet * 15 + event.sound.ulaw.ljust(-(-len(event.sound.ulaw) // 160) * 160, b"\xff")
        assert ears.transcribe(turn + quiet * 25) == event.transcript
    assert ears.transcribe(quiet * 10).text == ""
    assert Event(SOUND, AT_ONCE, True, 0.0).transcript.text == INVENTED


# --- what the agent says ----------------------------------------------------------------------


def test_an_answer_sounds_the_same_from_the_model_and_from_a_voice() -> None:
    (answer,) = answers(1)
    spoken = [mouth(piece, 8000) for piece in pieces(answer.text)]
    assert b"".join(ulaw_encode(each.pcm) for each in spoken) == answer.audio
    assert all(len(ulaw_encode(each.pcm)) % 160 == 0 for each in spoken)


def test_every_byte_has_its_place_wherever_playback_goes_on() -> None:
    told = answers(2)
    first, second = (each.audio for each in told)
    finder = Finder(told)
    assert finder.find(first[:800]) == Place(0, 0)
    assert finder.find(first[800:1600]) == Place(0, 800)
    assert finder.find(first[1203:2000]) == Place(0, 1203)
    assert finder.find(second[:160]) == Place(1, 0)
    assert finder.find(b"\xff" * 160) is None


# --- what became of it ------------------------------------------------------------------------


def cough_at(at_ms: float, line: PlaybackClock, told: list[Answer]) -> Outcome:
    said = Said(Event(SOUND, AT_ONCE, False, 0.0), at_ms - 60, at_ms, at_ms + 400)
    (outcome,) = judge([said], placed(line.media, told), line.clears)
    return outcome


def paused_line(told: list[Answer]) -> PlaybackClock:
    """An answer plays from 0 on; its buffer is cleared after 500 ms."""
    line = PlaybackClock()
    line.play(told[0].audio[:8000], 0)
    line.clear(500)
    return line


def test_what_is_played_again_is_negative_and_what_is_left_out_positive() -> None:
    told = answers(1)
    for begin, lost_ms in ((4000, 0.0), (3920, -10.0), (4160, 20.0)):
        line = paused_line(told)
        line.play(told[0].audio[begin : begin + 800], 1500)
        outcome = cough_at(499, line, told)
        assert (outcome.lost_ms, outcome.resumed_ms) == (lost_ms, 1500)
        assert outcome.as_expected


def test_an_agent_that_stays_silent_did_not_go_on() -> None:
    told = answers(1)
    outcome = cough_at(499, paused_line(told), told)
    assert outcome.cleared_ms == 500 and outcome.resumed is None
    assert not outcome.as_expected


def test_another_answer_is_no_continuation() -> None:
    told = answers(2)
    line = paused_line(told)
    line.play(told[1].audio[:800], 900)
    outcome = cough_at(499, line, told)
    assert (outcome.resumed, outcome.answered_ms, outcome.lost_ms) == (None, 900, None)
    assert heard_bytes(placed(line.media, told), 0) == 4000


def test_a_sound_that_did_not_stop_the_agent_has_no_clear() -> None:
    told = answers(1)
    line = PlaybackClock()
    line.play(told[0].audio[:8000], 0)
    assert cough_at(499, line, told).cleared_ms is None


def test_answers_are_compared_in_the_median_and_none_may_be_missing() -> None:
    later = Compared("turns", [5.0, 30.0, 6.0], [1.0, 2.0, 50.0], limit_ms=5.0, missed=0)
    assert (later.later_ms, later.kept) == (4.0, True)
    missed = Compared("turns", [5.0], [1.0], limit_ms=inf, missed=1)
    assert not missed.kept and missed.row[-1] == "FAIL"
