"""An operator's orders: accepted, or refused with the reason, before anything is promised."""

import json

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call.destinations import Destination
from app.call.exits.tones import SEND_DIGITS
from app.call.exits.transfer import TRANSFER
from tests.call.scene import Scene, agent

SUPPORT = ev.TransferRequested("Support")
AGENT = agent(destinations=(Destination("Support", "+15550100002"),))


@pytest.fixture
def scene() -> Scene:
    return Scene(AGENT).connect()


def call_tool(scene: Scene, name: str, **arguments: str) -> None:
    scene.feed(ev.ResponseCreated("resp_1"))
    scene.call_tool(name=name, arguments=json.dumps(arguments))


def test_an_order_that_is_accepted_is_carried_out(scene: Scene) -> None:
    assert scene.machine.refusal(SUPPORT) == ""
    scene.feed(SUPPORT)
    scene.respond()
    scene.run(3000)
    assert scene.all(do.TransferCall)


def test_no_transfer_begins_while_keys_sound(scene: Scene) -> None:
    call_tool(scene, SEND_DIGITS, digits="123")
    assert "pressing keys" in scene.machine.refusal(SUPPORT)
    scene.feed(SUPPORT)
    scene.feed(ev.ResponseDone("resp_1", "completed"))
    scene.run(5000)
    assert not scene.all(do.TransferCall), "what is refused has no effect"
    assert scene.machine.refusal(SUPPORT) == "", "the keys have sounded"


@pytest.mark.parametrize("order", [SUPPORT, ev.SayRequested("Hello.")])
def test_no_order_is_accepted_while_the_agent_ends_or_transfers_the_call(
    scene: Scene, order: ev.TransferRequested | ev.SayRequested
) -> None:
    call_tool(scene, TRANSFER)
    assert "ending or transferring" in scene.machine.refusal(order)
    scene.feed(ev.ResponseDone("resp_1", "completed"))
    scene.respond()
    scene.run(3000)
    assert "is being transferred" in scene.machine.refusal(order)


def test_an_unknown_destination_is_refused_with_those_that_exist(scene: Scene) -> None:
    assert "Support" in scene.machine.refusal(ev.TransferRequested("Sales"))


def test_no_order_is_accepted_without_a_caller() -> None:
    scene = Scene(AGENT)
    scene.feed(ev.LegOpened())
    scene.configure()
    assert "does not talk" in scene.machine.refusal(SUPPORT)
    scene.feed(ev.StreamStarted("MZ1"), ev.StreamEnded("stop"))
    assert "does not talk" in scene.machine.refusal(SUPPORT)


def test_a_lone_zero_beside_an_operators_transfer_leaves_no_call_unanswered(scene: Scene) -> None:
    scene.press("0")
    scene.run(500)
    scene.feed(SUPPORT)
    scene.run(2500)  # the lone 0 is complete, and its transfer refused
    scene.respond()
    scene.run(3000)
    assert scene.all(do.TransferCall)
    asked = len(scene.asked())
    scene.feed(ev.RedirectFailed("busy"))
    assert len(scene.asked()) == asked + 1, "the agent says that it failed"
