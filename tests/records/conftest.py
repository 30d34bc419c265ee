"""What the tests of reports share: a store that keeps due reports, a clock, and an owner's server.

A module's own fixture of the same name takes its place.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.records.store import Store
from tests.records.after_call_scene import Owner, VirtualClock, an_owner


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "calls.db"


@pytest.fixture
async def store(file: Path) -> AsyncIterator[Store]:
    store = await Store.open(f"sqlite:///{file}")
    store.reports = True
    yield store
    await store.aclose()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def owner() -> AsyncIterator[Owner]:
    async with an_owner() as owner:
        yield owner
