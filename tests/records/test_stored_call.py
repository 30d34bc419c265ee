"""What the next process reads of a call that another one had."""

from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent, Transcription
from app.call.prompts import DIGITS_BUSY, DIGITS_SENT
from app.records.recorder import Recorder
from app.records.store import Store, TimelineRow, TurnRow
from app.records.stored_call import read_stored_call
from app.wires.twilio.call import CallInfo

CALL = CallInfo("CA1", "AC1", "outbound-api", "+15550100001", "+15550109999")
AGENT = Agent("Ada", "Be kind.")
OPENED = ev.LegOpened()
ASKED = ev.EntryAsked("call_1", 4, secret=True, prompt="Your PIN?", timeout_ms=5000)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(f"sqlite:///{tmp_path}/calls.db")
    yield store
    await store.aclose()


async def append(store: Store, story: list[ev.Event | do.Command]) -> None:
    """Store this timeline of the call CA1."""
    rows = [
        TimelineRow(order, 1.0, kind(each), type(each).__name__, {"order": order, **asdict(each)})
        for order, each in enumerate(story, 1)
    ]
    store.append_timeline("CA1", rows)
    await store.flush()


def kind(entry: ev.Event | do.Command) -> Literal["event", "command"]:
    return "event" if type(entry).__module__ == ev.__name__ else "command"


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ([OPENED, ASKED], True),
        ([OPENED, ASKED, ev.DigitPressed("•"), do.CancelTool("call_1")], True),
        ([OPENED, ASKED, do.GiveDigits("call_1", "••••")], False),
        ([OPENED, ASKED, ev.ToolFailed("call_1", "no")], False),
        ([OPENED, ASKED, OPENED], False),
        ([OPENED, ev.EntryAsked("call_1", 4, secret=False, prompt="", timeout_ms=5000)], False),
        ([OPENED], False),
    ],
)
async def test_a_secret_entry_that_a_stop_cuts_is_known_to_the_next_process(
    store: Store, story: list[ev.Event | do.Command], expected: bool
) -> None:
    store.save_call("CA1", direction="inbound", status="in-progress", agent_name="Ada")
    await append(store, story)
    found = await read_stored_call(store, "CA1")
    assert found is not None and found[1].secret_entry_open is expected


# --- who answered ---------------------------------------------------------------------------------


def row(position: int, role: Any, at_ms: float, **more: Any) -> TurnRow:
    more = {"text": "Well.", **more}
    return TurnRow(position=position, role=role, item_id=f"item_{position}", at_ms=at_ms, **more)


KEYS = {"name": "send_digits"}


@pytest.mark.parametrize(
    ("turns", "events", "shown"),
    [
        ([], [], "no evidence"),
        ([], [ev.DigitPressed("1")], "key pressed"),
        ([row(0, "user", 0, extra={"by": "keypad"})], [], "key pressed"),
        ([row(0, "tool", 0, text=DIGITS_SENT, extra=KEYS)], [], "digits sent"),
        ([row(0, "tool", 0, text=DIGITS_BUSY, extra=KEYS)], [], "no evidence"),
        ([row(0, "user", 0), row(1, "assistant", 2000)], [], "answered turn"),
        ([row(0, "user", 0), row(1, "assistant", 9000)], [], "no evidence"),
        (
            [row(0, "user", 0), row(1, "assistant", 2000, cut=True, heard_ms=700)],
            [],
            "no evidence",
        ),
        (
            [row(0, "user", 0), row(1, "assistant", 2000, cut=True, heard_ms=2500)],
            [],
            "answered turn",
        ),
    ],
)
async def test_what_a_call_showed_of_who_answered_is_known_to_the_next_process(
    store: Store, turns: list[TurnRow], events: list[ev.Event | do.Command], shown: str
) -> None:
    store.save_call("CA1", direction="outbound-api", status="in-progress", agent_name="Ada")
    store.save_turns("CA1", turns)
    await append(store, events)
    found = await read_stored_call(store, "CA1")
    assert found is not None and found[1].shown == shown


SHORT_ANSWER = [
    row(0, "assistant", 0),
    row(1, "user", 2000, text=""),
    row(2, "assistant", 4000, cut=True, heard_ms=100),
]
AFTER_A_CLICK = [
    row(0, "assistant", 0),
    row(1, "user", 2000, text=""),
    row(2, "user", 9000),
    row(3, "assistant", 11_000, cut=True, heard_ms=100),
]
NOT_HEARD = ev.CallerTranscriptionFailed("item_1", "audio_unintelligible")
EMPTY = ev.CallerTranscribed("item_1", "")
REFUSED = do.ConfigureSession("bridge_2", without=("transcription",))


