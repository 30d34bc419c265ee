"""Due reports survive restarts and kills, and the summary is written first."""

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.call.usage import Usage
from app.records.after_call import AT_ONCE, LEASE_S, LOOK_EVERY_S, call_ended_body
from app.records.report_queue import HEAD_START_S
from app.records.store import CallRow, Store, TurnRow
from app.records.summary import Summary
from tests.records.after_call_scene import (
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

# --- what comes in between ------------------------------------------------------------------------


async def test_a_report_that_was_due_before_a_restart_is_delivered_after_it(
    file: Path, clock: VirtualClock, owner: Owner
) -> None:
    before = await Store.open(f"sqlite:///{file}")
    before.reports = True
    await a_call(before)
    await before.aclose()

    clock.pass_(HEAD_START_S + 5)
    store = await Store.open(f"sqlite:///{file}")
    async with after_calls(store, owner.url, clock):
        assert (await owner.report())["data"]["call_sid"] == "CA1"
        await becomes(store, clock, "CA1", "delivered")
    async with after_calls(store, owner.url, clock):  # and after the next one no more
        await clock.rest()
    await store.aclose()

    assert len(owner.requests) == 1


async def test_a_report_is_delivered_after_the_process_that_claimed_it_was_killed(
    store: Store, clock: VirtualClock, owner: Owner
) -> None:
    await a_call(store)
    now = clock.now()
    until = now + timedelta(seconds=LEASE_S)
    assert await store.report_queue.claim("CA1", now, until, ahead=True)  # the last that it did

    clock.pass_(LEASE_S - 1)
    async with after_calls(store, owner.url, clock):
        assert await clock.rest() == pytest.approx(1)
        assert not owner.requests
        clock.pass_(1)
        await owner.report()
        await becomes(store, clock, "CA1", "delivered")

    assert owner.ids == ["call_CA1"]


async def test_a_stop_during_a_delivery_leaves_the_report_to_the_next_start(
    store: Store, clock: VirtualClock, owner: Owner
) -> None:
    owner.held.clear()
    async with after_calls(store, owner.url, clock) as after:
        await ended(store, "CA1")
        after.call_ended("CA1")
        await owner.report()
    assert await store.report_queue.overdue(clock.now(), 9) == ["CA1"]

    owner.held.set()
    async with after_calls(store, owner.url, clock):
        await owner.report()
        await becomes(store, clock, "CA1", "delivered")

    assert owner.ids == ["call_CA1"] * 2


async def test_the_last_calls_before_a_stop_are_still_reported(
    store: Store, clock: VirtualClock, owner: Owner
) -> None:
    sids = [f"CA{number}" for number in range(AT_ONCE + 2)]
    async with after_calls(store, owner.url, clock) as after:
        for call_sid in sids:
            store.save_call(call_sid, status="completed")
            after.call_ended(call_sid)
        await after.aclose(within_s=15)

    assert sorted(owner.ids) == [f"call_{call_sid}" for call_sid in sids]
    assert {await store.report_queue.state(call_sid) for call_sid in sids} == {"delivered"}


async def test_two_replicas_on_one_database_report_a_call_once(
    file: Path, store: Store, clock: VirtualClock, owner: Owner
) -> None:
    other = await Store.open(f"sqlite:///{file}", busy_timeout_ms=15_000)
    await ended(store, "CA1", "CA2")
    clock.pass_(HEAD_START_S + 5)
    async with after_calls(store, owner.url, clock), after_calls(other, owner.url, clock):
        await becomes(store, clock, "CA1", "delivered")
        await becomes(store, clock, "CA2", "delivered")
    await other.aclose()

    assert sorted(owner.ids) == ["call_CA1", "call_CA2"]


@pytest.mark.parametrize("since", ["soon", "0001-01-01 00:00:00+05:00"])
async def test_a_report_that_cannot_be_read_holds_up_no_other(
    file: Path, store: Store, clock: VirtualClock, owner: Owner, since: str
) -> None:
    await ended(store, "CA1", "CA2")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        long_ago = "report_due_at = '2001-01-01 00:00:00.000000'"
        change = f"UPDATE calls SET report_since = ?, {long_ago} WHERE call_sid = 'CA1'"
        other.execute(change, (since,))
    clock.pass_(HEAD_START_S + 5)
    async with after_calls(store, owner.url, clock):
        await becomes(store, clock, "CA2", "delivered")
    assert owner.ids == ["call_CA2"]


async def test_a_database_that_was_away_is_asked_again(
    file: Path, clock: VirtualClock, owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    store = await Store.open(f"sqlite:///{file}", busy_timeout_ms=1)
    store.reports = True
    await ended(store, "CA1")
    clock.pass_(HEAD_START_S + 5)
    with closing(sqlite3.connect(file, isolation_level=None)) as locker:
        locker.execute("BEGIN IMMEDIATE")
        async with after_calls(store, owner.url, clock):
            for _ in range(3):
                clock.pass_(await clock.rest())
            await clock.rest()
            assert not owner.requests
            locker.execute("COMMIT")
            clock.pass_(LOOK_EVERY_S)
            await owner.report()
            await becomes(store, clock, "CA1", "delivered")
    await store.aclose()

    assert [r.message for r in caplog.records if r.levelno == logging.ERROR] == [
        "call reports wait"
    ]


async def test_a_report_that_cannot_be_built_blocks_no_other(
    store: Store,
    clock: VirtualClock,
    owner: Owner,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stumbles(call: CallRow, turns: Sequence[TurnRow], since: datetime) -> bytes:
        if call.call_sid == "CA1":
            raise RuntimeError("a bug")
        return call_ended_body(call, turns, since)

    monkeypatch.setattr("app.records.after_call.call_ended_body", stumbles)
    async with after_calls(store, owner.url, clock) as after:
        await ended(store, "CA1", "CA2")
        after.call_ended("CA1")
        after.call_ended("CA2")
        wait_s = await put_off_by(store, owner, clock)
        assert owner.ids == ["call_CA2"]
        monkeypatch.undo()
        clock.pass_(wait_s)
        await becomes(store, clock, "CA1", "delivered")

    assert [r.message for r in caplog.records if r.exc_info] == ["call report failed"]


# --- with a summary -------------------------------------------------------------------------------


class Writer:
    """Sums calls up. `asked`: which ones, and the words of their turns."""

    def __init__(self, summary: Summary | Exception | None) -> None:
        self.asked: list[tuple[str, list[str]]] = []
        self._summary = summary

    async def __call__(self, call: CallRow, turns: Sequence[TurnRow]) -> Summary | None:
        self.asked.append((call.call_sid, [turn.text for turn in turns]))
        if isinstance(self._summary, Exception):
            raise self._summary
        return self._summary


TWO_PIZZAS = Summary("They want two pizzas.", Usage(input_text=100, output_text=9))


def cost(
    usage: Usage, seconds: float, direction: str, transfers: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    return {"total": usage.output_text / 1000, "of": [seconds, direction, len(transfers)]}


@pytest.mark.parametrize("reported", [True, False])
async def test_a_summary_is_kept_counted_and_reported(
    store: Store, clock: VirtualClock, owner: Owner, reported: bool
) -> None:
    writer = Writer(TWO_PIZZAS)
    url = owner.url if reported else None
    async with after_calls(store, url, clock, summarise=writer, cost=cost) as after:
        await a_call(store)
        after.call_ended("CA1")
        await becomes(store, clock, "CA1", "delivered" if reported else "kept")

    call = await store.get_call("CA1")
    assert call is not None
    assert call.summary == "They want two pizzas."
    assert call.usage == asdict(Usage(input_text=105, output_text=9, output_audio=70))
    assert call.cost == {"total": 0.009, "of": [20.0, "inbound", 1]}
    assert writer.asked == [("CA1", [turn.text for turn in TURNS])]
    if reported:
        told = (await owner.report())["data"]
        assert told == await as_the_api_tells_it(store) | {"recording": "CA1.wav"}
    else:
        assert not owner.requests


@pytest.mark.parametrize("failing", [None, RuntimeError("a bug")])
async def test_a_report_is_delivered_though_its_summary_fails(
    store: Store, clock: VirtualClock, owner: Owner, failing: Exception | None
) -> None:
    writer = Writer(failing)
    owner.statuses = [500, 204]
    async with after_calls(store, owner.url, clock, summarise=writer, cost=cost) as after:
        await a_call(store)
        after.call_ended("CA1")
        clock.pass_(await put_off_by(store, owner, clock))
        await becomes(store, clock, "CA1", "delivered")

    call = await store.get_call("CA1")
    assert call is not None
    assert (call.summary, call.cost) == (None, {"total": 0.01})
    assert len(writer.asked) == 1  # though the report was sent twice
    assert len(owner.requests) == 2


async def test_a_process_killed_before_the_summary_leaves_it_to_the_next_one(
    store: Store, clock: VirtualClock, owner: Owner
) -> None:
    await a_call(store)
    now = clock.now()
    until = now + timedelta(seconds=LEASE_S)
    assert await store.report_queue.claim("CA1", now, until, ahead=True)

    clock.pass_(LEASE_S)
    writer = Writer(TWO_PIZZAS)
    async with after_calls(store, owner.url, clock, summarise=writer):
        told = await owner.report()

    assert told["data"]["summary"] == "They want two pizzas."
    assert len(writer.asked) == 1


async def test_a_process_killed_after_the_summary_leaves_only_the_report(
    store: Store, clock: VirtualClock, owner: Owner
) -> None:
    await a_call(store)
    now = clock.now()
    report = await store.report_queue.claim(
        "CA1", now, now + timedelta(seconds=LEASE_S), ahead=True
    )
    assert report is not None
    await store.report_queue.keep_summary(report, summary="They want two pizzas.")

    clock.pass_(LEASE_S)
    writer = Writer(TWO_PIZZAS)
    async with after_calls(store, owner.url, clock, summarise=writer):
        told = await owner.report()
        await becomes(store, clock, "CA1", "delivered")

    assert told["data"]["summary"] == "They want two pizzas."
    assert not writer.asked


async def test_no_cost_is_made_up_for_a_call_whose_end_was_not_recorded(
    store: Store, clock: VirtualClock
) -> None:
    store.save_turns("CA1", TURNS)
    async with after_calls(store, None, clock, summarise=Writer(TWO_PIZZAS), cost=cost) as after:
        await ended(store, "CA1")  # by Twilio's word, for its process was killed
        after.call_ended("CA1")
        await becomes(store, clock, "CA1", "kept")

    call = await store.get_call("CA1")
    assert call is not None
    assert (call.summary, call.cost) == ("They want two pizzas.", {})
