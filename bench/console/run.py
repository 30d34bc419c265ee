"""Runs both measurements of the console."""

import asyncio
from collections.abc import Callable, Iterator

from bench.console import page, records
from bench.console.report import Figure

PARTS = ("page", "records")


def measure(parts: tuple[str, ...], only: str, say: Callable[[str], None]) -> Iterator[Figure]:
    """The figures of these parts. `only`: of records, the databases with this in their name."""
    if "page" in parts:
        say(f"{page.CALL_COUNT} live calls in a browser …")
        yield from asyncio.run(page.measure())
    if "records" in parts:
        say(f"{records.CALL_COUNT:,} records …")
        yield from asyncio.run(records.measure(only))
