"""A scene with destinations, and an agent that transfers callers to them."""

import json

from app.call import events as ev
from app.call.agent import Agent
from app.call.destinations import Destination, Hours
from app.call.exits.transfer import TRANSFER
from tests.call.scene import Scene, agent

MONDAY_NOON_S = 1_773_057_600.0  # 2026-03-09 12:00 UTC
OFFICE = Hours("UTC", tuple((day, 9 * 60, 17 * 60) for day in range(5)))

SUPPORT = Destination("Support", "+493090182001", "Everything that is broken")
SALES = Destination("Sales", "+493090182002", "Prices and orders", then=("Support",))
NIGHT = Destination("Night watch", "+493090182003", hours=Hours("UTC", ((0, 18 * 60, 24 * 60),)))
CLERK = Destination("Clerk", "+493090182004", hours=OFFICE)

HUMANS = agent(destinations=(SALES, SUPPORT))


def transfer_scene(who: Agent = HUMANS, *, up_ms: float = 50.0, down_ms: float = 50.0) -> Scene:
    """A connected call of an agent that has destinations, on a Monday at noon."""
    scene = Scene(who, up_ms=up_ms, down_ms=down_ms)
    scene.feed(ev.LegOpened(at_s=MONDAY_NOON_S))
    scene.configure()
    scene.feed(ev.StreamStarted("MZ1"))
    scene.run(1000)
    scene.take()
    return scene


def call_transfer(
    scene: Scene,
    announcement_ms: int = 2000,
    *,
    call_id: str = "call_1",
    item_id: str = "item_1",
    response_id: str = "resp_1",
    destination: object = "Sales",
) -> None:
    """The agent announces a transfer, or not, and calls the tool in the same response."""
    scene.feed(ev.ResponseCreated(response_id))
    if announcement_ms:
        scene.feed(ev.OutputItemAdded(response_id, item_id, "message"))
        scene.audio(announcement_ms, item_id, response_id)
        scene.feed(ev.OutputItemDone(response_id, item_id, "message", "completed"))
    arguments = {"destination": destination, "reason": "a price", "summary": "Wants 40 chairs."}
    scene.call_tool(call_id, TRANSFER, response_id, json.dumps(arguments))
    scene.feed(ev.ResponseDone(response_id, "completed"))
