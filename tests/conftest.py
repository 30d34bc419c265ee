"""For every test: hypothesis tries the same examples each time, and counts no seconds.

FUZZ, set by `make fuzz`: other examples each time, and more of them. SHUFFLE, set by `make
shuffle`: a number that the tests' order is drawn with.
"""

import gc
import os
import random
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tests.postgres import database_url, own_postgres, postgres, postgres_url

__all__ = ["database_url", "own_postgres", "postgres", "postgres_url"]  # fixtures

FUZZ = bool(os.environ.get("FUZZ"))
_unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)

settings.register_profile("project", _unhurried, derandomize=True)
settings.register_profile("fuzz", _unhurried, max_examples=5000, print_blob=True)
settings.load_profile("fuzz" if FUZZ else "project")

# Folders whose tests start processes or wait for calls in real time.
_WAITING = ("tests/service/", "tests/cli/")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays until the end: the garbage collector need not look through it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests come first: at the end no process works alone. A test must not need what another
    one left: any order will do."""
    if seed := os.environ.get("SHUFFLE"):
        random.Random(seed).shuffle(items)
    else:
        items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    """Where a test belongs: tests with a time limit of their own are the slowest."""
    if item.get_closest_marker("timeout"):
        return 0
    return 1 if item.nodeid.startswith(_WAITING) else 2
