"""The browser that the tests of the console share."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.web.console.browser import SharedBrowser, shared


@pytest_asyncio.fixture(scope="session", loop_scope="session", autouse=True)
async def shared_browser() -> AsyncIterator[None]:
    """Close the browser at the end, if a test started it."""
    shared.append(SharedBrowser())
    yield
    await shared.pop().close()
