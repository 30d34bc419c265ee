from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response

from app.records.store import Store, TimelineRow, TurnRow
from app.web import problems
from app.web.api import calls
from app.web.bearer import token_matches
from tests.web.stand_in_state import install_state

TOKEN = "tokén-of-this-test"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(f"sqlite:///{tmp_path / 'calls.db'}")
    yield store
    await store.aclose()


@pytest.fixture
async def app(store: Store) -> FastAPI:
    app = FastAPI()
    problems.install(app)
    app.include_router(calls.router)
    install_state(app, api_token=TOKEN, store=store)
    return app


@pytest.fixture
async def api(app: FastAPI) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(
        transport=ASGITransport(app, raise_app_exceptions=False),
        base_url="http://bridge",
        headers={b"Authorization": f"Bearer {TOKEN}".encode()},
    ) as api:
        yield api


def problem_of(response: Response) -> dict[str, Any]:
    """The body of a problem response, after checking its headers and fixed fields."""
    assert response.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["status"] == response.status_code
    return problem


async def test_a_live_call_shows_its_transcript_so_far(api: AsyncClient, store: Store) -> None:
    store.save_call(
        "CA1", status="in-progress", from_number="+15551230001", to_number="+15551230002",
        agent_name="Ada", answered_by="human", started_at=datetime(2025, 6, 1, 12, tzinfo=UTC),
        usage={"input_audio": 7}, timings={"webhook_ms": 12.5},
        transfers=[{"destination": "desk", "outcome": "busy"}],
        cost={"currency": "USD", "model": None, "line": 0.0129, "unknown": ["model"]},
        recording="recordings/CA1.wav",
    )  # fmt: skip
    store.save_turns("CA1", [TurnRow(0, "assistant", "Hello", "item_a", 5.0, True, True, 400.0)])
    store.save_turns("CA1", [TurnRow(1, "tool", "", extra={"name": "weather"})])
    store.append_timeline("CA1", [TimelineRow(0, 1.5, "command", "ClearAudio", {"n": 1})])
    await store.flush()

    call = (await api.get("/calls/CA1")).json()

    assert datetime.fromisoformat(call.pop("created_at")).tzinfo is not None
    assert call == {
        "call_sid": "CA1",
        "status": "in-progress",
        "direction": "inbound",
        "from": "+15551230001",
        "to": "+15551230002",
        "started_at": "2025-06-01T12:00:00Z",
        "ended_at": None,
        "duration_s": None,
        "answered_by": "human",
        "agent": "Ada",
        "ended_by": None,
        "transcript": [
            {
                "role": "assistant", "text": "Hello", "cut": True, "estimated": True,
                "complete": True, "at_ms": 5.0, "heard_ms": 400.0, "item_id": "item_a", "extra": {},
            },
            {
                "role": "tool", "text": "", "cut": False, "estimated": False,
                "complete": True, "at_ms": 0.0, "heard_ms": None, "item_id": "",
                "extra": {"name": "weather"},
            },
        ],
        "events": [{"at_ms": 1.5, "kind": "command", "name": "ClearAudio", "data": {"n": 1}}],
        "usage": {"input_audio": 7},
        "timings": {"webhook_ms": 12.5},
        "transfers": [
            {
                "destination": "desk", "outcome": "busy",
                "reason": "", "summary": "", "warm": False, "seconds": None,
            },
        ],
        "summary": None,
        "cost": {"currency": "USD", "model": None, "line": 0.0129, "unknown": ["model"]},
        "recording": "recordings/CA1.wav",
    }  # fmt: skip


async def test_a_call_that_was_not_recorded_has_no_recording(
    api: AsyncClient, store: Store
) -> None:
    store.save_call("CA1", status="completed")
    await store.flush()

    call = (await api.get("/calls/CA1")).json()

    assert (call["cost"], call["recording"]) == ({}, None)


