"""Refusals are summarized in the log."""

import logging

import pytest

from app.web.server.refusals import Refusals
from tests.web.server.fake_transport import Clock


async def test_a_flood_is_a_few_lines_with_their_counts(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    refusals = Refusals(clock.as_loop)
    for second in range(300):
        for n in range(10):
            refusals.add("connections refused", "no HTTP", f"198.51.100.{n}")
        if second == 100:
            refusals.add("connections refused", "another reason")
        await clock.advance(1)
    refusals.flush()

    lines = [record for record in caplog.records if record.__dict__["why"] == "no HTTP"]
    assert len(lines) < 15
    assert sum(line.__dict__["count"] for line in lines) == 3000
    assert lines[0].__dict__["count"] == 10 and lines[0].__dict__["peer"] == "198.51.100.9"
    assert len(caplog.records) == len(lines) + 1


async def test_a_rare_refusal_is_logged_within_a_second(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    refusals = Refusals(clock.as_loop)
    for expected in (1, 2):
        refusals.add("no file descriptor is left", "raise the limit", level=logging.ERROR)
        await clock.advance(1)
        assert [record.levelname for record in caplog.records] == ["ERROR"] * expected
        await clock.advance(600)
    refusals.flush()
    assert len(caplog.records) == 2
