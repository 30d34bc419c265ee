"""`/healthz` and `/readyz`."""

from types import SimpleNamespace

from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from app.bridge.bus.local_bus import LocalBus
from app.web import health
from tests.web.stand_in_state import install_state


async def test_a_draining_process_is_alive_but_not_ready() -> None:
    switchboard = SimpleNamespace(draining=False)
    app = FastAPI()
    install_state(app, switchboard=switchboard)
    app.include_router(health.router)

    async with AsyncClient(transport=ASGITransport(app), base_url="http://bridge") as client:
        alive, ready = await client.get("/healthz"), await client.get("/readyz")
        switchboard.draining = True
        still_alive, not_ready = await client.get("/healthz"), await client.get("/readyz")

    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ok"})
    assert (still_alive.status_code, still_alive.json()) == (200, {"status": "ok"})
    assert (not_ready.status_code, not_ready.json()) == (503, {"status": "draining"})


class Away(LocalBus):
    """A bus whose Redis is away."""

    available = False


async def test_a_process_without_redis_takes_calls_and_says_that_it_is_away() -> None:
    switchboard = SimpleNamespace(draining=False)
    app = FastAPI()
    install_state(app, switchboard=switchboard, bus=Away())
    app.include_router(health.router)

    async with AsyncClient(transport=ASGITransport(app), base_url="http://bridge") as client:
        alive, ready = await client.get("/healthz"), await client.get("/readyz")
        switchboard.draining = True
        draining = await client.get("/readyz")

    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (200, {"status": "degraded", "redis": "away"})
    assert (draining.status_code, draining.json()) == (503, {"status": "draining", "redis": "away"})
