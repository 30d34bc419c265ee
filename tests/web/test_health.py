"""`/healthz` and `/readyz`."""

from types import SimpleNamespace
from typing import Any

from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from app.bridge.bus.local_bus import LocalBus
from app.web import health
from tests.web.stand_in_state import install_state


class StandInStore:
    """A store whose database may be away."""

    def __init__(self) -> None:
        self.available = True

    async def probe(self, within_s: float) -> bool:
        return self.available


async def test_a_draining_process_is_alive_but_not_ready() -> None:
    switchboard = SimpleNamespace(draining=False)
    app = FastAPI()
    store: Any = StandInStore()
    install_state(app, store=store, switchboard=switchboard)
    app.include_router(health.router)

    async with AsyncClient(transport=ASGITransport(app), base_url="http://bridge") as client:
        alive, ready = await client.get("/healthz"), await client.get("/readyz")
        switchboard.draining = True
        still_alive, not_ready = await client.get("/healthz"), await client.get("/readyz")

    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ok"})
    assert (still_alive.status_code, still_alive.json()) == (200, {"status": "ok"})
    assert (not_ready.status_code, not_ready.json()) == (503, {"status": "draining"})


async def test_a_process_whose_database_is_away_takes_new_calls_and_says_so() -> None:
    app, store = FastAPI(), StandInStore()
    parts: Any = {"store": store, "switchboard": SimpleNamespace(draining=False)}
    install_state(app, **parts)
    app.include_router(health.router)

    async with AsyncClient(transport=ASGITransport(app), base_url="http://bridge") as client:
        store.available = False
        away = await client.get("/readyz")
        store.available = True
        back = await client.get("/readyz")

    assert (away.status_code, away.json()) == (200, {"status": "degraded", "database": "away"})
    assert (back.status_code, back.json()) == (200, {"status": "ok"})


class Away(LocalBus):
    """A bus whose Redis is away."""

    available = False


async def test_a_process_without_redis_takes_calls_and_says_that_it_is_away() -> None:
    switchboard = SimpleNamespace(draining=False)
    app = FastAPI()
    store: Any = StandInStore()
    install_state(app, store=store, switchboard=switchboard, bus=Away())
    app.include_router(health.router)

    async with AsyncClient(transport=ASGITransport(app), base_url="http://bridge") as client:
        alive, ready = await client.get("/healthz"), await client.get("/readyz")
        switchboard.draining = True
        draining = await client.get("/readyz")

    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (200, {"status": "degraded", "redis": "away"})
    assert (draining.status_code, draining.json()) == (503, {"status": "draining", "redis": "away"})
