"""Speech for demos and tests."""

import importlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.audio import ULAW_BYTES_PER_MS, rms_dbfs, silence, ulaw_ms
from app.simulator import speech
from app.simulator.speech import SpeechUnavailable, speak, utter


def test_a_sentence_becomes_audible_telephone_audio() -> None:
    said = speak("I would like to book a table for two, please.")
    assert 1500 < ulaw_ms(len(said)) < 5000
    assert -30 < rms_dbfs(said) < -10


def test_speaking_faster_takes_less_time() -> None:
    line = "Can you call me back this afternoon?"
    slow, fast = speak(line, words_per_minute=120), speak(line, words_per_minute=240)
    assert len(fast) < len(slow) * 0.7


def test_voices_differ_and_each_text_sets_its_own() -> None:
    # the voice flutters a little: not even the same words give the same bytes twice
    english, german = (len(speak("Good morning, everybody.", voice=v)) for v in ("en-us", "de"))
    assert abs(german - english) > 80
    assert len(speak("Good morning, everybody.")) == pytest.approx(english, abs=80)


def test_nothing_to_say_is_no_audio() -> None:
    assert rms_dbfs(speak("") + silence(20)) < -60


def test_an_unknown_voice_is_named_in_the_error() -> None:
    with pytest.raises(ValueError, match="'nowhere'"):
        speak("Hello.", voice="nowhere")


@pytest.mark.parametrize("words_per_minute", [0, 79, 451])
def test_an_impossible_speed_is_refused(words_per_minute: int) -> None:
    with pytest.raises(ValueError, match="80 to 450"):
        speak("Hello.", words_per_minute=words_per_minute)


def test_text_with_a_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        speak("Hello\0there.")


def test_two_threads_do_not_mix_their_words() -> None:
    lines = ["One line.", "Quite another, longer line."]
    alone = [len(speak(line)) for line in lines]
    with ThreadPoolExecutor(8) as pool:
        together = [len(said) for said in pool.map(speak, lines * 8)]
    assert together == pytest.approx(alone * 8, abs=80)


def test_without_the_extra_the_error_names_the_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(speech, "_espeak", None)
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(SpeechUnavailable, match=r"pip install '\.\[demo\]'"):
        speak("Hello.")


def test_a_data_folder_deep_in_the_file_system_gets_a_short_name(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100) / ("y" * 100)
    deep.mkdir(parents=True)
    (deep / "phontab").write_text("data")
    short = Path(speech._short_path(str(deep)))
    assert len(str(short)) < 140
    assert (short / "phontab").read_text() == "data"
    assert speech._short_path("/short/enough") == "/short/enough"
    shutil.rmtree(short.parent)


# --- where the words are --------------------------------------------------------------------------


def onsets_ms(ulaw: bytes, *, pause_ms: int) -> list[int]:
    """Where sound begins after a pause, to 10 ms."""
    step = 10 * ULAW_BYTES_PER_MS
    loud = [rms_dbfs(ulaw[at : at + step]) > -45 for at in range(0, len(ulaw), step)]
    quiet = [False] * (pause_ms // 10) + loud
    return [
        number * 10
        for number, sounds in enumerate(loud)
        if sounds and not any(quiet[number : number + pause_ms // 10])
    ]


@pytest.mark.parametrize("voice", ["en-us+f3", "en-gb-x-rp", "en-us"])
@pytest.mark.parametrize("words_per_minute", [120, 165, 240])
def test_words_after_a_pause_begin_where_the_sound_does(voice: str, words_per_minute: int) -> None:
    text = "My friend, he sings. Are you well? Eleven euros; nine more. Large, small, huge."
    after_a_pause = ["My ", "he ", "Are ", "Eleven ", "nine ", "Large, ", "small, ", "huge."]
    utterance = utter(text, voice=voice, words_per_minute=words_per_minute)
    told = [w.offset_bytes / ULAW_BYTES_PER_MS for w in utterance.words if w.text in after_a_pause]
    sounded = onsets_ms(utterance.ulaw, pause_ms=80)
    assert len(told) == len(after_a_pause)
    for at_ms in told:
        assert min(abs(at_ms - onset) for onset in sounded) <= 40


@pytest.mark.parametrize(
    "text",
    [
        "We have three. A large Margherita is eleven euros, a Funghi is twelve fifty.",
        "  Größe for José — that's 12.50 € (or so) “quoted” … isn't it?  ",
        "One of the best of a kind in the world. 5 5 5, 1 2 3 4; at 18:05!",
        "日本 😀 - / %",
        "First.\n\nSecond,\tthird.",
        "... !",
        "word",
        "",
        " ",
    ],
)
def test_the_words_are_the_text_in_order_and_inside_the_audio(text: str) -> None:
    utterance = utter(text)
    assert "".join(word.text for word in utterance.words) == text
    offsets = [word.offset_bytes for word in utterance.words]
    assert offsets == sorted(offsets)
    assert all(0 <= offset <= len(utterance.ulaw) for offset in offsets)


def test_every_plain_word_has_a_place_of_its_own() -> None:
    words = utter("Large Margherita, please. I have it here.").words
    assert [word.text for word in words] == [
        "Large ", "Margherita, ", "please. ", "I ", "have ", "it ", "here."
    ]  # fmt: skip
    assert len({word.offset_bytes for word in words}) == 7


def test_a_number_of_several_words_is_one_piece() -> None:
    pieces = [word.text for word in utter("It is 1250 euros, that's 12.50!").words]
    assert pieces == ["It ", "is ", "1250 ", "euros, ", "that's ", "12.50!"]


def test_a_place_reported_for_a_dash_belongs_to_the_next_word() -> None:
    words = speech._words("José - that's it", [(0, 0), (5, 500), (14, 900)], 80_000)
    assert [(word.text, word.offset_bytes) for word in words] == [
        ("José - ", 0), ("that's ", 4000), ("it", 7200)
    ]  # fmt: skip


def test_places_that_run_back_or_out_of_the_audio_are_mended() -> None:
    words = speech._words("a b c d", [(0, 10), (2, 5), (4, 99_999)], 800)
    assert [(word.text, word.offset_bytes) for word in words] == [
        ("a ", 80), ("b ", 80), ("c d", 800)
    ]  # fmt: skip