async def test_a_list_is_read_page_by_page(api: AsyncClient, store: Store) -> None:
    for number in range(3):
        store.save_call(f"CA{number}", status="busy" if number else "completed")
        await store.flush()

    first = (await api.get("/calls", params={"limit": 2})).json()
    second = (await api.get("/calls", params={"limit": 2, "before": first["next"]})).json()
    busy = (await api.get("/calls", params={"limit": 2, "status": "busy"})).json()

    assert [call["call_sid"] for call in first["calls"]] == ["CA2", "CA1"]
    assert [call["call_sid"] for call in second["calls"]] == ["CA0"]
    assert (first["next"], second["next"], busy["next"]) == ("CA1", None, None)
    assert [call["call_sid"] for call in busy["calls"]] == ["CA2", "CA1"]
    assert {"from", "to", "agent"} < first["calls"][0].keys()


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}"])
@pytest.mark.parametrize("path", ["/calls", "/calls/CA1"])
async def test_calls_need_the_token(api: AsyncClient, path: str, authorization: str | None) -> None:
    del api.headers["Authorization"]
    headers = {} if authorization is None else {b"Authorization": authorization.encode()}

    response = await api.get(path, headers=headers)

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert "API_TOKEN" in problem_of(response)["detail"]


async def test_an_empty_api_token_admits_no_request(api: AsyncClient, app: FastAPI) -> None:
    install_state(app, api_token="")

    response = await api.get("/calls", headers={"Authorization": "Bearer "})

    assert response.status_code == 401
    assert not token_matches("", "")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "query.limit"),
        ("limit=many", "query.limit"),
        ("status=gone", "query.status"),
    ],
)
async def test_the_wrong_field_of_a_query_is_named(
    api: AsyncClient, query: str, field: str
) -> None:
    response = await api.get(f"/calls?{query}")

    assert response.status_code == 422
    assert field in problem_of(response)["detail"]


async def test_a_page_before_an_unknown_call_is_not_found(api: AsyncClient) -> None:
    response = await api.get("/calls?before=CA9")

    assert response.status_code == 404
    assert "query.before" in problem_of(response)["detail"]


async def test_a_call_that_has_just_begun_is_found_at_once(api: AsyncClient, store: Store) -> None:
    store.save_call("CA1", status="queued")

    assert (await api.get("/calls/CA1")).json()["status"] == "queued"


@pytest.mark.parametrize("path", ["/calls/CA9", "/calls/%00", "/nothing"])
async def test_an_unknown_path_or_call_is_a_problem(api: AsyncClient, path: str) -> None:
    response = await api.get(path)

    assert response.status_code == 404
    assert problem_of(response)["title"] == "Not Found"


async def test_a_method_that_a_path_does_not_allow_is_a_problem(api: AsyncClient) -> None:
    response = await api.delete("/calls/CA1")

    assert response.status_code == 405
    assert response.headers["Allow"] == "GET"
    problem_of(response)


async def test_an_unavailable_database_is_a_503(api: AsyncClient, tmp_path: Path) -> None:
    file = tmp_path / "calls.db"
    file.unlink()
    file.mkdir()  # the file cannot be made anew

    response = await api.get("/calls")

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    problem_of(response)


async def test_an_unexpected_exception_shows_no_details(api: AsyncClient, app: FastAPI) -> None:
    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("inner secret")

    response = await api.get("/broken")

    assert response.status_code == 500
    assert "secret" not in response.text
    problem_of(response)


async def test_the_api_documents_its_responses_and_problems(api: AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()

    answers = document["paths"]["/calls/{call_sid}"]["get"]["responses"]
    assert answers.keys() == {"200", "401", "404", "422", "429", "503"}
    assert all("application/problem+json" in answers[s]["content"] for s in answers if s != "200")
    call = document["components"]["schemas"]["Call"]
    assert "transcript" in call["properties"]
    assert {"cost", "recording"} <= set(call["required"])
    assert all(call["properties"][name]["description"] for name in ("cost", "recording"))
    assert document["paths"]["/calls"]["get"]["security"] == [{"HTTPBearer": []}]
