"""`GET /calls` with a search, `GET /statistics`, `GET /calls/{call_sid}/report`, `GET /agent`."""

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from app.bridge.bus.local_bus import LocalBus
from app.bridge.recordings import Recordings
from app.bridge.requests import Requests
from app.records.digests.digest import digest_of
from app.records.store import Store
from app.web import problems
from app.web.api import agent, calls, report, statistics
from tests.records.report.recorded_call import AGENT, Story, pizza_call, transferred_call
from tests.web.stand_in_state import install_state

TOKEN = "a token"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(f"sqlite:///{tmp_path / 'calls.db'}")
    yield store
    await store.aclose()


@pytest.fixture
async def api(store: Store, tmp_path: Path) -> AsyncIterator[AsyncClient]:
    app = FastAPI()
    problems.install(app)
    for each in (agent, calls, report, statistics):
        app.include_router(each.router)
    services: Any = SimpleNamespace(
        store=store,
        agent=SimpleNamespace(agent=AGENT),
        recordings=tmp_path,
        bus=LocalBus(),
        embedded=False,
    )
    recordings = Recordings(services, Requests(services.bus))
    install_state(app, api_token=TOKEN, services=services, recordings=recordings)
    async with AsyncClient(
        transport=ASGITransport(app, raise_app_exceptions=False),
        base_url="http://bridge",
        headers={"Authorization": f"Bearer {TOKEN}"},
    ) as api:
        yield api


async def keep(store: Store, story: Story, created_at: datetime | None = None) -> None:
    """With its digest."""
    await story.save(store)
    call = await store.get_call(story.sid)
    assert call is not None
    digest = digest_of(call, story.turns(), await store.timeline(story.sid))
    await store.digests.save(story.sid, created_at or call.created_at, digest)


async def listed(api: AsyncClient, **query: str | int) -> list[str]:
    answer = await api.get("/calls", params=query)
    assert answer.status_code == 200, answer.text
    return [call["call_sid"] for call in answer.json()["calls"]]


async def test_a_call_is_found_by_what_was_said_and_by_its_number(
    api: AsyncClient, store: Store
) -> None:
    pizza, transferred = pizza_call(), transferred_call()
    transferred.sid = "CA" + "2" * 32
    await keep(store, pizza)
    await keep(store, transferred)
    assert await listed(api, search="margherita") == [pizza.sid]
    assert await listed(api, search="+1 555 010 9999") == [transferred.sid, pizza.sid]
    assert await listed(api, search="nothing like it") == []
    assert await listed(api, outcome="no-answer") == [transferred.sid]
    assert await listed(api, search="pizzeria", status="busy") == []
    assert await listed(api, search="pizzeria", status="completed", limit=1) == [transferred.sid]


async def test_a_day_is_one_of_the_askers(api: AsyncClient, store: Store) -> None:
    story = pizza_call()
    await keep(store, story, datetime(2026, 11, 30, 23, 30, tzinfo=UTC))
    assert await listed(api, day="2026-11-30") == [story.sid]
    assert await listed(api, day="2026-12-01", zone="Europe/Berlin") == [story.sid]
    assert await listed(api, day="2026-11-30", zone="Europe/Berlin") == []


@pytest.mark.parametrize("day", ["0", "-1", "1.5", "2026-11-31", "2026-11-30T00:00", "٢٠٢٦-11-30"])
async def test_a_day_that_is_none_is_refused(api: AsyncClient, day: str) -> None:
    answer = await api.get("/calls", params={"day": day})
    assert answer.status_code == 422 and "query.day" in answer.json()["detail"]


@pytest.mark.parametrize("zone", ["Nowhere/Nothing", "../etc/passwd", "/etc/passwd", "\x00"])
async def test_a_zone_that_is_none_is_refused(api: AsyncClient, zone: str) -> None:
    answer = await api.get("/calls", params={"zone": zone})
    assert answer.status_code == 422 and "query.zone" in answer.json()["detail"]


async def test_a_listed_call_is_told_at_a_glance(api: AsyncClient, store: Store) -> None:
    await keep(store, pizza_call())
    (call,) = (await api.get("/calls")).json()["calls"]
    assert call["ended_by"] and call["glance"]["interruptions"] == 1
    assert call["glance"]["response_ms"] > 0
    assert call["glance"]["cost_usd"] == pytest.approx(0.0185)


async def test_a_live_call_is_listed_without_a_glance(api: AsyncClient, store: Store) -> None:
    store.save_call("CA1", status="in-progress")
    await store.flush()
    (call,) = (await api.get("/calls")).json()["calls"]
    assert call["glance"] is None


async def test_a_page_before_an_unknown_call_is_not_found(api: AsyncClient) -> None:
    answer = await api.get("/calls", params={"search": "a", "before": "CA9"})
    assert answer.status_code == 404 and "query.before" in answer.json()["detail"]


async def test_figures_are_added_up_by_day(api: AsyncClient, store: Store) -> None:
    await keep(store, transferred_call(), datetime.now(UTC))
    old = pizza_call()
    old.sid = "CA" + "3" * 32
    await keep(store, old, datetime.now(UTC) - timedelta(days=40))
    (day,) = (await api.get("/statistics", params={"days": 7})).json()["days"]
    assert day["calls"] == 1 and day["transfers"]["busy"] == 1
    older, same = (await api.get("/statistics", params={"days": 60})).json()["days"]
    assert same == day and older["calls"] == older["interruptions"] == 1
    assert 0 < older["response_p50_ms"] <= older["response_p95_ms"]


async def test_the_report_has_both_sides_on_one_axis(
    api: AsyncClient, store: Store, tmp_path: Path
) -> None:
    story = pizza_call()
    await story.save(store, story.write_wav(tmp_path / "call.wav"))
    view = (await api.get(f"/calls/{story.sid}/report")).json()
    (cut,) = view["interruptions"]
    assert 0 < cut["heard_ms"] < cut["generated_ms"]
    assert any(turn["unheard"].endswith("wood oven.") for turn in view["turns"])
    assert [tool["name"] for tool in view["tools"]] == ["menu"]
    sides = [base64.b64decode(view["waveform"][side]) for side in ("caller", "agent")]
    assert len(sides[0]) == len(sides[1]) and all(max(side) > 50 for side in sides)
    assert len(sides[0]) * view["waveform"]["cell_ms"] == pytest.approx(story.now_ms, abs=20)
    for answer in view["answers"]:
        steps = [answer[f"{step}_ms"] for step in ("last_sound", "committed", "first_delta")]
        steps += [answer["sent_ms"], answer["heard_ms"]]
        known = [step for step in steps if step is not None]
        assert known == sorted(known) and answer["by_sound"]


async def test_a_report_without_a_recording_has_no_waveform(
    api: AsyncClient, store: Store, tmp_path: Path
) -> None:
    story = pizza_call()
    await story.save(store, tmp_path / "lost.wav")
    view = (await api.get(f"/calls/{story.sid}/report")).json()
    assert view["waveform"] is None and view["recording_fault"]
    assert str(tmp_path) not in view["recording_fault"]


async def test_a_call_that_is_none_has_no_report(api: AsyncClient) -> None:
    assert (await api.get("/calls/CA9/report")).status_code == 404


async def test_the_agent_has_a_name_and_destinations(api: AsyncClient) -> None:
    shown = (await api.get("/agent")).json()
    assert shown == {
        "name": "Mia",
        "destinations": ["Sales", "Support"],
        "understands": [],
        "listen_in": True,
    }
    answer = await api.get("/agent", headers={"Authorization": "Bearer wrong"})
    assert answer.status_code == 401
