"""The tools of Mia at the pizzeria: read the menu, place an order, look one up."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from app.tools import CallContext, ToolError, tool

Pizza = Literal["margherita", "funghi", "diavola"]
Size = Literal["small", "large"]

PRICES_EUROS = {"margherita": 8.0, "funghi": 9.5, "diavola": 10.0}
LARGE_EXTRA_EUROS = 3.0
BAKING_MINUTES = 20


@dataclass
class Order:
    name: str
    pizzas: list[str]
    price_euros: float
    ready_at: str


orders: dict[str, Order] = {}  # by name in lower case; a real shop uses its order system


def price_of(pizza: str, size: str) -> float:
    return PRICES_EUROS[pizza] + (LARGE_EXTRA_EUROS if size == "large" else 0)


@dataclass
class Item:
    pizza: Pizza
    size: Size = "large"
    quantity: int = 1


@tool
def menu(size: Size = "large") -> dict[str, float]:
    """What each pizza costs, in euros.

    Args:
        size: The size to tell the prices of.
    """
    return {pizza: price_of(pizza, size) for pizza in PRICES_EUROS}


@tool
async def place_order(name: str, items: list[Item], call: CallContext) -> Order:
    """Send an order to the kitchen. Only after the caller has agreed to it and to its price.

    Args:
        name: The name that the order is for.
        items: The pizzas, one entry for each kind and size.
    """
    if not items or any(item.quantity < 1 for item in items):
        raise ToolError("There is no pizza in this order. Ask which pizzas the caller wants.")
    await asyncio.sleep(1)  # a slow printer in the kitchen; the call continues meanwhile
    order = Order(
        name=name,
        pizzas=[f"{item.quantity} {item.size} {item.pizza}" for item in items],
        price_euros=sum(price_of(item.pizza, item.size) * item.quantity for item in items),
        ready_at=f"{datetime.now() + timedelta(minutes=BAKING_MINUTES):%H:%M}",
    )
    orders[name.lower()] = order
    return order


@tool
def find_order(name: str) -> Order:
    """Look up an order that was placed today.

    Args:
        name: The name the order was placed under.
    """
    if name.lower() not in orders:
        raise ToolError(f"There is no order for {name}. Ask how the name is spelled.")
    return orders[name.lower()]
