"""What counts as words, as silence, and as a broken limit."""

from base64 import b64decode

import pytest

from app.audio import HOLD_TONE, silence, tone, ulaw_encode
from bench import stamps
from bench.silences import forms, stage, wishes
from bench.silences.calls import Outcome, Place, is_speech
from bench.silences.forms import FORMS
from bench.silences.played import UNSPOKEN, is_unspoken
from bench.silences.wishes import WISHES

REPLY = next(wish for wish in WISHES if wish.name == "reply")
SILENT = FORMS[0]
SOUNDING = next(form for form in FORMS if form.sounds)
FRESH = next(form for form in FORMS if form.fresh)


def test_the_hold_tone_is_a_sound_and_no_words() -> None:
    assert not is_speech(b64decode(HOLD_TONE))
    assert not is_speech(silence(100))
    assert not is_speech(tone((440,), note_ms=200, level_dbfs=-20))
    assert not is_speech(b"")


def test_both_voices_are_words() -> None:
    assert is_speech(b64decode(stamps.agent_delta(3, 0)))
    external = ulaw_encode(stage.tone(8000))
    assert is_speech(external[:160])
    assert is_speech(external[3:163]), "wherever it is cut"
    assert not is_speech(external[:40]), "too short to tell"


@pytest.mark.parametrize("text", [f"{UNSPOKEN} words.", "\U0001f642", "**\n```\n"])
def test_a_text_that_was_not_heard_is_recognized(text: str) -> None:
    assert is_unspoken(text)


@pytest.mark.parametrize("text", ["", " \n", "Line 3 has your answer here.", "8"])
def test_a_heard_or_empty_text_is_not_a_fault(text: str) -> None:
    assert not is_unspoken(text)


def outcome(form: forms.Form, *, never: bool, **ms: float) -> Outcome:
    return Outcome(Place(REPLY, form, "native", never), **ms)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("came", "broken"),
    [
        (outcome(SILENT, never=False, words_ms=5900), []),
        (outcome(SILENT, never=False, words_ms=6200), ["words too late"]),
        (outcome(SILENT, never=False, sound_ms=100, help_ms=200), ["words too late"]),
        (outcome(SILENT, never=True, sound_ms=7900, help_ms=14_900), []),
        (outcome(SILENT, never=True, sound_ms=8200, help_ms=14_900), ["sound too late"]),
        (outcome(SILENT, never=True, sound_ms=100, help_ms=15_200), ["help too late"]),
        (outcome(SILENT, never=True), ["sound too late", "help too late"]),
        (outcome(FRESH, never=False, words_ms=12_000, sound_ms=4000), []),
        (outcome(FRESH, never=False, words_ms=12_000), ["sound too late"]),
        (outcome(FRESH, never=False, words_ms=16_000, sound_ms=4000), ["words too late"]),
        (outcome(SOUNDING, never=False, words_ms=10), []),
    ],
)
def test_each_limit_applies_in_its_cells(came: Outcome, broken: list[str]) -> None:
    assert came.broken == broken
    assert came.text.endswith("!") is bool(broken)


def test_a_call_that_ends_without_words_and_unheard_text_break_limits() -> None:
    gone = outcome(SILENT, never=False, words_ms=100)
    gone.let_go, gone.left = True, ["Unspoken words."]
    assert gone.broken == ["let go without a word", "unheard text left"]
    assert gone.text == "0.1gu!"


def test_words_of_the_first_try_must_not_be_requested_again() -> None:
    twice = outcome(SOUNDING, never=False, words_ms=10)
    twice.tries = 2  # as when a tool's answer follows, or a goodbye
    assert twice.broken == []
    twice.decisions = ["ask again: the reply ended completed without sound"]
    assert twice.broken == ["asked for again though it was heard"]


def test_infinite_times_are_not_shown_as_numbers() -> None:
    assert outcome(SILENT, never=True, sound_ms=1000).text == "1.0 -!"
    assert outcome(SILENT, never=True).text == "- -!"


def test_every_profile_of_a_wish_exists() -> None:
    assert {wish.profile for wish in WISHES} <= wishes.PROFILES.keys()
