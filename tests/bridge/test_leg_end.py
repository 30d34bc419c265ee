"""What ended a leg is in its record and in its log, also when the leg could not end by itself."""

import asyncio
import logging
from typing import Any

import pytest

from app.bridge.leg.leg import Leg
from app.bridge.leg.seed import first_seed
from app.bridge.services import Services
from app.call import events as ev
from tests.bridge.test_leg_seed import BASE, CALL, no_redirect
from tests.bridge.test_leg_seed import services as services  # a fixture


def fails(*_: object) -> Any:
    raise RuntimeError("a bug")


@pytest.fixture
async def leg(services: Services) -> Leg:
    return Leg(first_seed(CALL, services, BASE), services, no_redirect)


async def ended_by(leg: Leg, services: Services, caplog: pytest.LogCaptureFixture) -> str:
    """What the record says, and the log."""
    await services.store.flush()
    row = await services.store.get_call(CALL.call_sid)
    (line,) = [each for each in caplog.records if each.getMessage() == "leg over"]
    assert row is not None and row.ended_by == leg.ended_by == line.__dict__["ended_by"]
    return leg.ended_by


async def test_a_leg_whose_machine_cannot_even_fail_ended_by_an_error(
    leg: Leg,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    leg.begin()
    running = asyncio.create_task(leg.run())
    monkeypatch.setattr(leg._machine, "handle", fails)
    leg.feed(ev.SpeechStarted("item_1", 0))
    await running
    assert "leg failed twice" in caplog.text
    assert await ended_by(leg, services, caplog) == "error" and leg.needs_fallback


async def test_a_leg_whose_task_fails_ended_by_an_error(
    leg: Leg,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    leg.begin()
    monkeypatch.setattr(leg._voice, "prepare", fails)
    with pytest.raises(RuntimeError):
        await leg.run()
    assert await ended_by(leg, services, caplog) == "error" and leg.needs_fallback


async def test_a_leg_that_the_end_of_the_process_cancels_ended_by_the_shutdown(
    leg: Leg, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    leg.begin()
    running = asyncio.create_task(leg.run())
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait({running})
    assert await ended_by(leg, services, caplog) == "shutdown"
