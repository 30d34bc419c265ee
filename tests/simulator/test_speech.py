"""Speech that demos and tests play down the line."""

import importlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.audio import rms_dbfs, silence, ulaw_ms
from app.simulator import speech
from app.simulator.speech import SpeechUnavailable, speak


def test_a_sentence_becomes_audible_telephone_audio() -> None:
    said = speak("I would like to book a table for two, please.")
    assert 1500 < ulaw_ms(len(said)) < 5000
    assert -30 < rms_dbfs(said) < -10


def test_speaking_faster_takes_less_time() -> None:
    line = "Can somebody call me back this afternoon?"
    slow, fast = speak(line, words_per_minute=120), speak(line, words_per_minute=240)
    assert len(fast) < len(slow) * 0.7


def test_voices_differ_and_none_sticks() -> None:
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
    with pytest.raises(SpeechUnavailable, match=r"pip install 'phone-agent-bridge\[demo\]'"):
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
