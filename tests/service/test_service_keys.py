"""Keys end to end: the caller's, which lead to words, to a human or to a tool; and the agent's."""

import asyncio
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from app.audio import ulaw_decode
from app.simulator.realtime import Reply
from app.simulator.twilio import Callee, Fault
from tests.service import tool_gate
from tests.service.api import api
from tests.service.test_service_recording import read
from tests.service.transfer_world import (
    ANNOUNCEMENT,
    ANSWER,
    DESK,
    HELLO,
    INF,
    Agent,
    Caller,
    all_hang_up,
    callers,
    desk,
    outcomes,
    outputs,
    size,
    told,
    transfer_world,
)
from tests.service.world import AGENT, World, noise

ONE = desk(name="desk", number=DESK)
TAKES = Callee(answers_after_ms=30, presses="1", talks_ms=30)
CARD = "4929123456781234"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of two seconds would slow the tests."""
    monkeypatch.setattr("app.call.caller.keypad.PAUSE_MS", 200.0)
    monkeypatch.setattr("app.call.caller.keypad.ASKED_PAUSE_MS", 400.0)
    monkeypatch.setattr("app.call.caller.keypad.CONTINUE_MS", 500.0)


async def answered(caller: Caller) -> None:
    """Until the agent said `ANSWER` once more, and nothing after it."""
    await caller.call.wait_for(lambda: caller.call.heard.endswith(ANSWER.audio or b"?"))
    await caller.call.wait_quiet(50)


def press(caller: Caller, keys: str) -> None:
    for key in keys:
        caller.call.press(key)


# --- to the agent ---------------------------------------------------------------------------------


async def test_keys_reach_the_agent_as_one_text_and_are_answered_once() -> None:
    """One caller each; a 0 among other keys, or before a #, calls no human."""
    entries = ["123#", "123", "7#", "10#", "102", "0#", "00", "*0", "1234567890"]
    agent = Agent()
    async with transfer_world(agent, ONE) as w:
        everybody = await callers(w, agent, len(entries))

        async def type_in(caller: Caller, keys: str) -> None:
            await caller.greeted()
            press(caller, keys)
            await answered(caller)

        await asyncio.gather(*map(type_in, everybody, entries))
        records = await all_hang_up(everybody)
        for caller, record, keys in zip(everybody, records, entries, strict=True):
            text = f"(The caller pressed on the telephone's keypad: {keys.rstrip('#')})"
            assert told(caller.session) == [("user", text)]
            assert caller.call.heard == (HELLO.audio or b"") + (ANSWER.audio or b"")
            assert len(caller.session.events_of("response.create")) == 2
            said = [turn["text"] for turn in record["transcript"]]
            assert said == [HELLO.text, text, ANSWER.text]
        assert not w.line.rest_requests


async def test_keys_cut_the_agent_short() -> None:
    long = Reply("One two three four five six.", audio=noise(2000, "long"), speed=INF)
    agent = Agent({"Read me the list.": long})
    async with transfer_world(agent, ONE) as w:
        (caller,) = await callers(w, agent)
        await caller.greeted()
        caller.says("Read me the list.")
        await caller.call.wait_heard(size(HELLO) + 2400)
        press(caller, "5")
        await answered(caller)
        assert len(caller.call.heard) < size(HELLO, ANSWER) + 1000 * 8
        await caller.hangs_up()


def typed(caller: Caller) -> list[str]:
    """The keys that the model's conversation contains in the end."""
    items = [item for item in caller.session.conversation if item.content]
    return re.findall(r"keypad: ([^)]*)\)", str([item.content for item in items]))


async def test_a_number_that_is_typed_slowly_is_one_entry_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.call.caller.keypad.CONTINUE_MS", 10_000.0)
    agent = Agent()
    async with transfer_world(agent, ONE) as w:
        (caller,) = await callers(w, agent)
        await caller.greeted()
        for number, key in enumerate("4071", 1):
            press(caller, key)
            await caller.call.wait_heard(size(HELLO) + number * size(ANSWER))
        assert typed(caller) == ["4071"]
        record = await caller.hangs_up()
        said = [turn["text"] for turn in record["transcript"] if turn["role"] == "user"]
        assert said == ["(The caller pressed on the telephone's keypad: 4071)"]
        assert not w.line.rest_requests


