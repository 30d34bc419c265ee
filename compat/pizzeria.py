"""The other side of the clients' conversations: the embedded model with the lines of the example
pizzeria, and tools that record their calls."""

from pathlib import Path
from typing import Any

from app.cli.embedded_model import embedded_model
from app.config.agent.file import load_agent
from app.simulator.realtime import Item, RealtimeServer, Session

MODEL = "gpt-realtime"
VOICE = "en-us+f3"  # of the agent file
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
    """The tools. A spoken price proves a call: the prices differ from those of the example."""

    def __init__(self) -> None:
        #: Names and arguments, in order.
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
    """The items that the model spoke, in order."""
    return [item for item in session.items if item.part == "output_audio"]


async def understood(session: Session, turn: int, word: str) -> None:
    """Wait for the transcript of a turn. `turn`: 1 is the first.

    Raises AssertionError if `word` is not in it, so that the test does not wait for the answer.
    """
    await session.until(lambda _: len(_understood(session)) >= turn)
    text = _understood(session)[turn - 1]
    assert word in text.lower(), f"the model understood {text!r}"


def _understood(session: Session) -> list[str]:
    return [
        item.text for item in session.items if item.part == "input_audio" and item.text is not None
    ]
