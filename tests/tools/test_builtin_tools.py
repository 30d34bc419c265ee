"""The tools that every agent has."""

import re

from app.tools.builtin import END_CALL, RESERVED_NAMES


def test_end_call_takes_a_reason_and_nothing_else() -> None:
    assert END_CALL.name == "end_call"
    assert END_CALL.parameters["required"] == ["reason"]
    assert list(END_CALL.parameters["properties"]) == ["reason"]
    assert END_CALL.parameters["additionalProperties"] is False


def test_only_send_digits_sounds_like_the_keypad() -> None:
    keypad = re.compile("digit|press|dtmf|keypad")
    assert [name for name in sorted(RESERVED_NAMES) if keypad.search(name)] == ["send_digits"]
    assert END_CALL.name in RESERVED_NAMES
