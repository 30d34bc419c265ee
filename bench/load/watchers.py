"""Who watches a service while it has calls: pages of the console, and a scraper of its metrics."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from bench.process import API_TOKEN

PAGES = 3
SCRAPE_S = 1.0


@asynccontextmanager
async def watching(port: int) -> AsyncIterator[None]:
    """Follow the live calls `PAGES` times, and scrape the metrics every `SCRAPE_S`.

    Raises RuntimeError at the end if a page was not answered.
    """
    url = f"http://127.0.0.1:{port}"
    headers = {"Authorization": f"Bearer {API_TOKEN}"}
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as http:
        tasks = [asyncio.create_task(_follow(http, f"{url}/events")) for _ in range(PAGES)]
        tasks.append(asyncio.create_task(_scrape(http, f"{url}/metrics")))
        try:
            yield
        finally:
            for each in tasks:
                each.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in ended:
        if not isinstance(outcome, asyncio.CancelledError):
            raise RuntimeError(f"a page was not answered: {outcome!r}")


async def _follow(http: aiohttp.ClientSession, url: str) -> None:
    async with http.get(url, raise_for_status=True) as answer:
        async for _ in answer.content.iter_any():
            pass
    raise RuntimeError("the live events ended")


async def _scrape(http: aiohttp.ClientSession, url: str) -> None:
    while True:
        async with http.get(url, raise_for_status=True) as answer:
            await answer.read()
        await asyncio.sleep(SCRAPE_S)
