"""Digests in the database: searched, read page by page, deleted with their calls."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.records.digests import table
from app.records.digests.digest import Digest
from app.records.digests.search import parse_search
from app.records.digests.table import dated
from app.records.store import Store

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(f"sqlite:///{tmp_path / 'calls.db'}")
    yield store
    await store.aclose()


def digest(words: str = "", *responses_ms: int) -> Digest:
    return Digest(
        responses_ms=list(responses_ms), interruptions=1, false_interruptions=2,
        transfers=["busy"], cost_usd=0.5, words=f" {words} ",
    )  # fmt: skip


async def keep(store: Store, call_sid: str, words: str, *, hours: int = 0) -> None:
    store.save_call(call_sid, status="completed")
    await store.flush()
    await store.digests.save(call_sid, NOON + timedelta(hours=hours), digest(words, 400, 600))


async def found(store: Store, typed: str, **more: str) -> list[str]:
    return await store.digests.find(parse_search(typed, **more), 10)  # type: ignore[arg-type]


async def test_every_part_has_to_be_in_a_call(store: Store) -> None:
    await keep(store, "CA1", "15551230001 pizza large status=completed")
    await keep(store, "CA2", "15551230002 pizza small status=completed", hours=1)
    assert await found(store, "pizza") == ["CA2", "CA1"]
    assert await found(store, "Pizza LARGE") == ["CA1"]
    assert await found(store, "+1 555 123 0002") == ["CA2"]
    assert await found(store, "pasta") == []


@pytest.mark.parametrize("typed", ["%", "_", "' OR 1=1 --", "\\", "\x00", "\ud800"])
async def test_no_character_is_special(store: Store, typed: str) -> None:
    await keep(store, "CA1", "pizza")
    assert await found(store, f"{typed} pasta") == []


async def test_an_outcome_is_a_whole_one(store: Store) -> None:
    await keep(store, "CA1", "status=completed transfer=busy-line busy")
    await keep(store, "CA2", "status=busy", hours=1)
    assert await found(store, "", outcome="busy") == ["CA2"]


async def test_a_day_is_one_of_the_time_zone(store: Store) -> None:
    await keep(store, "CA1", "a")
    await keep(store, "CA2", "a", hours=24)
    assert await found(store, "2026-11-30") == ["CA1"]


async def test_what_is_found_is_read_page_by_page(store: Store) -> None:
    for number in range(5):
        await keep(store, f"CA{number}", "a", hours=number // 2)  # two came in at the same time
    search = parse_search("a")
    first = await store.digests.find(search, 2)
    second = await store.digests.find(search, 2, first[-1])
    third = await store.digests.find(search, 2, second[-1])
    assert (first, second, third) == (["CA4", "CA3"], ["CA2", "CA1"], ["CA0"])
    with pytest.raises(LookupError):
        await store.find_calls(search, 2, "CA9")
    assert [call.call_sid for call in await store.find_calls(search, 2)] == first


async def test_a_digest_is_replaced_and_read_back(store: Store) -> None:
    await keep(store, "CA1", "a")
    await store.digests.save("CA1", NOON, digest("b", 100, 200, 900))
    assert await found(store, "a") == [] and await found(store, "b") == ["CA1"]
    read = (await store.digests.of(["CA1", "CA9"]))["CA1"]
    assert read.response_ms == 200 and read.transfers == ["busy"] and read.words == ""
    ((at, same),) = dated(await store.digests.since(NOON))
    assert at == NOON and same == read
    assert await store.digests.since(NOON + timedelta(seconds=1)) == []


async def test_ended_calls_without_a_digest_are_missing(store: Store) -> None:
    await keep(store, "CA1", "a")
    store.save_call("CA2", status="busy")
    store.save_call("CA3", status="in-progress")
    await store.flush()
    assert await store.digests.missing(10) == ["CA2"]


async def test_a_deleted_call_takes_its_digest_along(store: Store, tmp_path: Path) -> None:
    await keep(store, "CA1", "a")
    with closing(sqlite3.connect(tmp_path / "calls.db")) as other, other:
        other.execute("PRAGMA foreign_keys = ON")
        other.execute("DELETE FROM calls")
    assert await found(store, "a") == []


async def test_many_digests_are_read_in_pieces(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "_PIECE", 2)
    for number in range(5):
        store.save_call(f"CA{number}", status="completed")
    await store.flush()
    for number in range(5):
        at = NOON + timedelta(hours=number // 2)  # two came in at the same time
        await store.digests.save(f"CA{number}", at, digest())
    rows = await store.digests.since(NOON)
    assert [row["call_sid"] for row in rows] == [f"CA{number}" for number in range(5)]


async def test_a_match_behind_many_other_candidates_is_found(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "_FIRST_CANDIDATES", 2)
    for number in range(6):
        words = "needle" if number in (0, 4) else "need eedl dle"  # its grams alone
        await keep(store, f"CA{number}", words, hours=number)
    assert await found(store, "needle") == ["CA4", "CA0"]
    assert await store.digests.find(parse_search("needle"), 1) == ["CA4"]
    assert await store.digests.find(parse_search("needle"), 10, "CA4") == ["CA0"]
