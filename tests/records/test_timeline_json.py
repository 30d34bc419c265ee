"""The timeline as JSON is what the decoded entries would be."""

import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from app.records.engines import to_json
from app.records.reading import read_timeline
from app.records.record import TimelineRow
from app.records.timeline_json import timeline_json

ROWS = TypeAdapter(list[TimelineRow])
BATCHES = {
    "several": [
        '[[1, 2.5, "event", "A", {"x": [1, 2.0, null]}], [2, 3, "command", "B", {}]]',
        '[[3, 4.0, "event", "C", {"text": "Gr\u00fc\u00dfe \\u2713"}]]',
    ],
    "out of order": ['[[5, 1.0, "event", "A", {}]]', '[[2, 0.0, "event", "B", {}]]'],
    "not finite": ['[[1, 2.5, "event", "A", {"x": NaN, "y": Infinity}]]'],
    "half an emoji": [r'[[1, 2.5, "event", "A", {"x": "\ud83d"}]]'],
    "an emoji": [r'[[1, 2.5, "event", "A", {"x": "\uD83D\uDE00"}]]'],
    "unreadable": ["no JSON", '{"a": 1}', '[[1, 2.5, "event", "A", {"x": 1}], [2], 7]', "[]"],
    "none": [],
}


@pytest.mark.parametrize("kind", BATCHES)
def test_it_has_the_entries_as_they_are_read(kind: str) -> None:
    rows = sorted(read_timeline("CA1", BATCHES[kind]), key=lambda row: row.position)
    assert json.loads(timeline_json("CA1", BATCHES[kind])) == json.loads(ROWS.dump_json(rows))


def test_of_two_entries_at_one_position_the_first_counts() -> None:
    twice = ['[[1, 2.5, "event", "A", {}]]', '[[1, 2.5, "event", "B", {}]]']
    assert [each["name"] for each in json.loads(timeline_json("CA1", twice))] == ["A"]


@pytest.mark.parametrize(
    "value",
    [
        "é ☎",
        "\ud800",
        "\x00",
        2**70,
        -0.5,
        1e22,
        None,
        True,
        {"pieces": [(1, 2.25, "a")]},
        Path("a"),
    ],
)
def test_a_row_is_stored_as_the_json_module_would_write_it(value: object) -> None:
    row = (1, 2.5, "event", "TextReceived", {"text": value})
    assert json.loads(to_json(row)) == json.loads(json.dumps(row, default=str))
