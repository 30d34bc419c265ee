"""Digests are written when calls end, and later for those that have none."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from app.records.digest_writer import DigestWriter
from app.records.digests.digest import Digest
from app.records.store import Store
from app.records.watching import CallEnded
from app.wires.twilio.call import CallInfo
from tests.records.report.recorded_call import pizza_call


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Store]:
    store = await Store.open(f"sqlite:///{folder / 'calls.db'}")
    yield store
    await store.aclose()


async def written(store: Store, call_sid: str, fits: Callable[[Digest], bool]) -> Digest:
    """Wait until the call has such a digest."""
    while True:
        found = (await store.digests.of([call_sid])).get(call_sid)
        if found is not None and fits(found):
            return found


async def test_a_call_that_ended_before_has_its_digest_soon(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        story = pizza_call()
        await story.save(store)
        writer = DigestWriter(store)
        writer.start()
        digest = await written(store, story.sid, lambda digest: True)
        assert digest.interruptions == 1
        await writer.aclose()


async def test_a_call_that_ends_gets_its_digest_anew(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        story = pizza_call()
        await story.save(store)
        writer = DigestWriter(store)
        writer.start()
        before = await written(store, story.sid, lambda digest: True)
        store.save_call(story.sid, cost={"currency": "USD", "line": 2.5})
        writer.watch(CallInfo(story.sid), CallEnded("caller", 2.5), 0.0)
        after = await written(store, story.sid, lambda digest: digest.cost_usd != before.cost_usd)
        assert after.cost_usd == 2.5
        await writer.aclose()


async def test_a_writer_that_never_started_closes(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await DigestWriter(store).aclose()
