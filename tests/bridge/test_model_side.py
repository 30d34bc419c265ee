"""The model's side of a leg: one session at a time, and no word of one that was given up."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from app.bridge.leg.model_side import ModelSide
from app.call.agent import Agent
from app.call.commands import (
    CancelResponse,
    CloseSuccessor,
    ConfigureSession,
    ConfigureSuccessor,
    DeleteItem,
)
from app.call.events import (
    Event,
    ItemDeleted,
    MessageTaken,
    ModelFaulted,
    ModelLost,
    ModelOpened,
    SessionConfigured,
    SessionCreated,
    SuccessorConfigured,
    SuccessorCreated,
    SuccessorLost,
    SuccessorOpened,
)
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


class OpenWire:
    """Is connected at once. Tests feed its events."""

    def __init__(self, *_: Any, feed: Callable[[Event], None], **__: Any) -> None:
        self.feed = feed
        self.sent: list[object] = []
        self.closed = False

    async def connect(self) -> None:
        self.feed(ModelOpened())

    def send(self, command: object) -> None:
        self.sent.append(command)

    def hold(self) -> None:
        self.sent.append("hold")

    def release(self) -> None:
        self.sent.append("release")

    def close(self) -> None:
        self.closed = True


class TwoWires:
    """A model side whose session and successor are open."""

    def __init__(self) -> None:
        self.fed: list[Event] = []
        self.wires: list[OpenWire] = []
        self.model = ModelSide(
            self._open, Agent("Ada", ""), self.fed.append, lambda: None, lambda *_: None
        )

    def _open(self, *_: Any, feed: Callable[[Event], None], **__: Any) -> ModelWire:
        self.wires.append(OpenWire(feed=feed))
        return cast(ModelWire, self.wires[-1])

    async def opened(self) -> "TwoWires":
        await self.model.open()
        await self.model.open_successor()
        assert self.fed == [ModelOpened(), SuccessorOpened()]
        self.fed.clear()
        return self


async def test_events_of_the_successor_are_told_apart_from_those_of_the_session() -> None:
    two = await TwoWires().opened()
    for wire in two.wires:
        wire.feed(SessionCreated("sess", 1000))
        wire.feed(SessionConfigured())
        wire.feed(MessageTaken("item_1"))
    assert two.fed == [
        SessionCreated("sess", 1000),
        SessionConfigured(),
        MessageTaken("item_1"),
        SuccessorCreated("sess", 1000),
        SuccessorConfigured(),
    ]


async def test_each_session_gets_its_own_commands() -> None:
    two = await TwoWires().opened()
    two.model.perform(DeleteItem("bridge_1", "item_1"))
    two.model.perform(ConfigureSuccessor("bridge_2", speaks=False))
    first, second = two.wires
    assert first.sent == [DeleteItem("bridge_1", "item_1")]
    assert second.sent == [ConfigureSession("bridge_2", speaks=False)]


async def test_the_session_before_the_swap_is_closed_and_says_nothing_more() -> None:
    two = await TwoWires().opened()
    two.model.swap()
    first, second = two.wires
    assert first.closed and not second.closed and two.model.successor is None
    first.feed(ModelLost("closed"))
    second.feed(SessionConfigured())
    two.model.perform(DeleteItem("bridge_1", "item_1"))
    assert two.fed == [SessionConfigured()]
    assert first.sent == [] and second.sent == [DeleteItem("bridge_1", "item_1")]


async def test_an_id_that_the_next_session_uses_again_is_another_item() -> None:
    two = await TwoWires().opened()
    first, second = two.wires
    first.feed(ItemDeleted("item_1"))
    two.model.swap()
    second.feed(ItemDeleted("item_1"))
    assert two.fed == [ItemDeleted("item_1"), ItemDeleted("item_1~2")]
    two.model.perform(DeleteItem("bridge_1", "item_1~2"))
    assert second.sent == [DeleteItem("bridge_1", "item_1")]


@pytest.mark.parametrize(
    ("event", "lost"),
    [
        (ModelLost("closed with code 1006"), SuccessorLost("closed with code 1006")),
        (
            ModelFaulted("unknown_parameter", "No such key.", setting="speed"),
            SuccessorLost("settings refused: No such key.", refused=True, setting="speed"),
        ),
    ],
)
async def test_a_successor_that_fails_is_closed_and_the_session_goes_on(
    event: Event, lost: SuccessorLost
) -> None:
    two = await TwoWires().opened()
    first, second = two.wires
    second.feed(event)
    second.feed(SessionConfigured())
    assert two.fed == [lost]
    assert second.closed and not first.closed


async def test_both_sessions_are_closed_with_the_leg() -> None:
    two = await TwoWires().opened()
    two.model.close()
    assert [wire.closed for wire in two.wires] == [True, True]


async def test_a_successor_that_is_given_up_is_closed_alone() -> None:
    two = await TwoWires().opened()
    two.model.perform(CloseSuccessor())
    assert [wire.closed for wire in two.wires] == [False, True]


async def test_what_one_read_sends_is_held_until_its_end_also_when_that_fails() -> None:
    two = await TwoWires().opened()
    with two.model.one_write():
        two.model.perform(CancelResponse("event_1", "resp_1"))
    with pytest.raises(RuntimeError), two.model.one_write():
        raise RuntimeError("a bug")
    cancel = CancelResponse("event_1", "resp_1")
    assert two.wires[0].sent == ["hold", cancel, "release", "hold", "release"]


async def test_a_session_that_is_swapped_amid_a_read_is_released() -> None:
    two = await TwoWires().opened()
    with two.model.one_write():
        two.model.swap()
    assert two.wires[0].sent == ["hold", "release"] and two.wires[1].sent == []
    two.model.close()
    with two.model.one_write():
        pass
