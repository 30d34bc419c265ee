"""The core knows no vendor of a model: the wire's codec says what the vendor's words mean.

Searched for, in code, docstrings and comments alike: the names of the Realtime API's events, of its
fields, error codes and error texts, as whole words, and the vendor's own name. Not searched for:
plain words that its fields share with ours (`error`, `completed`, `message`, `function_call`,
`output_audio`), our classes that are named alike (`ResponseCreated`), and values of the agent file
(`server_vad`).
"""

import re
from typing import Any, get_args

import pytest
from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent

from app.wires.realtime.refusals import FATAL, SESSION_LOST
from app.wires.realtime.server_events import SERVER_EVENTS
from docs.imports import APP

FIELDS = {"conversation_id", "interrupt_response", "status_details"}
FIELDS |= {"input_audio_buffer", "input_audio_transcription", "turn_detection", "error.event_id"}
CODES = {"conversation_already_has_active_response", "response_cancel_not_active", "invalid_value"}
CODES |= {"turn_detected", "client_cancelled", "rate_limit_exceeded", "server_error"}
TEXTS = {"already shorter than", "Cancellation failed"}
NAMES = {"OpenAI", "Realtime"}


def types_of(union: Any) -> set[str]:
    """The types of the events in a union of the client library."""
    events = get_args(get_args(union)[0])
    return {name for event in events for name in get_args(event.model_fields["type"].annotation)}


EVENTS = types_of(RealtimeServerEvent) | types_of(RealtimeClientEvent)
EVENTS |= {str(struct.__struct_config__.tag) for struct in SERVER_EVENTS}  # the beta's as well
WORDS = {name for name in EVENTS if "." in name} | FIELDS | CODES | FATAL | SESSION_LOST
_ANY = "|".join(map(re.escape, sorted(WORDS | TEXTS | NAMES, key=len, reverse=True)))
VENDOR = re.compile(rf"(?<![\w.])(?:{_ANY})(?!\w|\.\w)")


def test_the_core_holds_none_of_the_vendor_s_words() -> None:
    found = [
        f"{file.relative_to(APP)}:{number}: {hit[0]}"
        for file in sorted((APP / "call").rglob("*.py"))
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        for hit in VENDOR.finditer(line)
    ]

    assert not found, "\n".join(found)


def test_the_words_are_those_of_the_client_library() -> None:
    assert {"response.create", "session.updated", "input_audio_buffer.append"} <= WORDS
    assert len(WORDS) > 70


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("`response.created`: a response began", True),
        ("the answer to response.create.", True),
        ("(OpenAI: the server", True),
        ("self._responses.created(", False),
        ("ResponseCreated, requested by turn detection", False),
    ],
)
def test_a_word_is_found_as_a_whole(text: str, found: bool) -> None:
    assert bool(VENDOR.search(text)) is found
