"""The model's side of a leg: one session at a time, and no word of one that was given up."""

import asyncio
from typing import Any, cast

from app.bridge.leg.model_side import ModelSide
from app.call.agent import Agent
from app.call.events import Event, ModelLost
from app.errors import ModelError
from app.wires.model import ModelWire


class SlowWire:
    """Fails to connect when the test says so."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.fails = asyncio.Event()

    async def connect(self) -> None:
        await self.fails.wait()
        raise ModelError("the model did not answer")

    def close(self) -> None:
        pass


async def test_a_session_that_was_given_up_while_it_connected_does_not_end_its_successor() -> None:
    fed: list[Event] = []
    wires: list[SlowWire] = []

    def open_wire(*_: Any, **__: Any) -> ModelWire:
        wires.append(SlowWire())
        return cast(ModelWire, wires[-1])

    model = ModelSide(open_wire, Agent("Ada", ""), fed.append, lambda: None, lambda *_: None)
    first = asyncio.create_task(model.open())
    await asyncio.sleep(0)
    model.close()
    second = asyncio.create_task(model.open())
    await asyncio.sleep(0)
    wires[0].fails.set()
    await first
    assert fed == []
    wires[1].fails.set()
    await second
    assert fed == [ModelLost("the model did not answer")]
