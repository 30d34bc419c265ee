"""`GET /metrics` of a service that has had calls, and who may read it."""

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.simulator.realtime import Reply, Script
from tests.service.world import API_TOKEN, World, noise, world
from tests.web.test_metrics import NAMES

INF = float("inf")
HELLO = Reply("Hello.", audio=noise(200, "hello"), speed=INF)
ASKS = Reply(tool_calls=[("look_up", {"order": "Pizza"})])
ANSWER = Reply("It is on its way.", audio=noise(300, "answer"), speed=INF)
GOODBYE = Reply("Bye.", audio=noise(100, "bye"), tool_calls=[("end_call", {})], speed=INF)
METRICS_TOKEN = "the scraper's token"
TOOLS = '''
from app.tools import tool

@tool
def look_up(order: str) -> str:
    """Looks an order up.

    Args:
        order: what was ordered.
    """
    return "on its way"
'''
AGENT = """
name = "Tester"
instructions = "Be brief."
greeting = "Hello."
tools = "tools.py"
[turns]
silence_ms = 100
"""


async def scraped(w: World, token: str | None) -> tuple[int, str, str]:
    """The status, the type and the text of /metrics."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with w.http.get(f"{w.url}/metrics", headers=headers) as answer:
        return answer.status, answer.headers["Content-Type"], await answer.text()


async def test_a_call_is_counted_in_every_metric_that_it_concerns() -> None:
    script = Script(HELLO, ASKS, ANSWER, GOODBYE, heard=["Where is my pizza?", "Thank you."])
    async with world(script, agent=AGENT, tools=TOOLS, metrics_token=METRICS_TOKEN) as w:
        call = await w.connected()
        await call.wait_heard(200 * 8)
        await call.wait_quiet()
        call.say(noise(300, "question"))
        await call.wait_heard(500 * 8)
        await call.wait_quiet()
        status, kind, text = await scraped(w, METRICS_TOKEN)
        assert (status, kind.startswith("text/plain; version=0.0.4")) == (200, True)
        assert sample(text, "phone_agent_live_calls") == 1
        call.say(noise(300, "thanks"))
        await call.wait_ended()
        await w.settled()

        _, _, text = await scraped(w, API_TOKEN)
        families = {each.name: each.type for each in text_string_to_metric_families(text)}
        of_process = {name for name in families if name.startswith("process_")}
        assert {name: families[name] for name in families.keys() - of_process} == NAMES
        assert sample(text, "phone_agent_live_calls") == 0
        ended = {"direction": "inbound", "ended_by": "agent"}
        assert sample(text, "phone_agent_calls_total", **ended) == 1
        assert sample(text, "phone_agent_response_seconds_count") == 2
        assert 0 < sample(text, "phone_agent_response_seconds_sum") < 20
        returned = {"tool": "look_up", "outcome": "returned"}
        assert sample(text, "phone_agent_tool_seconds_count", **returned) == 1
        said = {"tool": "end_call", "outcome": "returned"}
        assert sample(text, "phone_agent_tool_seconds_count", **said) == 1
        record = await w.record(call.call_sid)
        known = [v for k, v in record["cost"].items() if isinstance(v, float) and k != "total"]
        assert sample(text, "phone_agent_cost_usd_total") == pytest.approx(sum(known))
        assert "+1555" not in text and "CA" not in text and "Tester" not in text


def sample(text: str, name: str, **labels: str) -> Any:
    (found,) = [
        each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
        if each.name == name and each.labels == labels
    ]
    return found


async def test_the_metrics_token_is_good_for_metrics_alone() -> None:
    async with world(Script(), metrics_token=METRICS_TOKEN) as w:
        for token, status in (
            (API_TOKEN, 200),
            (METRICS_TOKEN, 200),
            ("a guess", 401),
            (None, 401),
        ):
            assert (await scraped(w, token))[0] == status
        headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
        for path in ("/calls", "/openapi.json", "/metrics/more"):
            async with w.http.get(f"{w.url}{path}", headers=headers) as answer:
                assert answer.status == 401
        async with w.http.post(f"{w.url}/calls", headers=headers, json={"to": "+1"}) as answer:
            assert answer.status == 401


async def test_a_scraper_may_ask_for_the_head_or_for_another_format() -> None:
    async with world(Script(), metrics_token=METRICS_TOKEN) as w:
        headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
        async with w.http.head(f"{w.url}/metrics", headers=headers) as answer:
            assert answer.status == 200 and int(answer.headers["Content-Length"]) > 0
            assert not await answer.read()
        async with w.http.head(f"{w.url}/metrics") as answer:
            assert answer.status == 401
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        async with w.http.get(f"{w.url}/metrics", headers=headers | accept) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        async with w.http.post(f"{w.url}/metrics", headers=headers) as answer:
            assert answer.status == 405


async def test_without_a_metrics_token_an_empty_one_opens_nothing() -> None:
    async with world(Script()) as w:
        assert (await scraped(w, ""))[0] == 401
        assert (await scraped(w, API_TOKEN))[0] == 200
