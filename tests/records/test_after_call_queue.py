"""Which reports are due: stored with the call's end, claimed by one process at a time."""

import asyncio
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.records.report_queue import HEAD_START_S
from app.records.store import Store, StoreUnavailable
from app.wires.twilio.call import CallStatus

LATER = timedelta(minutes=5)


def when_due() -> datetime:
    """A moment in which the reports of calls that end now are due."""
    return datetime.now(UTC) + timedelta(seconds=HEAD_START_S + 1)


async def over(store: Store, *call_sids: str, status: CallStatus = "completed") -> None:
    for call_sid in call_sids:
        store.save_call(call_sid, status=status)
    await store.flush()


async def due(store: Store) -> list[str]:
    return await store.report_queue.overdue(when_due(), 10)


@pytest.mark.parametrize("status", ["completed", "busy", "no-answer", "failed", "canceled"])
async def test_every_terminal_status_makes_a_report_due(store: Store, status: CallStatus) -> None:
    store.save_call("CA1", status="in-progress")
    await store.flush()
    assert await due(store) == []

    await over(store, "CA1", status=status)

    assert await store.report_queue.state("CA1") == "due"
    assert await due(store) == ["CA1"]


async def test_the_process_that_had_the_call_goes_first(store: Store) -> None:
    before = datetime.now(UTC)
    await over(store, "CA1")
    now = datetime.now(UTC)
    queue = store.report_queue

    assert await queue.overdue(now, 10) == []
    due_at = await queue.next_due_at(now)
    assert due_at is not None
    assert before <= due_at - timedelta(seconds=HEAD_START_S) <= now
    assert await queue.claim("CA1", now, now + LATER) is None
    mine = await queue.claim("CA1", now, now + LATER, ahead=True)
    assert mine is not None
    assert (mine.call_sid, mine.tries, mine.ready) == ("CA1", 1, False)
    assert before <= mine.since <= now


async def test_without_reports_none_becomes_due(store: Store) -> None:
    store.reports = False
    await over(store, "CA1")
    store.reports = True
    await over(store, "CA1")  # Twilio says so again

    assert await store.report_queue.state("CA1") is None
    assert await due(store) == []


@pytest.mark.parametrize("flushed", [False, True])
async def test_a_repeated_terminal_status_is_reported_once(store: Store, flushed: bool) -> None:
    await over(store, "CA1")
    now = when_due()
    report = await store.report_queue.claim("CA1", now, now + LATER)
    assert report is not None
    await store.report_queue.settle(report, "delivered")

    told: list[CallStatus] = ["completed", "in-progress", "failed", "completed"]
    for status in told:
        store.save_call("CA1", status=status, ended_by="caller")
        if flushed:
            await store.flush()
    await store.flush()

    assert await store.report_queue.state("CA1") == "delivered"
    assert await store.report_queue.overdue(now + 9 * LATER, 10) == []
    call = await store.get_call("CA1")
    assert call is not None
    assert (call.status, call.ended_by) == ("completed", "caller")


async def test_a_repeated_terminal_status_does_not_move_a_retry_forward(store: Store) -> None:
    await over(store, "CA1")
    now = when_due()
    report = await store.report_queue.claim("CA1", now, now + LATER)
    assert report is not None
    await store.report_queue.put_off(report, now + LATER)
    await over(store, "CA1")

    assert await store.report_queue.next_due_at(now) == now + LATER
    again = await store.report_queue.claim("CA1", now + LATER, now + 2 * LATER)
    assert again is not None
    assert (again.tries, again.since) == (2, report.since)


async def test_a_report_is_claimed_once_until_the_claim_expires(store: Store, file: Path) -> None:
    other = await Store.open(f"sqlite:///{file}", busy_timeout_ms=15_000)
    await over(store, "CA1")
    now = when_due()

    claims = await asyncio.gather(
        *(each.report_queue.claim("CA1", now, now + LATER) for each in (store, other, other))
    )

    assert len([claim for claim in claims if claim is not None]) == 1
    assert await other.report_queue.claim("CA1", now, now + LATER, ahead=True) is None
    assert await store.report_queue.next_due_at(now) == now + LATER
    late = await other.report_queue.claim("CA1", now + LATER, now + 2 * LATER)
    assert late is not None and late.tries == 2
    await other.aclose()


async def test_an_expired_claim_changes_nothing_of_the_next_one(store: Store) -> None:
    await over(store, "CA1")
    now = when_due()
    queue = store.report_queue
    slow = await queue.claim("CA1", now, now + LATER)
    assert slow is not None
    assert await queue.claim("CA1", now + LATER, now + 2 * LATER) is not None

    await queue.put_off(slow, now)
    await queue.give_up(slow)
    assert await queue.state("CA1") == "due"
    assert await queue.next_due_at(now) == now + 2 * LATER
    await queue.settle(slow, "delivered")  # but what is delivered is delivered
    assert await queue.next_due_at(now) is None


async def test_a_summary_is_stored_and_not_written_again(store: Store) -> None:
    await over(store, "CA1")
    now = when_due()
    report = await store.report_queue.claim("CA1", now, now + LATER)
    assert report is not None
    await store.report_queue.keep_summary(
        report, summary="They want a \0pizza.", usage={"output_text": 7}
    )

    call = await store.get_call("CA1")
    assert call is not None
    assert (call.summary, call.usage) == ("They want a ?pizza.", {"output_text": 7})
    again = await store.report_queue.claim("CA1", now + LATER, now + 2 * LATER)
    assert again is not None and again.ready


async def test_the_oldest_due_report_comes_first_and_the_limit_holds(store: Store) -> None:
    for number in (3, 1, 2):
        await over(store, f"CA{number}")

    assert await store.report_queue.overdue(when_due(), 2) == ["CA3", "CA1"]


async def test_looking_for_due_reports_reads_no_other_calls(store: Store, file: Path) -> None:
    with closing(sqlite3.connect(file)) as reader:
        plan = reader.execute(
            "EXPLAIN QUERY PLAN SELECT call_sid FROM calls "
            "WHERE report_due_at <= ? ORDER BY report_due_at LIMIT 9",
            ("2026",),
        ).fetchall()

    assert [step[3] for step in plan] == [
        "SEARCH calls USING INDEX ix_calls_report_due_at (report_due_at<?)"
    ]


async def test_a_database_that_is_away_says_so(store: Store, file: Path) -> None:
    await over(store, "CA1")
    os.unlink(file)
    os.mkdir(file)

    now = when_due()
    with pytest.raises(StoreUnavailable, match="DATABASE_URL"):
        await store.report_queue.overdue(now, 10)
    with pytest.raises(StoreUnavailable):
        await store.report_queue.next_due_at(now)
    with pytest.raises(StoreUnavailable):
        await store.report_queue.claim("CA1", now, now + LATER)