@pytest.mark.parametrize(
    ("turns", "model", "event", "shown"),
    [
        (SHORT_ANSWER, "gpt-transcribe", None, "no evidence"),  # the transcript was pending
        (SHORT_ANSWER, "gpt-transcribe", EMPTY, "no evidence"),
        (SHORT_ANSWER, "gpt-transcribe", NOT_HEARD, "answered turn"),
        (SHORT_ANSWER, "", None, "answered turn"),
        (AFTER_A_CLICK, "gpt-transcribe", None, "no evidence"),
        (AFTER_A_CLICK, "gpt-transcribe", EMPTY, "answered turn"),
        (AFTER_A_CLICK, "", None, "no evidence"),
        (SHORT_ANSWER, "gpt-transcribe", REFUSED, "answered turn"),
        (AFTER_A_CLICK, "gpt-transcribe", REFUSED, "no evidence"),
    ],
)
async def test_a_sound_without_words_counts_as_it_did_in_the_process_before(
    store: Store,
    turns: list[TurnRow],
    model: str,
    event: ev.CallerTranscribed | ev.CallerTranscriptionFailed | do.ConfigureSession | None,
    shown: str,
) -> None:
    agent = replace(AGENT, transcription=Transcription(model))
    store.save_call("CA1", direction="outbound-api", status="in-progress", agent_name="Ada")
    store.save_turns("CA1", turns)
    recorder = Recorder(store, CALL, agent, lambda *_: {})
    recorder.event(OPENED, 1.0)
    if isinstance(event, do.ConfigureSession):
        recorder.command(event, 1.0)
    elif event is not None:
        recorder.event(event, 1.0)
    recorder.save_timeline()
    await store.flush()
    found = await read_stored_call(store, "CA1")
    assert found is not None and found[1].shown == shown


async def test_the_first_key_is_known_to_the_next_process_at_once(store: Store) -> None:
    recorder = Recorder(store, CALL, AGENT, lambda *_: {})
    recorder.event(OPENED, 0.0)
    recorder.event(ev.DigitPressed("1"), 1.0)
    await store.flush()
    found = await read_stored_call(store, "CA1")
    assert found is not None and found[1].shown == "key pressed"


ANSWERED = [row(0, "user", 0), row(1, "assistant", 2000)]
DETECTED = ev.CalleeDetected("machine_end_beep", "Ann, call us back.")
WENT_ON = do.ReportDecision("go on with the conversation", "the callee pressed a key")
LOST = do.EndLeg("line")


@pytest.mark.parametrize(
    ("turns", "story", "shown"),
    [
        ([], [OPENED, DETECTED], "no evidence"),
        # What came after the verdict is the machine's.
        (ANSWERED, [OPENED, DETECTED, ev.DigitPressed("1")], "no evidence"),
        (ANSWERED, [OPENED, LOST, OPENED, DETECTED], "no evidence"),
        (ANSWERED, [OPENED, DETECTED, LOST], "no evidence"),
        (ANSWERED, [OPENED, ev.VoicemailReached("Call us back.")], "no evidence"),
        # The conversation went on.
        (ANSWERED, [OPENED, DETECTED, WENT_ON], "answered turn"),
        ([], [OPENED, DETECTED, WENT_ON], "answered turn"),
        ([], [OPENED, DETECTED, WENT_ON, ev.DigitPressed("1")], "key pressed"),
        (ANSWERED, [OPENED, DETECTED, WENT_ON, LOST, OPENED], "answered turn"),
        # No leg has taken the verdict.
        (ANSWERED, [OPENED, LOST, DETECTED], "answered turn"),
        ([], [OPENED, LOST, DETECTED], "no evidence"),
        # It was no verdict against a machine.
        (ANSWERED, [OPENED, ev.CalleeDetected("unknown")], "answered turn"),
        (ANSWERED, [OPENED, DETECTED, ev.CalleeDetected("human")], "no evidence"),
    ],
)
async def test_what_a_verdict_did_is_known_to_the_next_process(
    store: Store, turns: list[TurnRow], story: list[ev.Event | do.Command], shown: str
) -> None:
    store.save_call("CA1", direction="outbound-api", status="in-progress", agent_name="Ada")
    store.save_turns("CA1", turns)
    await append(store, story)
    found = await read_stored_call(store, "CA1")
    assert found is not None and found[1].shown == shown


@pytest.mark.parametrize(
    ("recorded", "story", "verdict"),
    [
        (None, [OPENED], ("", None)),
        ("fax", [OPENED], ("fax", None)),
        ("machine_end_beep", [OPENED, DETECTED], ("machine_end_beep", "Ann, call us back.")),
        ("human", [DETECTED, ev.CalleeDetected("human")], ("machine_end_beep", DETECTED.message)),
        ("fax", [OPENED, ev.CalleeDetected("unknown", "Call us.")], ("fax", "Call us.")),
        (None, [ev.VoicemailReached("Call us back.")], ("machine_end_other", "Call us back.")),
    ],
)
async def test_a_verdict_and_its_message_are_known_to_the_next_process(
    store: Store,
    recorded: str | None,
    story: list[ev.Event | do.Command],
    verdict: tuple[str, str | None],
) -> None:
    store.save_call("CA1", status="in-progress", agent_name="Ada", answered_by=recorded)
    await append(store, story)
    found = await read_stored_call(store, "CA1")
    assert found is not None
    assert (found[1].answered_by, found[1].voicemail) == verdict