async def test_keys_before_and_after_a_lost_stream_are_one_entry() -> None:
    agent = Agent()
    async with transfer_world(agent, ONE) as w:
        (caller,) = await callers(w, agent)
        await caller.greeted()
        press(caller, "40")
        await caller.call.wait_spoken()
        await caller.call.drop()
        await caller.call.wait_connected(2)
        press(caller, "71#")
        await caller.call.wait_for(lambda: len(w.model.sessions) == 2)
        session = w.model.sessions[1]
        text = "(The caller pressed on the telephone's keypad: 4071)"
        await session.until(lambda s: ("user", text) in told(s))
        record = await caller.hangs_up()
        said = [turn["text"] for turn in record["transcript"] if turn["role"] == "user"]
        assert said == [text]


# --- to a human -----------------------------------------------------------------------------------


async def test_a_lone_0_reaches_a_human() -> None:
    agent = Agent()
    async with transfer_world(agent, ONE) as w:
        w.line.callee = TAKES
        (caller,) = await callers(w, agent)
        await caller.greeted()
        caller.call.press("0")
        record = await caller.ended()
        assert [dialed.target for dialed in caller.call.dialed] == [DESK]
        assert caller.call.heard == (HELLO.audio or b"") + (ANNOUNCEMENT.audio or b"")
        assert outcomes(record) == ["completed"] and record["ended_by"] == "transfer"
        assert record["transfers"][0]["reason"] == "The caller pressed 0."
        (human,) = caller.call.dialed
        assert "The caller pressed 0." in [said.text for said in human.heard]


