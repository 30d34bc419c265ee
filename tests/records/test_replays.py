"""Recorded calls replay: those of today, and those that older versions have left."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent
from app.call.timeline import FORMAT
from app.records.replays import ReplayError, events_in, replay_call
from app.records.schema import TimelineRow
from tests.call.scene import Scene, agent

#: Calls that the first version recorded: in format 1, without their agents, which lie beside them.
RECORDED = Path(__file__).parents[1] / "traffic" / "calls"
BUSY = "conversation_already_has_active_response"
_AGENT: TypeAdapter[Agent] = TypeAdapter(Agent)


def recorded(**changes: Any) -> list[TimelineRow]:
    """A short call, as the store gives it back. `changes`: of its `LegOpened`."""
    scene = Scene(agent(greeting="Hello."))
    scene.timeline.agent = scene.agent
    scene.feed(ev.LegOpened())
    scene.configure()
    scene.feed(ev.StreamStarted("MZ1"))
    scene.respond(600)
    scene.run(300)
    scene.speak()
    scene.fall_silent(text="What day is it?")
    scene.respond(600)
    scene.run(2000)
    scene.feed(ev.StreamEnded("stop"))
    rows = rows_of(scene)
    opened = next(row for row in rows if row.name == "LegOpened")
    rows[rows.index(opened)] = replace(opened, data={**opened.data, **changes})
    return rows


def rows_of(scene: Scene) -> list[TimelineRow]:
    """The timeline of a scene, as the store gives it back."""
    return [
        TimelineRow(each.order, each.at_ms, each.kind, each.name, _stored(each.as_data()))
        for each in scene.timeline.take()
    ]


def _stored(data: dict[str, Any]) -> dict[str, Any]:
    through_json: dict[str, Any] = json.loads(json.dumps(data))
    return through_json


def named(rows: list[TimelineRow], old: str, new: str) -> list[TimelineRow]:
    """The rows with some of them renamed."""
    return [replace(row, name=new) if row.name == old else row for row in rows]


def test_a_call_of_today_replays_from_its_record_alone() -> None:
    result = replay_call(recorded())

    assert result.difference is None
    assert (result.format, result.legs) == (FORMAT, 1)
    assert result.commands > 10 and result.events > 5


def test_a_command_that_differs_is_shown_with_what_was_recorded() -> None:
    rows = recorded()
    at = next(n for n, row in enumerate(rows) if row.name == "ClearAudio")
    changed = replace(rows[at], data={**rows[at].data, "dropped_bytes": 12345})

    result = replay_call([*rows[:at], changed, *rows[at + 1 :]])

    assert result.difference is not None
    _, before, now = result.difference
    assert before is not None and now is not None
    assert (before[1], before[2]["dropped_bytes"]) == ("ClearAudio", 12345)
    assert now[1] == "ClearAudio" and now[2]["dropped_bytes"] != 12345


def test_commands_that_are_missing_are_a_difference() -> None:
    rows = [row for row in recorded() if row.name != "EndLeg"]

    result = replay_call(rows)

    assert result.difference is not None and result.difference[1] is None


def test_another_agent_takes_the_place_of_the_recorded_one() -> None:
    assert replay_call(recorded(), agent(greeting="Good evening.")).difference is not None
    assert replay_call(recorded(), agent(greeting="Hello.")).difference is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no agent had this call"),
        (recorded(format=FORMAT + 1), f"recorded in format {FORMAT + 1}, and this version reads"),
        (named(recorded(), "SpeechStarted", "SpeechBegun"), "not one of this version's"),
        (recorded(agent={"name": "Ada"}), "the recorded agent cannot be read: instructions"),
    ],
)
def test_what_cannot_be_replayed_says_why(rows: list[TimelineRow], message: str) -> None:
    with pytest.raises(ReplayError, match=message):
        replay_call(rows)


def test_a_call_of_format_1_asks_for_its_agent() -> None:
    rows = recorded()
    opened = next(row for row in rows if row.name == "LegOpened")
    data = {key: value for key, value in opened.data.items() if key not in ("format", "agent")}
    rows[rows.index(opened)] = replace(opened, data=data)

    with pytest.raises(ReplayError, match="name the agent file with --agent"):
        replay_call(rows)
    result = replay_call(rows, agent(greeting="Hello."))
    assert (result.format, result.difference) == (1, None)


def test_a_refusal_that_an_older_version_recorded_is_read_from_its_code_and_text() -> None:
    scene = Scene()
    scene.timeline.agent = scene.agent
    scene.connect()
    scene.tool_response("call_1")
    request = scene.feed(ev.ToolReturned("call_1", "42"))[-1]
    assert isinstance(request, do.CreateResponse)
    scene.begin("item_2", "resp_2")  # turn detection began one first
    scene.feed(ev.ModelFaulted(BUSY, "Wait.", request.event_id, "busy"))
    scene.audio(3000, "item_2", "resp_2")
    scene.finish("item_2", "resp_2")
    scene.run(1000)
    truncation = scene.speak()[-1]
    assert isinstance(truncation, do.TruncateItem)
    text = "Audio content of 500ms is already shorter than 900ms"
    scene.feed(ev.ModelFaulted("invalid_value", text, truncation.event_id, "too_short", 500))
    assert scene.all(do.TruncateItem)[-1].audio_end_ms == 500
    rows = rows_of(scene)

    older = [replace(row, data=before_refusals(row)) for row in rows]

    assert replay_call(rows).difference is None
    assert replay_call(older).difference is None
    older = [row for row in older if row.name != "ModelFaulted"]
    assert replay_call(older).difference is not None, "the refusals change what follows"


def before_refusals(row: TimelineRow) -> dict[str, Any]:
    """The fields of a row, as they were before an event said what a refusal means."""
    return {key: row.data[key] for key in row.data if key not in ("refusal", "length_ms")}


# --- calls that the first version recorded --------------------------------------------------------


@pytest.mark.parametrize("file", sorted(RECORDED.glob("*.json")), ids=lambda file: file.stem)
def test_a_call_that_an_older_version_recorded_replays(file: Path) -> None:
    agent = _AGENT.validate_json(json.dumps(json.loads(file.read_bytes())["agent"]))

    result = replay_call(events_in(file), agent)

    assert result.difference is None
    assert result.format == 1 and result.commands >= 10


def test_the_recorded_calls_hold_every_kind_of_journey() -> None:
    files = sorted(RECORDED.glob("*.json"))
    seen = {row.name for file in files for row in events_in(file)}

    assert len(files) == 10
    assert {"TransferCall", "TruncateItem", "ToolReturned", "VoiceFinished", "ModelLost"} <= seen
    assert {"DigitPressed", "VoicemailReached", "HangUp", "EntryAsked", "DecisionMade"} <= seen


def test_a_kept_record_is_read_and_another_file_is_refused(tmp_path: Path) -> None:
    kept, other = tmp_path / "call.json", tmp_path / "other.json"
    kept.write_text(json.dumps({"events": [asdict(row) for row in recorded()]}))
    other.write_text('{"calls": []}')

    assert replay_call(events_in(kept)).difference is None
    for file in (other, tmp_path / "missing.json"):
        with pytest.raises(ReplayError, match=str(file)):
            events_in(file)
