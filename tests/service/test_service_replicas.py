"""The service among replicas: it joins them, says whether it takes calls, and leaves them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from httpx import ASGITransport, AsyncClient

from app.bridge.bus.redis_bus import RedisBus
from app.bridge.services import Services
from app.config.settings import Settings
from app.main import create_app
from app.web.app_state import state_of
from tests.bridge.bus.buses import opened, until, until_away
from tests.redis_server import redis_server


def settings_in(folder: Path) -> Settings:
    values: dict[str, Any] = {
        "openai_api_key": "the model's key",
        "api_token": "the operator's token",
        "database_url": f"sqlite:///{folder / 'calls.db'}",
    }
    return Settings(_env_file=None, **values)  # type: ignore[call-arg] # pydantic-settings'


async def test_a_replica_is_ready_from_its_start_until_it_drains_and_gone_when_it_ends(
    tmp_path: Path,
) -> None:
    with redis_server() as server:
        other = await opened(server.url)
        bus: RedisBus = await opened(server.url)
        settings = settings_in(tmp_path)
        services = replace(await Services.open(settings), bus=bus)
        app = create_app(settings, services)
        async with app.router.lifespan_context(app):
            await bus._leases.written()
            assert await other.others_ready()
            async with AsyncClient(transport=ASGITransport(app), base_url="http://bridge") as http:
                assert (await http.get("/readyz")).json() == {"status": "ok"}
                server.stop()
                await until_away(bus, other)
                away = await http.get("/readyz")
                assert (away.status_code, away.json()["redis"]) == (200, "away")
                server.start()
                await until(lambda: bus.available and other.available)
                assert (await http.get("/readyz")).json() == {"status": "ok"}
            await state_of(app).switchboard.drain(0)
            await bus._leases.written()
            assert not await other.others_ready()
            with server.client() as client:
                assert client.exists(f"phone-agent:replica:{bus.replica}")
        with server.client() as client:
            assert not client.exists(f"phone-agent:replica:{bus.replica}")
        await other.aclose()
