"""Warm transfers of a process that ends: what no other replica does is done before."""

import asyncio
from types import SimpleNamespace
from typing import Any

from app.bridge.transfers.recorded_warm import RecordedWarm
from app.bridge.transfers.redirects import CallRedirects
from app.call.destinations import Destination
from app.call.exits.attempts import TransferAttempts
from app.errors import TwilioError

DESK = Destination("desk", "+14155550111", warm=True)


class Scene:
    """The record of one transfer, and Twilio."""

    def __init__(self) -> None:
        self.attempts = TransferAttempts([DESK], "call_1")
        self.attempts.next()
        self.redirected: list[str] = []
        self.failed: list[int] = []
        self.rest = self
        services: Any = self
        self.warm = RecordedWarm(services, CallRedirects(), self.change, self.gone)
        self.dialling: Any = SimpleNamespace(
            attempts=self.attempts,
            call_sid="CA1",
            call=None,
            url=lambda question: f"https://bridge.example.com/{question}",
            callee_order=lambda destination: None,
        )

    async def change(self, _call: Any, decide: Any) -> Any:
        return decide(self.attempts), self.attempts

    async def gone(self, _dialling: Any, number: int) -> None:
        self.failed.append(number)

    async def redirect(self, call_sid: str, _twiml: str) -> None:
        self.redirected.append(call_sid)

    async def place(self, _order: Any) -> str:
        raise TwilioError("no answer", unsure=True)


async def test_a_caller_in_the_waiting_room_is_fetched_before_the_process_ends() -> None:
    scene = Scene()
    scene.attempts.ended(0, "busy")
    fetching = asyncio.create_task(scene.warm.fetch(scene.dialling, after_s=3600))
    await asyncio.sleep(0)
    scene.warm.stop()
    await fetching
    assert scene.redirected == ["CA1"]


async def test_a_human_who_may_not_have_been_called_is_waited_for_no_longer() -> None:
    scene = Scene()
    ringing = asyncio.create_task(scene.warm.ring(scene.dialling))
    await asyncio.sleep(0)
    scene.warm.stop()
    await ringing
    assert scene.failed == [0]
