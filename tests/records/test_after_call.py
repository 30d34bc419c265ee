"""The report of an ended call is delivered, signed and complete, whatever fails meanwhile."""

import json
import logging
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter
from standardwebhooks import Webhook as Verifier

from app.records.after_call import (
    AT_ONCE,
    GIVE_UP_S,
    LAST_RETRY_S,
    LOOK_EVERY_S,
    RETRIES_S,
    call_ended_body,
)
from app.records.record import Call, CallRow, TurnRow
from app.records.report_queue import HEAD_START_S
from app.records.store import Store
from app.wires.twilio.call import CallStatus
from tests.records.after_call_scene import (
    TRANSFER,
    TURNS,
    Owner,
    VirtualClock,
    a_call,
    after_calls,
    as_the_api_tells_it,
    becomes,
    ended,
    put_off_by,
)

# --- the report -----------------------------------------------------------------------------------


async def test_an_ended_call_is_reported_with_the_fields_of_the_api(
    store: Store, clock: VirtualClock, owner: Owner
) -> None:
    async with after_calls(store, owner.url, clock, secret="a secret") as after:
        await a_call(store)
        after.call_ended("CA1")
        report = await owner.report()
        await becomes(store, clock, "CA1", "delivered")

    assert (report["type"], report["timestamp"]) == ("call.ended", "2026-03-14T09:27:13.500000Z")
    call = report["data"]
    assert call == await as_the_api_tells_it(store) | {"recording": "CA1.wav"}
    assert (call["from"], call["to"], call["agent"]) == ("+15550100001", "+15550109999", "Mia")
    assert [(turn["role"], turn["text"], turn["cut"]) for turn in call["transcript"]] == [
        ("assistant", "Hello, how may", True),
        ("user", "Zwei Pizzen, bitte.", False),
        ("tool", '{"ok": true}', False),
    ]
    ((headers, body),) = owner.requests
    assert headers["webhook-id"] == "call_CA1"
    assert Verifier(b"a secret").verify(body, headers) == report


async def test_a_report_has_the_fields_of_the_api_and_no_path(store: Store) -> None:
    await a_call(store)
    store.save_call("CA1", transfers=[{**TRANSFER, "number": "+15550100009"}])
    await store.flush()
    call = await store.get_call("CA1")
    assert call is not None and call.recording is not None and "/" in call.recording

    body = call_ended_body(call, TURNS, datetime.now(UTC)).decode()

    schema = TypeAdapter(Call).json_schema(mode="serialization")
    fields = {name: each["properties"].keys() for name, each in schema["$defs"].items()}
    data = json.loads(body)["data"]
    assert data.keys() == schema["properties"].keys() - {"events"}
    assert all(turn.keys() == fields["TurnRow"] for turn in data["transcript"])
    assert all(each.keys() == fields["Transfer"] for each in data["transfers"])
    assert data["recording"] == "CA1.wav"
    for kept_here in ("/var/lib", call.account_sid, "+15550100009", "position"):
        assert kept_here not in body


@pytest.mark.parametrize("status", ["busy", "no-answer", "failed", "canceled"])
async def test_an_unanswered_call_is_reported_too(
    store: Store, clock: VirtualClock, owner: Owner, status: CallStatus
) -> None:
    before = datetime.now(UTC)
    store.save_call("CA1", direction="outbound-api", to_number="+15550100001", status="ringing")
    async with after_calls(store, owner.url, clock):
        await ended(store, "CA1", status=status)
        await clock.rest()  # the first look is over
        clock.pass_(LOOK_EVERY_S)
        report = await owner.report()
        await becomes(store, clock, "CA1", "delivered")

    call = report["data"]
    assert (call["status"], call["direction"]) == (status, "outbound-api")
    assert (call["transcript"], call["started_at"], call["ended_at"]) == ([], None, None)
    assert before <= datetime.fromisoformat(report["timestamp"]) <= datetime.now(UTC)


def test_a_lone_surrogate_does_not_spoil_a_report() -> None:
    now = datetime(2026, 3, 14, tzinfo=UTC)
    empty: dict[str, Any] = {f.name: None for f in fields(CallRow)}
    call = CallRow(**{**empty, "call_sid": "CA1", "created_at": now, "transfers": []})

    body = call_ended_body(call, [TurnRow(0, "tool", "a", extra={"arguments": "half \ud83d"})], now)

    told = json.loads(body.decode())
    assert told["data"]["transcript"][0]["extra"] == {"arguments": "half ?"}
    assert told["timestamp"] == "2026-03-14T00:00:00Z"


async def test_a_call_that_is_still_recorded_is_not_reported_yet(
    store: Store, clock: VirtualClock, owner: Owner
) -> None:
    live = {"CA1"}
    async with after_calls(store, owner.url, clock, is_live=live.__contains__) as after:
        await ended(store, "CA1", "CA2")
        await clock.rest()  # the first look is over
        clock.pass_(LOOK_EVERY_S)
        assert (await owner.report())["data"]["call_sid"] == "CA2"
        await becomes(store, clock, "CA2", "delivered")
        assert await store.report_queue.overdue(clock.now(), 9) == ["CA1"]

        store.save_turns("CA1", [TurnRow(0, "user", "the last word")])
        live.clear()
        after.call_ended("CA1")
        last = await owner.report()

    assert [turn["text"] for turn in last["data"]["transcript"]] == ["the last word"]
    assert owner.ids == ["call_CA2", "call_CA1"]


