"""Destinations that the model may transfer to: known names, in their opening hours."""

import json

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.destinations import Destination, Hours
from app.call.exits.last_words import GUARD_MS
from app.call.exits.transfer import TRANSFER
from tests.call.scene import Scene, agent
from tests.call.transfer_scene import (
    CLERK,
    HUMANS,
    MONDAY_NOON_S,
    NIGHT,
    SALES,
    SUPPORT,
    call_transfer,
    transfer_scene,
)

DAY_MS = 24 * 3_600_000
KNOWN = prompts.no_destination(["Sales", "Support"])


def ask(scene: Scene, arguments: str) -> None:
    scene.begin()
    scene.audio(1000)
    scene.call_tool("call_1", TRANSFER, arguments=arguments)
    scene.finish()
    scene.run(1100 + GUARD_MS)


def routes(scene: Scene) -> list[tuple[str, ...]]:
    return [order.route for order in scene.all(do.TransferCall)]


@pytest.mark.parametrize(
    "destination",
    [
        "Marketing",
        "sales",
        "+493090182002",
        "tel:+493090182002",
        "sip:sales@example.com",
        "",
        None,
        0,
        True,
        ["Sales"],
        {"name": "Sales"},
    ],
)
def test_an_unknown_destination_is_never_dialled(destination: object) -> None:
    scene = transfer_scene()
    ask(scene, json.dumps({"destination": destination, "reason": "a price"}))
    assert scene.outputs() == [KNOWN] and "Sales" in KNOWN and "+49" not in KNOWN
    assert scene.asked() == [""]
    scene.run(120_000)
    assert routes(scene) == []


@pytest.mark.parametrize(
    "arguments",
    ["Sales", "[]", '"Sales"', "null", "7", '{"destination": "Sales"', "\x00", "[" * 100_000],
)
def test_arguments_that_are_no_object_are_answered_with_the_reason(arguments: str) -> None:
    scene = transfer_scene()
    ask(scene, arguments)
    assert scene.outputs() == [prompts.TRANSFER_UNREADABLE] and scene.asked() == [""]
    scene.run(120_000)
    assert routes(scene) == []


@pytest.mark.parametrize("arguments", ["", "{}", '{"reason": 7, "summary": null}'])
def test_the_only_destination_needs_no_name(arguments: str) -> None:
    scene = transfer_scene(agent(destinations=(SUPPORT,)))
    ask(scene, arguments)
    assert scene.all(do.TransferCall) == [
        do.TransferCall("call_1", ("Support",), "", "", announced=True)
    ]


@pytest.mark.parametrize("name", ["+493090182001", "Sales"])
def test_the_only_destination_is_not_dialled_under_another_name(name: str) -> None:
    scene = transfer_scene(agent(destinations=(SUPPORT,)))
    ask(scene, json.dumps({"destination": name}))
    assert routes(scene) == [] and scene.outputs() == [prompts.no_destination(["Support"])]


def test_one_of_several_destinations_has_to_be_named() -> None:
    scene = transfer_scene()
    ask(scene, "{}")
    assert scene.outputs() == [KNOWN] and routes(scene) == []


def test_an_agent_without_destinations_says_so() -> None:
    scene = transfer_scene(agent())
    ask(scene, '{"destination": "Sales"}')
    assert scene.outputs() == [prompts.no_destination([])]


def test_a_destination_names_the_next_ones_of_its_route() -> None:
    scene = transfer_scene()
    call_transfer(scene)
    scene.run(2100 + GUARD_MS)
    assert routes(scene) == [("Sales", "Support")]


def test_the_next_destinations_of_a_route_have_hours_too() -> None:
    sales = Destination("Sales", "+493090182002", then=("Night watch", "Support"))
    scene = transfer_scene(agent(destinations=(sales, NIGHT, SUPPORT)))
    call_transfer(scene)
    scene.run(2100 + GUARD_MS)
    assert routes(scene) == [("Sales", "Support")]


def test_a_closed_destination_says_when_it_opens_and_which_ones_are_open() -> None:
    scene = transfer_scene(agent(destinations=(SALES, SUPPORT, NIGHT)))
    ask(scene, '{"destination": "Night watch"}')
    (told,) = scene.outputs()
    assert "closed until Monday, 18:00" in told and "Sales, Support" in told
    assert scene.asked() == [""] and routes(scene) == []


def test_the_hours_go_by_the_time_of_the_transfer_not_of_the_calls_beginning() -> None:
    closes_soon = Destination("Clerk", "+493090182004", hours=Hours("UTC", ((0, 0, 12 * 60 + 1),)))
    scene = transfer_scene(agent(destinations=(closes_soon,)))
    scene.run(58_000)
    call_transfer(scene, destination="Clerk")
    scene.run(2100 + GUARD_MS)
    scene.feed(ev.RedirectFailed("busy"), ev.ToolOutputTaken("call_1"))
    scene.respond()
    scene.run(2000)
    call_transfer(
        scene, call_id="call_2", item_id="item_2", response_id="resp_2", destination="Clerk"
    )
    scene.run(5000)
    assert len(routes(scene)) == 1 and "closed until Monday, 00:00" in scene.outputs()[-1]


def test_a_transfer_is_possible_on_the_next_working_day() -> None:
    scene = Scene(agent(destinations=(CLERK,)), up_ms=0, down_ms=0)
    scene.feed(ev.LegOpened(at_s=MONDAY_NOON_S - 2 * DAY_MS / 1000))  # a Saturday
    scene.configure()
    scene.feed(ev.StreamStarted("MZ1"))
    ask(scene, "{}")
    assert "closed until Monday, 09:00" in scene.outputs()[0] and routes(scene) == []
    scene.respond()
    scene.run(2 * DAY_MS)
    call_transfer(
        scene, call_id="call_2", item_id="item_2", response_id="resp_2", destination="Clerk"
    )
    scene.run(2000 + GUARD_MS)
    assert routes(scene) == [("Clerk",)]


def test_the_addresses_are_in_no_command() -> None:
    scene = transfer_scene(HUMANS)
    call_transfer(scene)
    scene.run(2100 + GUARD_MS)
    scene.feed(ev.RedirectFailed("status 503"))
    assert routes(scene) and "+49" not in repr(scene.commands)
