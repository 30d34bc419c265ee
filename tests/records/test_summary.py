"""The summary of a call: written in a session of its own, as text, and given up in time."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from app.call.usage import Usage
from app.records.record import CallRow, TurnRow
from app.records.report.call_report import read_call
from app.records.report.terminal import facts
from app.records.store import Store
from app.records.summary import LONGEST_TRANSCRIPT_BYTES, Summariser, as_text
from app.simulator.realtime import Fault, Options, RealtimeServer, Reply, Script, Session
from app.wires.realtime.endpoint import Endpoint
from tests.ports import free_port
from tests.records.report.recorded_call import pizza_call
from tests.service.wire_types import check_client_event

KEY = "the model's key"
PIZZA = "They want two pizzas. The order is placed, the time is open."
TURNS = [
    TurnRow(0, "assistant", "Hello, how may", cut=True),
    TurnRow(1, "user", "Two pizzas,\nplease."),
    TurnRow(2, "tool", '{"ok": true}', extra={"name": "order", "arguments": "{}"}),
    TurnRow(3, "user", ""),
    TurnRow(4, "assistant", "", cut=True),
    TurnRow(5, "assistant", "They are on their way."),
]


def call_row(**changes: Any) -> CallRow:
    began = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
    return CallRow(
        **{
            "call_sid": "CA1", "account_sid": "AC1", "direction": "inbound",
            "from_number": "+15550100001", "to_number": "+15550109999", "agent_name": "Mia",
            "status": "completed", "answered_by": None, "created_at": began, "started_at": began,
            "ended_at": began, "duration_s": 20.0, "ended_by": "caller", "usage": {}, "timings": {},
            "transfers": [], "cost": {}, "recording": None,
            **changes,
        }
    )  # fmt: skip


@asynccontextmanager
async def model(*replies: Reply | str, fault: Fault | None = None) -> AsyncIterator[RealtimeServer]:
    server = RealtimeServer(Script(*replies), options=Options(api_key=KEY, speed=float("inf")))
    server.fault = fault or Fault()
    async with server:
        yield server


def summariser(server: RealtimeServer, name: str = "gpt-realtime-2", **options: Any) -> Summariser:
    url = server.base_url.replace("http:", "ws:") + "/realtime"
    return Summariser(Endpoint(url, name, KEY), "de", **{"pause_s": 0.0, **options})


async def test_a_summary_is_written_in_a_text_session_of_its_own() -> None:
    async with model(PIZZA) as server:
        found = await summariser(server)(call_row(), TURNS)
        session = await server.session()
        await session.closed.wait()

    assert found is not None
    assert found.text == PIZZA
    assert found.usage.output_text > 0 and found.usage.input_text > 0
    assert found.usage == Usage(
        input_text=found.usage.input_text, output_text=found.usage.output_text
    )
    assert len(server.handshakes) == 1
    assert session.model == "gpt-realtime-2"
    assert session.config["output_modalities"] == ["text"]
    assert session.config["audio"]["input"]["turn_detection"] is None
    assert (session.config["tools"], session.config["tool_choice"]) == ([], "none")
    assert '"de"' in session.config["instructions"]
    assert not session.heard and not session.errors_sent


async def test_the_model_is_given_the_whole_call_as_one_message() -> None:
    async with model(PIZZA) as server:
        transfers = [{"destination": "desk", "outcome": "no-answer", "number": "+15550100002"}]
        await summariser(server)(call_row(transfers=transfers), TURNS)
        session = await server.session()

    question, answer = session.items
    assert (question.role, answer.role) == ("user", "assistant")
    assert question.text == (
        "1. agent: Hello, how may [interrupted]\n"
        "2. caller: Two pizzas, please.\n"
        '3. tool order: {"ok": true}\n'
        "4. caller: [not understood]\n"
        "5. agent: They are on their way.\n"
        "Handed to a human: destination desk, outcome no-answer"
    )


def test_a_cough_is_no_turn_of_the_call() -> None:
    cough = TurnRow(1, "user", "Mm-hm.", extra={"interruption": "false"})
    turns = [TurnRow(0, "assistant", "We have three."), cough, TurnRow(2, "user", "One, please.")]
    assert as_text(call_row(), turns) == "1. agent: We have three.\n2. caller: One, please."


async def test_every_event_of_a_summary_is_one_that_the_openai_package_knows() -> None:
    async with model(PIZZA) as server:
        await summariser(server)(call_row(), TURNS)
        session = await server.session()

    assert [event["type"] for event in session.client_events] == [
        "session.update",
        "conversation.item.create",
        "response.create",
    ]
    for event in session.client_events:
        check_client_event(event)


@pytest.mark.parametrize(
    "turns",
    [
        [],
        [TurnRow(0, "assistant", "Hello?")],
        [TurnRow(0, "assistant", ""), TurnRow(1, "user", " ")],
    ],
)
async def test_a_call_without_speech_of_the_caller_has_no_summary(turns: list[TurnRow]) -> None:
    async with model() as server:
        assert await summariser(server)(call_row(), turns) is None

    assert not server.handshakes


# --- a model that fails ---------------------------------------------------------------------------


def drops(session: Session, _event: Mapping[str, Any]) -> bool:
    session.drop()
    return True


def answers(event: dict[str, Any] | str) -> Callable[[Session, Mapping[str, Any]], bool]:
    """The model says this in place of its answer."""

    def intercept(session: Session, _event: Mapping[str, Any]) -> bool:
        if isinstance(event, str):
            session.send_raw(event)
        else:
            session.send_error(**event)
        return True

    return intercept


DONE = '{"type": "response.done", "response": {"status": %s}}'
FAULTS = [
    Fault(refuse_status=500),
    Fault(on={"session.update": drops}),
    Fault(on={"response.create": drops}),
    Fault(on={"session.update": answers({"code": "invalid_value", "message": "No."})}),
    Fault(on={"response.create": answers("no json")}),
    Fault(on={"response.create": answers('{"type": "response.done"}')}),
    Fault(on={"response.create": answers(DONE % 5)}),
    Fault(on={"response.create": answers(DONE % '"completed"')}),
]


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_summary_that_fails_once_is_retried(
    fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    async with model(PIZZA) as server:
        server.faults.append(fault)
        found = await summariser(server)(call_row(), TURNS)
        await asyncio.gather(*(session.closed.wait() for session in server.sessions))

    assert found is not None and found.text == PIZZA
    assert len(server.handshakes) == 2
    assert not caplog.records


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_summary_that_fails_twice_is_given_up_and_logged_once(
    fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    async with model(PIZZA, fault=fault) as server:
        assert await summariser(server)(call_row(), TURNS) is None
        await asyncio.gather(*(session.closed.wait() for session in server.sessions))

    assert len(server.handshakes) == 2
    (told,) = caplog.records
    assert (told.message, told.levelno) == ("call not summed up", logging.WARNING)
    assert told.__dict__["call_sid"] == "CA1"
    assert "pizza" not in str(vars(told))


@pytest.mark.parametrize(
    "reply",
    [
        Reply("They want", status="incomplete"),
        Reply("They want", status="failed", error_code="rate_limit_exceeded"),
        Reply(" "),
    ],
)
async def test_an_incomplete_summary_is_none(
    reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    async with model(reply, reply) as server:
        assert await summariser(server)(call_row(), TURNS) is None

    (told,) = caplog.records
    assert told.message == "call not summed up"


async def test_a_wrong_key_is_not_retried(caplog: pytest.LogCaptureFixture) -> None:
    async with model(fault=Fault(refuse_status=401)) as server:
        assert await summariser(server)(call_row(), TURNS) is None

    assert len(server.handshakes) == 1
    (told,) = caplog.records
    assert "check OPENAI_API_KEY" in told.__dict__["error"]


@pytest.mark.parametrize(
    "fault", [Fault(mute=True), Fault(on={"response.create": lambda *_: True})]
)
async def test_a_model_that_never_answers_is_given_up_at_the_deadline(
    fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    async with model(fault=fault) as server:
        assert await summariser(server, deadline_s=0.05)(call_row(), TURNS) is None
        await asyncio.gather(*(session.closed.wait() for session in server.sessions))

    (told,) = caplog.records
    assert "within 0.05 s" in told.__dict__["error"]


async def test_an_unreachable_model_costs_only_the_summary(
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = f"ws://127.0.0.1:{free_port()}/v1/realtime"

    endpoint = Endpoint(url, "gpt-realtime", KEY)
    assert await Summariser(endpoint, "en", pause_s=0)(call_row(), TURNS) is None

    (told,) = caplog.records
    assert "cannot be reached" in told.__dict__["error"]


async def test_a_cancelled_summary_closes_its_session() -> None:
    async with model(fault=Fault(on={"response.create": lambda *_: True})) as server:
        asking = asyncio.create_task(summariser(server)(call_row(), TURNS))
        session = await server.session()
        await session.received("response.create")
        asking.cancel()
        await session.closed.wait()
        await asyncio.wait([asking])
        assert asking.cancelled()


# --- what the model is given ----------------------------------------------------------------------


def test_a_very_long_call_keeps_its_beginning_and_its_end() -> None:
    turns = [
        TurnRow(n, "user" if n % 2 else "assistant", f"turn {n}, " + "x" * 200) for n in range(900)
    ]

    record = as_text(call_row(), turns)

    lines = record.splitlines()
    assert len(record.encode()) < LONGEST_TRANSCRIPT_BYTES + 100
    assert lines[0].startswith("1. agent: turn 0,") and lines[-1].startswith(
        "900. caller: turn 899,"
    )
    (gap,) = [n for n, line in enumerate(lines) if line.startswith("[")]
    left_out = 900 - (len(lines) - 1)
    assert lines[gap] == f"[{left_out} turns are left out here]"
    assert lines[gap + 1].startswith(f"{gap + 1 + left_out}. ")


def test_a_long_tool_output_is_shortened() -> None:
    turns = [TurnRow(0, "tool", "word " * 50_000), TurnRow(1, "user", "Thanks \ud83d")]

    record = as_text(call_row(), turns)

    assert len(record) < 2_100
    assert record.splitlines()[0].endswith("[…]")
    assert record.splitlines()[1].startswith("2. caller: Thanks")


async def test_a_summary_is_shown_with_the_facts_of_its_call(tmp_path: Path) -> None:
    story = pizza_call()
    store = await Store.open(f"sqlite:///{tmp_path}/calls.db")
    await story.save(store)
    console = Console(file=StringIO(), width=160)
    for summary in (None, PIZZA):
        store.save_call(story.sid, summary=summary)
        await store.flush()
        report = await read_call(store, story.sid)
        assert report is not None
        console.print(facts(report))
    await store.aclose()

    assert isinstance(console.file, StringIO)
    lines = [line.split("  ", 1) for line in console.file.getvalue().splitlines()]
    assert [line[1].strip() for line in lines if line[0] == "summary"] == [PIZZA]
