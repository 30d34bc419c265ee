"""A fixture for the tests of Qwen's voice."""

import asyncio
from collections.abc import AsyncIterator

import pytest


@pytest.fixture
async def no_task_outlives_its_test() -> AsyncIterator[None]:
    """Fails a test that leaves a task behind."""
    yield
    assert asyncio.all_tasks() == {asyncio.current_task()}
