"""For every test: hypothesis tries the same examples each time, and counts no seconds.

FUZZ, set by `make fuzz`: other examples each time, and more of them. SHUFFLE, set by `make
shuffle`: a number that the tests' order is drawn with.
"""

import os
import random

import pytest
from hypothesis import HealthCheck, settings

FUZZ = bool(os.environ.get("FUZZ"))
_unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)

settings.register_profile("project", _unhurried, derandomize=True)
settings.register_profile("fuzz", _unhurried, max_examples=5000, print_blob=True)
settings.load_profile("fuzz" if FUZZ else "project")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test must not need what another one left: any order will do."""
    if seed := os.environ.get("SHUFFLE"):
        random.Random(seed).shuffle(items)
