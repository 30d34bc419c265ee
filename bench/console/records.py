"""Lists and searches of 100,000 calls, over the HTTP API, on SQLite and on PostgreSQL."""

import random
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import sqlalchemy as sa
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from sqlalchemy.ext.asyncio import AsyncConnection

from app.records.digests.digest import Digest
from app.records.digests.table import rows_of
from app.records.schema import CALLS, DIGEST_WORDS, DIGESTS
from app.records.store import Store
from app.web import problems
from app.web.api import calls, statistics
from bench.console.report import Figure
from tests.postgres import PostgresServer
from tests.web.stand_in_state import install_state

CALL_COUNT = 100_000
SAID = 250  # words of a call, about 200 different ones: five minutes of talk
MOST_MS = 300.0
RUNS = 7
TOKEN = "bench"
_AT_ONCE = 500
_NEWEST = datetime(2026, 11, 30, 12, tzinfo=UTC)
_OUTCOMES = ("completed", "completed", "completed", "busy", "no-answer")


def _vocabulary() -> list[str]:
    dice = random.Random(1)
    return ["".join(dice.choices("etaoinshrdlu", k=dice.randint(3, 10))) for _ in range(8000)]


def _rows(begin: int, words: list[str]) -> Iterator[tuple[dict[str, Any], ...]]:
    """The calls and digests from this number on; common words are said often."""
    dice = random.Random(begin)
    weights = [1 / (rank + 10) for rank in range(len(words))]
    for number in range(begin, begin + _AT_ONCE):
        call_sid = f"CA{number:032x}"
        created_at = _NEWEST - timedelta(minutes=number)
        caller, status = f"+1555{number:07d}", dice.choice(_OUTCOMES)
        said = dict.fromkeys(dice.choices(words, weights, k=SAID))
        digest = Digest(
            responses_ms=[dice.randint(300, 2500) for _ in range(20)],
            interruptions=dice.randint(0, 4),
            false_interruptions=dice.randint(0, 2),
            transfers=[],
            cost_usd=dice.random(),
            words=f" {caller[1:]} status={status} inbound {' '.join(said)} ",
        )
        key = {"call_sid": call_sid, "created_at": created_at}
        yield (
            {
                **key, "status": status, "from_number": caller, "to_number": "+15550000000",
                "direction": "inbound", "agent_name": "Ada", "account_sid": "AC1",
                "duration_s": 300.0, "ended_at": created_at,
            },
            *(row for _, row in rows_of(call_sid, created_at, digest)),
        )  # fmt: skip


async def _fill(store: Store) -> None:
    words = _vocabulary()
    for begin in range(0, CALL_COUNT, _AT_ONCE):
        found = list(_rows(begin, words))

        async def insert(connection: AsyncConnection, found: list[Any] = found) -> None:
            tables = (CALLS, DIGESTS, DIGEST_WORDS)
            for table, rows in zip(tables, zip(*found, strict=True), strict=True):
                await connection.execute(sa.insert(table), rows)

        await store._database.change(insert)


QUERIES: dict[str, dict[str, str | int]] = {
    "a page of the list": {},
    "a page in the middle of the list": {"before": f"CA{CALL_COUNT // 2:032x}"},
    "a word that many calls have": {"search": _vocabulary()[0]},
    "a word that few calls have": {"search": _vocabulary()[-1]},
    "a word that no call has": {"search": "zebra"},
    "a number": {"search": "+1 555 00 99 999"},
    "the last digits of a number": {"search": "0099999"},
    "two words and an outcome": {"search": f"{_vocabulary()[5]} {_vocabulary()[900]} busy"},
    "an outcome": {"outcome": "no-answer"},
    "an outcome that no call has": {"outcome": "canceled"},
    "a day": {"day": "2026-10-15"},
    "a day and a word": {"day": "2026-10-15", "search": _vocabulary()[300]},
}


@asynccontextmanager
async def _api(store: Store) -> AsyncIterator[AsyncClient]:
    app = FastAPI()
    problems.install(app)
    for each in (calls, statistics):
        app.include_router(each.router)
    install_state(app, api_token=TOKEN, store=store)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    transport = ASGITransport(app)
    async with AsyncClient(transport=transport, base_url="http://bench", headers=headers) as api:
        yield api


async def _measure(database: str, url: str) -> list[Figure]:
    store = await Store.open(url)
    try:
        await _fill(store)
        if database == "PostgreSQL":

            async def analyse(connection: AsyncConnection) -> None:
                await connection.execute(sa.text("ANALYZE"))

            await store._database.change(analyse)
        figures = []
        async with _api(store) as api:
            for name, query in QUERIES.items():
                took_ms, found = [], 0
                for _ in range(RUNS):
                    began_s = perf_counter()
                    answer = await api.get("/calls", params={"limit": 25, **query})
                    took_ms.append((perf_counter() - began_s) * 1000)
                    assert answer.status_code == 200, answer.text
                    found = len(answer.json()["calls"])
                what = f"{database}: {name} ({found} of a page of 25)"
                figures.append(Figure(what, median(took_ms), max(took_ms), "ms", MOST_MS))
        return figures
    finally:
        await store.aclose()


async def measure(only: str = "") -> list[Figure]:
    """Both databases. `only`: those with this in their name."""
    figures = []
    if only in "SQLite":
        with tempfile.TemporaryDirectory() as folder:
            figures += await _measure("SQLite", f"sqlite:///{Path(folder) / 'calls.db'}")
    if only in "PostgreSQL":
        server = PostgresServer()
        try:
            server.start()
            figures += await _measure("PostgreSQL", server.new_database())
        finally:
            server.close()
    return figures
