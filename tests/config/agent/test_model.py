"""[model], and the keys of [turns] and [transcription] that go with some models only."""

from pathlib import Path
from typing import Any

import pytest

from app.call.agent import Agent, ModelOptions, Transcription
from app.config.agent.file import LoadedAgent, load_agent
from app.errors import ConfigError

HEAD = 'name = "Mia"\ninstructions = "Be nice."\n'  # two lines


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def loaded_from(text: str, model: str = "gpt-realtime-2.1") -> LoadedAgent:
    Path("agent.toml").write_text(HEAD + text, encoding="utf-8")
    return load_agent(Path("agent.toml"), model=model)


def agent_of(text: str, model: str = "gpt-realtime-2.1") -> Agent:
    return loaded_from(text, model).agent


def faults(text: str, model: str = "gpt-realtime-2.1") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        agent_of(text, model)
    return [line.removeprefix("agent.toml:") for line in caught.value.problems]


def test_every_key_of_the_model_reaches_the_agent() -> None:
    agent = agent_of(
        """
        [turns]
        noise_reduction_strength = 1
        noise_reduction = "near_field"
        [model]
        reasoning_effort = "xhigh"
        max_output_tokens = 4096
        parallel_tool_calls = false
        truncation = 0.8
        [transcription]
        keywords = [" Margherita ", "Bella"]
        languages = ["en", "it"]
        """
    )
    assert agent.model == ModelOptions("xhigh", 4096, False, 0.8)
    assert agent.transcription == Transcription(
        keywords=("Margherita", "Bella"), languages=("en", "it")
    )
    turns = agent.turns
    assert (turns.noise_reduction, turns.noise_reduction_strength) == ("near_field", 1.0)


def test_without_these_keys_the_model_decides() -> None:
    agent = agent_of("[turns]\n[model]\n")
    assert agent.model == ModelOptions(None, None, None, None)
    assert (agent.turns.noise_reduction, agent.turns.noise_reduction_strength) == ("none", None)
    assert (agent.transcription.keywords, agent.transcription.languages) == ((), ())


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("max_output_tokens", '"inf"', "inf"),
        ("max_output_tokens", "1", 1),
        ("truncation", '"auto"', "auto"),
        ("truncation", '"disabled"', "disabled"),
        ("truncation", "0", 0.0),
        ("truncation", "1", 1.0),
        ("parallel_tool_calls", "true", True),
        ("reasoning_effort", '"minimal"', "minimal"),
    ],
)
def test_the_edges_of_what_a_key_accepts(key: str, value: str, expected: Any) -> None:
    found = getattr(agent_of(f"[model]\n{key} = {value}\n").model, key)
    assert (found, type(found)) == (expected, type(expected))


EFFORT = "expected 'minimal', 'low', 'medium', 'high' or 'xhigh'"
TOKENS = "expected a whole number from 1, or 'inf' for no limit"
TRUNCATION = "expected 'auto', 'disabled' or a ratio from 0 to 1"
CODES = "expected a list of two-letter ISO 639-1 codes, such as ['en', 'es']"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[model]\nreasoning_effort = "no"\n', f"4: model.reasoning_effort: {EFFORT}, got 'no'"),
        ("[model]\nreasoning_effort = 1\n", f"4: model.reasoning_effort: {EFFORT}, got 1"),
        ("[model]\nmax_output_tokens = 0\n", f"4: model.max_output_tokens: {TOKENS}, got 0"),
        ("[model]\nmax_output_tokens = 1.0\n", f"4: model.max_output_tokens: {TOKENS}, got 1.0"),
        ("[model]\nmax_output_tokens = inf\n", f"4: model.max_output_tokens: {TOKENS}, got inf"),
        ("[model]\nmax_output_tokens = true\n", f"4: model.max_output_tokens: {TOKENS}, got true"),
        ('[model]\nmax_output_tokens = "9"\n', f"4: model.max_output_tokens: {TOKENS}, got '9'"),
        (
            "[model]\nparallel_tool_calls = 1\n",
            "4: model.parallel_tool_calls: expected true or false, got 1",
        ),
        ("[model]\ntruncation = 1.1\n", f"4: model.truncation: {TRUNCATION}, got 1.1"),
        ("[model]\ntruncation = -0.1\n", f"4: model.truncation: {TRUNCATION}, got -0.1"),
        ("[model]\ntruncation = nan\n", f"4: model.truncation: {TRUNCATION}, got nan"),
        ("[model]\ntruncation = true\n", f"4: model.truncation: {TRUNCATION}, got true"),
        ('[model]\ntruncation = "off"\n', f"4: model.truncation: {TRUNCATION}, got 'off'"),
        ("[model]\ntruncation = []\n", f"4: model.truncation: {TRUNCATION}, got an array"),
        (
            '[turns]\nnoise_reduction = "loud"\n',
            "4: turns.noise_reduction: expected 'none', 'near_field' or 'far_field', got 'loud'",
        ),
        (
            '[turns]\nnoise_reduction = "far_field"\nnoise_reduction_strength = 2\n',
            "5: turns.noise_reduction_strength: expected a number from 0 to 1, got 2",
        ),
        (
            "[turns]\nnoise_reduction_strength = 0.5\n",
            "4: turns.noise_reduction_strength: needs noise_reduction = 'near_field' or "
            "'far_field'; set it or remove this key",
        ),
        (
            '[transcription]\nkeywords = "Bella"\n',
            "4: transcription.keywords: expected a list of texts, such as ['Margherita'], "
            "got 'Bella'",
        ),
        (
            '[transcription]\nkeywords = ["Bella",\n"  "]\n',
            "4: transcription.keywords: expected a list of texts, such as ['Margherita'], got '  '",
        ),
        (
            '[transcription]\nlanguages = ["eng"]\n',
            f"4: transcription.languages: {CODES}, got 'eng'",
        ),
        ('[transcription]\nlanguages = "en"\n', f"4: transcription.languages: {CODES}, got 'en'"),
        (
            '[transcription]\nprompt = "x"\nmodel = "gpt-4o-transcribe-diarize"\n',
            "4: transcription.prompt: gpt-4o-transcribe-diarize takes no prompt; remove it",
        ),
        ("[model]\nreasoning = 1\n", "4: model.reasoning: unknown key; did you mean "),
        ("max_output_tokens = 9\n", "3: max_output_tokens: unknown key; it belongs under [model]"),
    ],
)
def test_a_fault_names_its_line_and_what_is_expected(text: str, fault: str) -> None:
    assert faults(text)[0].startswith(fault)


