"""The API's token, and the connection that it authenticates."""

import pytest
from fastapi import APIRouter, FastAPI
from httpx import ASGITransport, AsyncClient
from starlette.types import Receive, Scope, Send

from app.web.api_token import TokenRoute
from app.web.authenticated import EXTENSION
from tests.web.stand_in_state import install_state

TOKEN = "t0ken"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
        ({"Authorization": "Bearer guess"}, 401),
        ({}, 401),
    ],
)
async def test_only_the_right_token_authenticates_its_connection(
    headers: dict[str, str], status: int
) -> None:
    marks: list[bool] = []
    router = APIRouter(route_class=TokenRoute)

    @router.get("/calls")
    async def calls() -> None: ...

    app = FastAPI()
    install_state(app, api_token=TOKEN)
    app.include_router(router)

    async def on_a_connection(scope: Scope, receive: Receive, send: Send) -> None:
        extensions = {EXTENSION: lambda: marks.append(True)}
        await app({**scope, "extensions": extensions}, receive, send)

    transport = ASGITransport(on_a_connection)
    async with AsyncClient(transport=transport, base_url="http://bridge") as client:
        answer = await client.get("/calls", headers=headers)

    assert answer.status_code == status
    assert bool(marks) == (status == 200)
