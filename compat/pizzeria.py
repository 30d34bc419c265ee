"""Whom the clients talk with: the embedded model, as the pizzeria of the examples. And the kitchen
that they ask for it: tools that write down how they were called."""

from pathlib import Path
from typing import Any

from app.cli.embedded_model import embedded_model
from app.config.agent.file import load_agent
from app.simulator.realtime import Item, RealtimeServer, Session

MODEL = "gpt-realtime"
VOICE = "en-us+f3"  # as the agent file has it
INSTRUCTIONS = "You take orders on the telephone at Pizzeria Bella."

ASKS_FOR_THE_MENU = "What is on the menu?"
ORDERS = "One large margherita, please, for Ada."
SAYS_GOODBYE = "Thank you, that is all, goodbye."

ORDERED = {
    "name": "Ada",
    "items": [{"pizza": "margherita", "size": "large", "quantity": 1}],
}

_AGENT_FILE = Path(__file__).parents[1] / "examples" / "pizzeria.toml"


def pizzeria() -> RealtimeServer:
    """The embedded model with the pizzeria's lines; use it in `async with`."""
    return embedded_model(load_agent(_AGENT_FILE))


class Kitchen:
    """The tools' side of it. `calls`: names and arguments, in order. Its prices are its own, so
    that whoever names them has them from here."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def menu(self, size: str) -> dict[str, float]:
        self.calls.append(("menu", {"size": size}))
        return {"margherita": 17.5, "funghi": 18.0, "diavola": 19.0}

    def place_order(self, name: str, items: list[dict[str, Any]]) -> dict[str, Any]:
        self.calls.append(("place_order", {"name": name, "items": items}))
        return {"name": name, "price_euros": 17.5, "ready_at": "18:20"}


TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "name": "menu",
        "description": "What each pizza costs, in euros.",
        "parameters": {
            "type": "object",
            "properties": {"size": {"type": "string", "enum": ["small", "large"]}},
            "required": ["size"],
        },
    },
    {
        "type": "function",
        "name": "place_order",
        "description": "Send an order to the kitchen.",
        "parameters": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "items": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "pizza": {"type": "string"},
                            "size": {"type": "string"},
                            "quantity": {"type": "integer"},
                        },
                        "required": ["pizza", "size", "quantity"],
                    },
                },
            },
            "required": ["name", "items"],
        },
    },
]


def spoken_items(session: Session) -> list[Item]:
    """What the model said aloud, in order."""
    return [item for item in session.items if item.part == "output_audio"]


async def understood(session: Session, turn: int, word: str) -> None:
    """Wait until the model knows what the caller said, in the turn with this number, the first one
    being 1. Raises AssertionError if it is something else, so that nobody waits for the answer."""
    await session.until(lambda _: len(_understood(session)) >= turn)
    text = _understood(session)[turn - 1]
    assert word in text.lower(), f"the model understood {text!r}"


def _understood(session: Session) -> list[str]:
    return [
        item.text for item in session.items if item.part == "input_audio" and item.text is not None
    ]