@pytest.mark.parametrize("value", ['"inf"', "100", '"auto"'])
def test_a_key_that_every_model_takes_is_no_fault(value: str) -> None:
    key = "truncation" if value == '"auto"' else "max_output_tokens"
    agent_of(f"[model]\n{key} = {value}\n", "gpt-realtime")


def test_a_key_that_the_configured_model_cannot_take_is_left_out_with_a_warning() -> None:
    text = '[model]\ntruncation = "auto"\nreasoning_effort = "xhigh"\nparallel_tool_calls = false\n'
    loaded = loaded_from(text, "gpt-realtime-mini")
    fix = "so it is left out; remove it; or set OPENAI_REALTIME_MODEL to a reasoning model"
    assert loaded.warnings == (
        f"agent.toml:5: model.reasoning_effort: gpt-realtime-mini takes no reasoning_effort, {fix}",
        "agent.toml:6: model.parallel_tool_calls: gpt-realtime-mini takes no parallel_tool_calls, "
        f"{fix}",
    )
    assert loaded.agent.model == ModelOptions(None, None, None, "auto")
    assert loaded.agent.limits.first_sound_ms == 4000


@pytest.mark.parametrize(
    ("text", "left", "warnings"),
    [
        (
            'model = "whisper-1"\nprompt = "x"\nkeywords = ["Bella"]\nlanguages = ["it"]\n',
            Transcription("whisper-1", "x"),
            [
                "6: transcription.keywords: whisper-1 takes no keywords, so it is left out; "
                "remove it",
                "7: transcription.languages: whisper-1 takes no languages, so it is left out; "
                "remove it",
            ],
        ),
        ('model = "whisper-1"\nkeywords = []\n', Transcription("whisper-1"), []),
    ],
)
def test_a_transcription_is_asked_for_what_it_can_take(
    text: str, left: Transcription, warnings: list[str]
) -> None:
    loaded = loaded_from(f"[transcription]\n{text}")
    assert loaded.agent.transcription == left
    assert loaded.warnings == tuple(f"agent.toml:{each}" for each in warnings)


@pytest.mark.parametrize("model", ["", "our-phone-model", "gpt-realtime-2.1-mini", "embedded"])
def test_a_model_that_may_reason_gets_the_key(model: str) -> None:
    assert agent_of('[model]\nreasoning_effort = "low"\n', model).model.reasoning_effort == "low"


@pytest.mark.parametrize(
    ("effort", "limits", "first_sound_ms"),
    [
        (None, "", 4000),
        ("minimal", "", 4000),
        ("low", "", 4000),
        ("medium", "", 7000),
        ("high", "", 7000),
        ("xhigh", "", 7000),
        ("xhigh", "first_sound_seconds = 4", 4000),
        ("xhigh", "first_sound_seconds = 2.5", 2500),
        ("xhigh", "hold_seconds = 5", 7000),
        ("low", "first_sound_seconds = 9", 9000),
    ],
)
def test_a_model_that_thinks_longer_may_begin_later(
    effort: str | None, limits: str, first_sound_ms: int
) -> None:
    key = f'reasoning_effort = "{effort}"\n' if effort else ""
    agent = agent_of(f"[limits]\n{limits}\n[model]\n{key}")
    assert agent.limits.first_sound_ms == first_sound_ms
