"""For tests of commands that configure logging."""

import logging
from collections.abc import Iterator

import pytest

from app.cli.log import close_logging

NAMES = ("", "app", "uvicorn", "uvicorn.error", "uvicorn.access")


@pytest.fixture
def loggers_as_they_were() -> Iterator[None]:
    """Restores the loggers after the test."""
    loggers = [logging.getLogger(name) for name in NAMES]
    before = [(log, [*log.handlers], log.level, log.propagate) for log in loggers]
    yield
    close_logging()
    for log, handlers, level, propagate in before:
        log.handlers, log.propagate = handlers, propagate
        log.setLevel(level)