async def test_a_call_that_another_process_continues_is_reported_when_it_has_ended(
    store: Store, clock: VirtualClock, owner: Owner
) -> None:
    async with after_calls(store, owner.url, clock) as after:
        store.save_call("CA1", status="in-progress")
        await clock.rest()
        after.call_ended("CA1")  # the agent's part of it
        await clock.rest()
        assert await store.report_queue.state("CA1") is None

        await ended(store, "CA1")
        clock.pass_(LOOK_EVERY_S)
        assert (await owner.report())["data"]["status"] == "completed"


async def test_a_call_that_ends_while_reports_are_looked_for_is_reported_with_its_last_words(
    store: Store, clock: VirtualClock, owner: Owner
) -> None:
    def ends_now(call_sid: str) -> bool:
        store.save_turns(call_sid, [TurnRow(0, "user", "the last word")])
        return False

    async with after_calls(store, owner.url, clock, is_live=ends_now):
        await ended(store, "CA1")
        await clock.rest()  # the first look is over
        clock.pass_(LOOK_EVERY_S)
        report = await owner.report()

    assert [turn["text"] for turn in report["data"]["transcript"]] == ["the last word"]


async def test_many_calls_that_end_at_once_are_reported_a_few_at_a_time(
    store: Store, clock: VirtualClock, owner: Owner
) -> None:
    sids = [f"CA{number}" for number in range(3 * AT_ONCE)]
    owner.held.clear()
    await ended(store, *sids[AT_ONCE - 1 :])
    clock.pass_(HEAD_START_S + 5)
    async with after_calls(store, owner.url, clock) as after:
        await ended(store, *sids[: AT_ONCE - 1])
        for call_sid in sids[: AT_ONCE - 1]:
            after.call_ended(call_sid)
        for _ in range(AT_ONCE):
            await owner.report()
        assert owner.at_once == AT_ONCE
        owner.held.set()
        for call_sid in sids:
            await becomes(store, clock, call_sid, "delivered")

    assert owner.most_at_once == AT_ONCE
    assert sorted(owner.ids) == sorted(f"call_{call_sid}" for call_sid in sids)


# --- a receiver that fails ------------------------------------------------------------------------


async def test_an_owner_who_is_down_gets_the_same_report_again(
    store: Store, clock: VirtualClock, owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    planned = [*RETRIES_S, LAST_RETRY_S, LAST_RETRY_S]
    owner.statuses = [*[503] * len(planned), 200]
    waits = []
    async with after_calls(store, owner.url, clock) as after:
        await a_call(store)
        after.call_ended("CA1")
        for _ in planned:
            waits.append(await put_off_by(store, owner, clock))
            clock.pass_(waits[-1])
        await owner.report()
        await becomes(store, clock, "CA1", "delivered")

    assert waits == [pytest.approx(wait_s, rel=0.11) for wait_s in planned]
    assert len({body for _, body in owner.requests}) == 1
    assert set(owner.ids) == {"call_CA1"}
    times = [int(headers["webhook-timestamp"]) for headers, _ in owner.requests]
    assert times == sorted(set(times))
    vain = [r for r in caplog.records if r.message == "call report not taken"]
    assert [r.__dict__["status"] for r in vain] == [503] * len(planned)


async def test_a_report_that_is_not_accepted_for_a_day_is_given_up(
    store: Store, clock: VirtualClock, owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    owner.statuses = [500]
    began = clock.now()
    async with after_calls(store, owner.url, clock) as after:
        await ended(store, "CA1")
        after.call_ended("CA1")
        while wait_s := await put_off_by(store, owner, clock):
            clock.pass_(wait_s)
        assert await store.report_queue.state("CA1") == "failed"

    assert 16 <= len(owner.requests) <= 20
    assert GIVE_UP_S - 1.2 * LAST_RETRY_S < (clock.now() - began).total_seconds() <= GIVE_UP_S
    (given_up,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert given_up.message == "call report given up"
    assert given_up.__dict__["call_sid"] == "CA1"
    assert await store.report_queue.next_due_at(began) is None


async def test_an_owner_who_answers_410_gets_no_retry(
    store: Store, clock: VirtualClock, owner: Owner
) -> None:
    owner.statuses = [410]
    async with after_calls(store, owner.url, clock) as after:
        await ended(store, "CA1")
        after.call_ended("CA1")
        await becomes(store, clock, "CA1", "failed")

    assert len(owner.requests) == 1


@pytest.mark.parametrize(
    ("asked", "wait_s"), [("77", 77), ("999999", LAST_RETRY_S), ("0", RETRIES_S[0])]
)
async def test_retry_after_is_obeyed_within_bounds(
    store: Store, clock: VirtualClock, owner: Owner, asked: str, wait_s: float
) -> None:
    owner.statuses, owner.headers = [429], {"Retry-After": asked}
    async with after_calls(store, owner.url, clock) as after:
        await ended(store, "CA1")
        after.call_ended("CA1")
        assert await put_off_by(store, owner, clock) == pytest.approx(wait_s, rel=0.11)


async def test_the_log_has_neither_the_url_nor_the_transcript(
    store: Store, clock: VirtualClock, owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "app")
    owner.statuses = [500, 204]
    url = owner.url.replace("://", "://me:hidden@")
    async with after_calls(store, url, clock) as after:
        await a_call(store)
        after.call_ended("CA1")
        clock.pass_(await put_off_by(store, owner, clock))
        await becomes(store, clock, "CA1", "delivered")

    told = str([vars(record) for record in caplog.records if record.name.startswith("app")])
    assert "call report not taken" in told and "call reported" in told
    for secret in ("hidden", "127.0.0.1", "Pizzen", "5550100001"):
        assert secret not in told
