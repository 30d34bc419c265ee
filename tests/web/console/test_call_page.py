"""The text of a call's page in one file."""

import audioop
import gzip
import json
import re
from base64 import b64decode, b64encode
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from app.audio import ulaw_decode
from app.records.record import TimelineRow, TurnRow
from app.records.report.call_report import report_of
from app.records.report.levels import read_levels
from app.records.report.whole_call import WholeCall
from app.web.console import call_page
from tests.records.report.recorded_call import Story, pizza_call

BLOCK = re.compile(r'<script type="[\w/]+" id="([\w-]+)">(.*?)</script>', re.DOTALL)
HOSTILE = (
    '</script><script>throw 1</script><img src=x onerror="throw 2"><!-- <!DOCTYPE {{7*7}} ${7*7} '
    "\u2028\u2029\u202e\u2066\u001b[31m\u0007\u0000 "
)


def whole(story: Story, wav: Path | None = None) -> WholeCall:
    turns, timeline = story.turns(), story.timeline()
    levels = read_levels(wav) if wav else None
    report = report_of(story.call(wav), turns, timeline, levels)
    return WholeCall(replace(report, wav=wav), turns, timeline)


def page_of(call: WholeCall) -> str:
    return "".join(call_page.call_page(call))


def blocks(page: str) -> dict[str, str]:
    return dict(BLOCK.findall(page))


def unpacked(text: str) -> bytes:
    return gzip.decompress(b64decode(text, validate=True))


def data(page: str) -> Any:
    return json.loads(blocks(page)["call-data"])


def hashes(page: str, element: str) -> list[str]:
    texts = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
    return [f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in texts]


def test_the_policy_allows_this_script_and_this_style_and_nothing_else() -> None:
    page = page_of(whole(pizza_call()))
    found = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert found is not None
    policy = dict(each.split(" ", 1) for each in found[1].split("; "))
    assert policy["default-src"] == "'none'"
    assert [policy["script-src"]] == hashes(page, "script")
    assert [policy["style-src"]] == hashes(page, "style")
    assert "unsafe" not in found[1] and "http" not in found[1] and "*" not in found[1]
    assert page.index(found[0]) < page.index("<script")


def test_nothing_is_fetched() -> None:
    page = page_of(whole(pizza_call()))
    markup = BLOCK.sub("", page)
    assert re.findall(r"(?:src|href)=\"(?!data:)[^\"]*\"", markup.split("<style>")[0]) == []
    assert "@import" not in markup and "url(" not in markup


def test_the_data_is_the_record_its_report_and_its_timeline() -> None:
    call = whole(pizza_call())
    page = page_of(call)
    found = data(page)
    assert found["record"]["call_sid"] == call.report.call.call_sid
    assert found["record"]["from"] == "+15550100001"
    assert found["record"]["transcript"][0]["text"].startswith("Pizzeria Bella")
    assert found["record"]["events"] == []
    assert [turn["heard"] for turn in found["report"]["turns"]][:2] == [
        "Pizzeria Bella, this is Mia. What can I get you?",
        "Hello! What pizzas do you have?",
    ]
    events = json.loads(unpacked(blocks(page)["timeline-data"]))
    assert [event["name"] for event in events] == [row.name for row in call.timeline]


def test_the_sound_is_the_recordings_in_ulaw(tmp_path: Path) -> None:
    story = pizza_call()
    wav = story.write_wav(tmp_path / "call.wav")
    page = page_of(whole(story, wav))
    frames = wav.read_bytes()[44:]
    for name, side in (("caller-sound", (1, 0)), ("agent-sound", (0, 1))):
        ulaw = unpacked(blocks(page)[name])
        assert ulaw == audioop.lin2ulaw(audioop.tomono(frames, 2, *side), 2)
        assert len(ulaw_decode(ulaw)) == len(frames) // 2
    assert data(page)["record"]["recording"] == "call.wav"
    assert str(tmp_path) not in page


def test_a_call_without_a_recording_has_no_sound() -> None:
    page = page_of(whole(pizza_call()))
    assert "caller-sound" not in blocks(page)
    assert data(page)["record"]["recording"] is None


def test_a_call_that_left_nothing_has_a_page_too() -> None:
    found = data(page_of(whole(Story())))
    assert found["report"]["turns"] == found["report"]["answers"] == []


def test_third_party_code_comes_with_its_licences() -> None:
    assert "preact" in blocks(page_of(whole(pizza_call())))["licences"]


def hostile(text: str) -> WholeCall:
    """A call with this text wherever foreign text can be."""
    call = whole(pizza_call())
    row = replace(
        call.report.call,
        from_number=text, to_number=text, agent_name=text, summary=text, ended_by=text,
        transfers=[{"destination": text, "outcome": text, "reason": text, "summary": text}],
        usage={text: 1}, cost={"currency": text, "model": 1.0, text: 2.0, "unknown": [text]},
    )  # fmt: skip
    turns = [
        TurnRow(0, "assistant", text, "item_h"),
        TurnRow(1, "tool", text, "call_h", extra={"name": text}),
    ]
    called = {
        "response_id": "r", "item_id": "i", "kind": "function_call", "status": "completed",
        "call_id": "call_h", "name": text, "arguments": json.dumps({text: text}),
    }  # fmt: skip
    added: list[tuple[str, dict[str, str]]] = [
        ("OutputItemDone", called),
        ("ToolReturned", {"call_id": "call_h", "output": text}),
        ("SayRequested", {"text": text}),
        ("ModelLost", {"reason": text}),
        ("DigitPressed", {"digit": text}),
    ]
    timeline = [
        *call.timeline,
        *(
            TimelineRow(n, 9000.0, "event", name, {**fields, "order": n})
            for n, (name, fields) in enumerate(added, 90_000)
        ),
    ]
    return WholeCall(report_of(row, turns, timeline), turns, timeline)


@pytest.mark.parametrize("size", [1, 2000], ids=["short", "200 kB"])
def test_hostile_text_ends_no_element_and_starts_none(size: int) -> None:
    page = page_of(hostile(HOSTILE * size))
    assert page.count("<script") == page.count("</script>") == len(blocks(page)) + 1
    assert "<img" not in page and "<!--" not in page
    assert page.lower().count("<!doctype") == 1
    head = page.partition("<style>")[0]
    assert head.isprintable() or not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", head)
    for text in blocks(page).values():
        assert "<" not in text or "Preact" in text
    assert data(page)["record"]["summary"] == HOSTILE * size
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u2028-\u202e\u2066-\u2069]", page)
