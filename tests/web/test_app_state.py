"""The application's state: set in one place, read in one place, and frozen."""

import ast
import dataclasses

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from app.web.app_state import State, find_state
from docs.imports import trees
from tests.web.stand_in_state import install_state


def test_no_other_module_touches_the_applications_state() -> None:
    touching = {
        name
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr == "state"
        and ast.unparse(node.value).endswith(("app", 'scope["app"]', "scope['app']"))
    }
    assert touching == {"app.web.app_state"}


async def test_a_route_gets_the_state_that_the_application_was_started_with() -> None:
    app = FastAPI()

    @app.get("/token")
    async def token(state: State) -> str:
        return state.api_token

    assert find_state(app) is None
    state = install_state(app, api_token="t0ken")
    async with AsyncClient(transport=ASGITransport(app), base_url="http://bridge") as client:
        assert (await client.get("/token")).json() == "t0ken"
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.api_token = "another"  # type: ignore[misc]