@pytest.mark.parametrize("how", ["gone", "never there", "mute"])
async def test_a_lone_0_reaches_a_human_with_the_model_down(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.call.exits.last_words.UNSAID_MS", 300.0)  # for the one that is mute
    agent = Agent()
    async with transfer_world(agent, ONE) as w:
        w.line.callee = TAKES
        if how == "never there":
            w.model.hang()
            call = await w.connected()
        else:
            (caller,) = await callers(w, agent)
            await caller.greeted()
            call = caller.call
            if how == "gone":
                w.model.hang()
                caller.session.drop()
            else:
                caller.session.mute()
        call.press("0")
        await call.wait_ended()
        await w.settled()
        assert [dialed.target for dialed in call.dialed] == [DESK]
        if how != "mute":
            assert call.said == ["Please hold the line, you are being connected."]
        assert outcomes(await w.record(call.call_sid)) == ["completed"]
        await w.model.resume()


async def test_a_lone_0_outside_opening_hours_is_answered_by_the_agent() -> None:
    never = 'hours = ["Mon 00:00-00:01"]\ntimezone = "UTC"'  # but for a minute a week
    agent = Agent()
    async with transfer_world(agent, desk(f'name = "desk"\nnumber = "{DESK}"\n{never}')) as w:
        (caller,) = await callers(w, agent)
        await caller.greeted()
        caller.call.press("0")
        await answered(caller)
        ((_, text),) = told(caller.session)
        assert "nobody is there before Monday, 00:00" in text
        await caller.hangs_up()
        assert not w.line.rest_requests


async def test_a_0_while_twilio_refuses_the_transfer_leaves_the_caller_with_the_agent() -> None:
    agent = Agent()
    async with transfer_world(agent, ONE) as w:
        w.line.rest_faults.append(Fault(503, times=3))
        (caller,) = await callers(w, agent)
        await caller.greeted()
        caller.call.press("0")
        await answered(caller)
        assert "could not be put through to desk" in str(told(caller.session))
        assert outcomes(await caller.hangs_up()) == ["failed"]


# --- to a tool ------------------------------------------------------------------------------------

TOOLS = '''
from app.tools import CallContext, tool
from tests.service import tool_gate
from tests.service.api import api

typed = []


@tool
async def pay(call: CallContext) -> str:
    """Takes a card's number."""
    digits = await call.ask_digits(16, secret=True, prompt="Please type your card.")
    typed.append(digits)
    return f"The card {digits} was charged."


@tool
async def check(call: CallContext) -> str:
    """Takes a PIN, and tells whether it is 4711."""
    digits = await call.ask_digits(4, secret=True, prompt="Please type your card.")
    return "It is right." if digits == "4711" else "It is wrong."


@tool
async def decline(call: CallContext) -> str:
    """Takes a card's number, and fails over it, in one form or another."""
    digits = await call.ask_digits(16, secret=True, prompt="Please type your card.")
    try:
        raise KeyError(digits)
    except KeyError as error:
        raise RuntimeError(f"declined: {' '.join(digits)}, {int(digits)}") from error


@tool
def later() -> str:
    """Fails over a card that another tool was given."""
    raise ValueError(f"still declined: {typed[-1]}")


@tool
async def choose(call: CallContext) -> str:
    """Takes a choice."""
    tool_gate.begun(call.call_sid)
    return f"They chose {await call.ask_digits(timeout_s=20)}."
'''
PROMPT = Reply("Please type your card.", audio=noise(60, "prompt"), speed=INF)


TOOLS_THAT_FAIL = {"Let me try.": "decline", "Let me pay.": "pay", "And now?": "later"}
TOOL_OF = {
    "Let me pay.": "pay",
    "Let me choose.": "choose",
    "Let me try.": "decline",
    "And now?": "later",
    "Let me in.": "check",
}


class Till(Agent):
    """Calls a tool when the test wants it, and says what the tool returns."""

    def brain(self, turn: Any) -> Reply:
        if turn.kind == "direct" and "Please type" in turn.instructions:
            return PROMPT
        tool = TOOL_OF.get(turn.transcript)
        if turn.kind == "reply" and not turn.tool_outputs and tool:
            return Reply(tool_calls=[(tool, {})])
        return super().brain(turn)


def everything(w: World, record: object) -> str:
    """All that anybody but the tool could look into."""
    sent = [session.client_events for session in w.model.sessions]
    logged = [str(each.__dict__) + each.getMessage() for each in w.log.records]
    database = Path(w.settings.database_url.get_secret_value().removeprefix("sqlite:///"))
    files = [path.read_bytes() for path in database.parent.glob("calls.db*")]
    return json.dumps(sent) + json.dumps(record) + "".join(logged) + str(files)


async def test_a_secret_entry_is_for_its_tool_alone(tmp_path: Path) -> None:
    file = f'tools = "tools.py"\n{AGENT}\n[recording]\nenabled = true\nannouncement = "Recorded."\n'
    agent = Till()
    async with transfer_world(agent, file, tools=TOOLS, recordings_dir=tmp_path) as w:
        (caller,) = await callers(w, agent)
        call, session = caller.call, caller.session
        await caller.greeted()
        caller.says("Let me pay.")
        await call.wait_heard(size(HELLO, PROMPT))
        sound = noise(400, "what keys sound like to the ear")
        call.say(sound)
        press(caller, CARD[:7])
        await call.wait_spoken()
        press(caller, CARD[7:])
        await answered(caller)
        assert outputs(session) == ["The card *** was charged."]

        await call.wait_quiet(800)  # the last key may sound on
        after = noise(300, "after")
        call.say(after)
        await session.until(lambda s: after in s.heard)
        record = await caller.hangs_up()

        (tool,) = [t for t in record["transcript"] if t["role"] == "tool"]
        assert tool["text"] == "The card *** was charged."
        keys = [e["data"]["digit"] for e in record["events"] if e["name"] == "DigitPressed"]
        assert keys == ["•"] * 16
        seen = everything(w, record)
        assert CARD not in seen and CARD[:7] not in seen and CARD[7:] not in seen
        pieces = [sound[n : n + 160] for n in range(0, len(sound), 160)]
        assert not any(piece in session.heard for piece in pieces)
        assert after in session.heard
    heard_ms = len(session.heard) / 8
    assert heard_ms > 1000
    caller_side, _ = read(record["recording"])
    loud = [n for n, sample in enumerate(caller_side.tolist()) if abs(sample) > 200]
    assert loud[-1] - loud[0] < 320 * 8  # what was said after it, and nothing before


async def test_the_rest_of_a_secret_entry_that_a_lost_stream_cuts_reaches_no_one() -> None:
    agent = Till()
    async with transfer_world(agent, f'tools = "tools.py"\n{AGENT}', tools=TOOLS) as w:
        (caller,) = await callers(w, agent)
        call = caller.call
        await caller.greeted()
        caller.says("Let me pay.")
        await call.wait_heard(size(HELLO, PROMPT))
        press(caller, CARD[:7])
        await call.wait_spoken()
        await call.drop()
        await call.wait_connected(2)
        press(caller, CARD[7:])
        await call.wait_spoken()
        await call.wait_quiet(400)  # a longer pause than in an entry
        record = await caller.hangs_up()

        keys = [e["data"]["digit"] for e in record["events"] if e["name"] == "DigitPressed"]
        assert keys == ["•"] * 16
        assert [event["name"] for event in record["events"]].count("StreamStarted") == 2
        seen = everything(w, record)
        assert CARD[:7] not in seen and CARD[7:] not in seen
        assert "pressed on the telephone" not in seen


async def test_keys_during_an_announcement_are_no_part_of_a_secret_entry() -> None:
    announcement = Reply("One moment.", audio=noise(3000, "announcement"), speed=INF)

    class Announcer(Till):
        def brain(self, turn: Any) -> Reply:
            announces = turn.kind == "direct" and "hand the caller" in turn.instructions
            return announcement if announces else super().brain(turn)

    agent = Announcer()
    file = f'tools = "tools.py"\n{ONE}'
    async with transfer_world(agent, file, tools=TOOLS) as w:
        (caller,) = await callers(w, agent)
        call = caller.call
        await caller.greeted()
        caller.says("Let me in.")
        await call.wait_heard(size(HELLO, PROMPT))
        ordered = await api(w, "POST", f"/calls/{call.call_sid}/transfer", {"destination": "desk"})
        assert ordered.status == 202
        await call.wait_heard(size(HELLO, PROMPT, announcement))
        press(caller, "99")
        for _ in range(5):  # until the service has the keys: it reads them in between
            await w.status_of("/healthz")
        caller.says("No, wait.")
        await caller.session.until(lambda s: "Not transferred" in str(s.client_events))
        press(caller, "4711")
        await answers(caller, 1)
        assert outputs(caller.session) == ["It is right."]
        record = await caller.hangs_up()
        keys = [e["data"]["digit"] for e in record["events"] if e["name"] == "DigitPressed"]
        assert keys == ["•"] * 6 and record["transfers"] == []


async def answers(caller: Caller, count: int) -> None:
    """Wait until the model has been given so many tools' answers."""
    await caller.session.until(lambda s: len(outputs(s)) == count)


async def test_a_tool_that_fails_over_a_secret_tells_it_to_no_one() -> None:
    agent = Till()
    async with transfer_world(agent, f'tools = "tools.py"\n{AGENT}', tools=TOOLS) as w:
        (caller,) = await callers(w, agent)
        await caller.greeted()
        for number, (words, name) in enumerate(TOOLS_THAT_FAIL.items(), 1):
            heard = len(caller.call.heard)
            caller.says(words)
            if name != "later":
                await caller.call.wait_heard(heard + size(PROMPT))
                press(caller, CARD)
            await answers(caller, number)
            await caller.call.wait_quiet(100)
        assert outputs(caller.session)[::2] == ["The tool failed."] * 2
        record = await caller.hangs_up()
        seen = everything(w, record)
        assert CARD not in seen and " ".join(CARD) not in seen
        traces = {line["tool"]: line["trace"] for line in w.log.of("tool failed")}
        assert "in decline" in traces["decline"] and "RuntimeError" in traces["decline"]
        assert traces["later"].endswith("ValueError: still declined: ***\n")


async def test_digits_that_are_not_secret_may_reach_the_model() -> None:
    tool_gate.arm()
    agent = Till()
    async with transfer_world(agent, f'tools = "tools.py"\n{AGENT}', tools=TOOLS) as w:
        (caller,) = await callers(w, agent)
        await caller.greeted()
        caller.says("Let me choose.")
        await tool_gate.running(caller.call.call_sid)
        press(caller, "30#")
        await answered(caller)
        assert outputs(caller.session) == ["They chose 30."]
        assert told(caller.session) == []
        await caller.hangs_up()


# --- the agent's own ------------------------------------------------------------------------------

LOW_HZ, HIGH_HZ = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
KEYS = "123A456B789C*0#D"


def power(samples: memoryview, hz: float) -> float:
    """Goertzel: how much of this frequency is in there."""
    turn = 2 * math.cos(2 * math.pi * hz / 8000)
    before = last = 0.0
    for sample in samples:
        before, last = last, sample + turn * last - before
    return before**2 + last**2 - turn * before * last


def keys_in(ulaw: bytes) -> str:
    """The DTMF keys in a sound, as an ear made for them hears it: 20 ms at a time."""
    samples = memoryview(ulaw_decode(ulaw)).cast("h")
    found = last = ""
    for begin in range(0, len(samples) - 159, 160):
        window = samples[begin : begin + 160]
        energy = sum(sample * sample for sample in window)
        low, high = ({hz: power(window, hz) for hz in each} for each in (LOW_HZ, HIGH_HZ))
        row, column = max(low, key=low.__getitem__), max(high, key=high.__getitem__)
        # Of a sound of n samples that is nothing but tones, n / 2 times its energy is found there.
        pure = energy > 1e8 and low[row] + high[column] > 0.7 * energy * 80
        key = KEYS[LOW_HZ.index(row) * 4 + HIGH_HZ.index(column)] if pure else ""
        if key and key != last:
            found += key
        last = key
    return found


def pressing(digits: str) -> Agent:
    return Agent({"Go on.": Reply(tool_calls=[("send_digits", {"digits": digits})])})


async def test_the_keys_that_the_agent_presses_sound_on_the_line() -> None:
    rows = ["1", "1w42#", "159*0#", "2580", "36ABCD"]
    agent = Agent(
        {digits: Reply(tool_calls=[("send_digits", {"digits": digits})]) for digits in rows}
    )
    async with transfer_world(agent, AGENT) as w:
        everybody = await callers(w, agent, len(rows))

        async def have_pressed(caller: Caller, digits: str) -> None:
            await caller.greeted()
            caller.says(digits)
            await answered(caller)

        await asyncio.gather(*map(have_pressed, everybody, rows))
        for caller, digits in zip(everybody, rows, strict=True):
            tones = caller.call.heard[size(HELLO) : -size(ANSWER)]
            assert keys_in(tones) == digits.replace("w", "")
            assert outputs(caller.session) == ["The keys were pressed."]
            assert len(caller.call.streams) == 1
        assert not w.line.rest_requests


async def test_many_keys_are_pressed_by_twilio_and_the_agent_goes_on() -> None:
    digits = "12w34" * 20
    agent = pressing(digits)
    agent.back = agent.answer
    async with transfer_world(agent, AGENT) as w:
        everybody = await callers(w, agent, 4)

        async def there_and_back(caller: Caller) -> None:
            await caller.greeted()
            caller.says(f"This is {caller.name}.")
            await answered(caller)
            caller.says("Go on.")
            await caller.call.wait_connected(2)
            heard = len(caller.call.heard)
            await caller.call.wait_heard(heard + 1)

        await asyncio.gather(*map(there_and_back, everybody))
        for caller in everybody:
            assert caller.call.played == [digits] and len(caller.orders) == 1
            roles = told(caller.present_session)
            assert roles[:4] == [
                ("assistant", HELLO.text),
                ("user", f"This is {caller.name}."),
                ("assistant", ANSWER.text),
                ("user", "Go on."),
            ]
            assert roles[4] == ("system", "Result of send_digits: The keys were pressed.")
            caller.call.hang_up()
        for caller in everybody:
            record = await caller.ended()
            assert (record["status"], record["ended_by"]) == ("completed", "caller")


async def test_the_model_learns_that_twilio_refused_to_play_digits() -> None:
    agent = pressing("12w34" * 20)
    async with transfer_world(agent, AGENT) as w:
        w.line.rest_faults.append(Fault(503, times=3))
        (caller,) = await callers(w, agent)
        await caller.greeted()
        caller.says("Go on.")
        await answered(caller)
        (output,) = outputs(caller.session)
        assert output.startswith("The keys could not be pressed") and "status 503" in output
        assert len(caller.call.streams) == 1 and caller.call.played == []
        await caller.hangs_up()


@pytest.mark.parametrize("times", [1, 3])
async def test_keys_that_twilio_pressed_unseen_are_pressed_once(times: int) -> None:
    """The REST response was lost; a retry would replace the new stream."""
    digits = "12w34" * 20
    agent = pressing(digits)
    agent.back = agent.answer
    async with transfer_world(agent, AGENT) as w:
        w.line.rest_faults.append(Fault(lost=True, times=times))
        (caller,) = await callers(w, agent)
        await caller.greeted()
        caller.says("Go on.")
        await caller.call.wait_connected(2)
        await caller.call.wait_heard(size(HELLO, ANSWER))
        await caller.call.wait_quiet(700)
        assert caller.call.played == [digits] and len(caller.call.streams) == 2
        assert len(caller.orders) == 1
        assert (await caller.hangs_up())["ended_by"] == "caller"


async def test_a_caller_who_hangs_up_while_twilio_presses_keys_leaves_nothing() -> None:
    agent = pressing("12w34" * 20)
    async with transfer_world(agent, AGENT, line={"say_ms": 5000}) as w:
        (caller,) = await callers(w, agent)
        await caller.greeted()
        caller.says("Go on.")
        await caller.call.wait_for(lambda: bool(caller.call.played))
        record = await caller.hangs_up()
        assert record["status"] == "completed" and w.switchboard.live_calls == 0
        assert len(caller.call.streams) == 1 and not w.model.open_sessions
