"""Models that are switched off are named at the start, with the day."""

from datetime import date
from typing import get_args

import pytest
from openai.types.realtime import AudioTranscription, RealtimeSessionCreateRequest
from pydantic import BaseModel

from app.call.agent import Transcription
from app.config.prices import load_prices
from app.config.settings import Settings
from app.config.shutdowns import load_shutdowns, shutdown_warnings

BEFORE, AFTER = date(2026, 11, 30), date(2027, 3, 1)
DEFAULT = str(Settings.model_fields["openai_realtime_model"].default)


def names_of(body: type[BaseModel]) -> set[str]:
    """The models that the client library knows for this body."""
    found: set[str] = set()
    waiting = [body.model_fields["model"].annotation]
    while waiting:
        each = waiting.pop()
        found |= {each} if isinstance(each, str) else set()
        waiting += [*get_args(each)]
    return found


def test_a_model_that_is_switched_off_is_named_with_its_day_and_another_one() -> None:
    warnings = [*shutdown_warnings("gpt-realtime", "whisper-1", "agent.toml", BEFORE)]

    assert warnings == [
        "OPENAI_REALTIME_MODEL: OpenAI's gpt-realtime is switched off on 2027-01-20; "
        "use gpt-realtime-2.1",
        "agent.toml: transcription.model: OpenAI's whisper-1 is switched off on 2027-02-26; "
        "use gpt-transcribe",
    ]


def test_a_model_that_is_gone_is_named_as_gone() -> None:
    (warning,) = shutdown_warnings("gpt-realtime-mini", "", "agent.toml", AFTER)
    assert "was switched off on 2027-01-20" in warning


@pytest.mark.parametrize("model", [DEFAULT, "gpt-realtime-2.1-mini", "a-deployment", ""])
def test_the_default_models_and_unknown_ones_are_not_named(model: str) -> None:
    assert [*shutdown_warnings(model, Transcription().model, "agent.toml", AFTER)] == []


def test_the_list_names_models_of_openai_and_none_that_is_switched_off_as_a_replacement() -> None:
    listed = load_shutdowns()
    assert listed.realtime.keys() < names_of(RealtimeSessionCreateRequest)
    assert listed.transcription.keys() < names_of(AudioTranscription)
    prices = load_prices(None)
    assert {each.instead for each in listed.realtime.values()} <= prices.models.keys()
    assert {each.instead for each in listed.transcription.values()} <= prices.transcription.keys()
    gone = listed.realtime.keys() | listed.transcription.keys()
    replacements = [*listed.realtime.values(), *listed.transcription.values()]
    assert not gone & {each.instead for each in replacements}
