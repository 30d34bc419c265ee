"""The model's side of a leg: one session at a time, and no word of one that was given up."""

import asyncio
import base64
from typing import Any, cast

from app.audio import silence, tone
from app.bridge.leg.model_side import ModelSide
from app.call.agent import Agent
from app.call.events import AudioReceived, Event, ModelLost, ModelOpened
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


async def test_audio_that_cannot_be_heard_is_marked_as_quiet() -> None:
    feeds: list[Any] = []
    fed: list[Event] = []

    def open_wire(*_: Any, feed: Any, **__: Any) -> ModelWire:
        feeds.append(feed)
        return cast(ModelWire, SlowWire())

    model = ModelSide(open_wire, Agent("Ada", ""), fed.append, lambda: None, lambda *_: None)
    opening = asyncio.create_task(model.open())
    await asyncio.sleep(0)
    for sound in (noted(-30), noted(-60), silence(200), silence(150) + noted(-30)):
        payload = base64.b64encode(sound).decode("ascii")
        feeds[0](AudioReceived("resp_1", "item_1", payload, len(sound)))
    feeds[0](ModelOpened())
    quiet = [each.quiet for each in fed if isinstance(each, AudioReceived)]
    assert quiet == [False, True, True, False]
    assert fed[-1] == ModelOpened()
    opening.cancel()


def noted(level_dbfs: float) -> bytes:
    return tone((440,), note_ms=200, level_dbfs=level_dbfs)
