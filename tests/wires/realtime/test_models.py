"""What the names of models tell about what they take."""

import pytest

from app.wires.realtime.models import takes

REASONS = [
    "gpt-realtime-2",
    "gpt-realtime-2.1",
    "gpt-realtime-2.1-mini",
    "gpt-realtime-2-2026-05-01",
]
DOES_NOT = [
    "gpt-realtime",
    "gpt-realtime-1.5",
    "gpt-realtime-2025-08-28",
    "gpt-realtime-mini",
    "gpt-realtime-mini-2025-12-15",
    "gpt-audio-1.5",
    "gpt-audio-mini-2025-10-06",
    "gpt-4o-realtime-preview-2024-12-17",
    "gpt-4o-mini-realtime-preview",
]
UNKNOWN = ["", "our-phone-model", "gpt-realtime-phone", "gpt-realtime-3"]


@pytest.mark.parametrize("key", ["reasoning_effort", "parallel_tool_calls"])
def test_reasoning_is_for_reasoning_models_and_for_those_that_nothing_is_known_of(key: str) -> None:
    assert [model for model in (*REASONS, *DOES_NOT, *UNKNOWN) if not takes(model, key)] == DOES_NOT
    assert all(takes(model, "truncation") for model in DOES_NOT)


@pytest.mark.parametrize("key", ["keywords", "languages"])
@pytest.mark.parametrize(
    ("model", "taken"),
    [
        ("gpt-transcribe", True),
        ("gpt-live-transcribe", True),
        ("our-transcriber", True),
        ("whisper-1", False),
        ("gpt-realtime-whisper", False),
        ("gpt-4o-transcribe", False),
        ("gpt-4o-mini-transcribe-2025-12-15", False),
        ("gpt-4o-transcribe-diarize", False),
    ],
)
def test_hints_are_for_two_families_of_transcription_models(
    key: str, model: str, taken: bool
) -> None:
    assert takes(model, key) is taken
