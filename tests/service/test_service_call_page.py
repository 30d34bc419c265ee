"""GET /calls/{call_sid}/page and /report: a call to save, and to draw, from any replica."""

import gzip
import json
from base64 import b64decode
from typing import Any

import pytest

from app.audio import ulaw_decode
from app.simulator.realtime import Reply, Script
from tests.redis_server import shared_redis
from tests.service.api import api
from tests.service.routed_replicas import by_path, replicas
from tests.service.test_service_recording import RECORDED
from tests.service.world import API_TOKEN, World, noise, world
from tests.web.console.test_call_page import blocks

HELLO = Reply("Hello.", audio=noise(400, "greeting"), speed=float("inf"))
HERE, OTHER = 1, 0


async def fetch(w: World, call_sid: str) -> tuple[Any, str]:
    """The headers and the text of a call's page."""
    given = {"Authorization": f"Bearer {API_TOKEN}"}
    async with w.http.get(f"{w.url}/calls/{call_sid}/page", headers=given) as answer:
        assert answer.status == 200
        return answer.headers, await answer.text()


async def test_the_page_of_a_call_is_saved_and_not_opened_at_the_services_address() -> None:
    async with world(Script(HELLO)) as w:
        call = await w.connected()
        await call.wait_quiet(100)
        headers, page = await fetch(w, call.call_sid)
        assert headers["Content-Type"].startswith("text/html")
        assert headers["Content-Disposition"].startswith("attachment")
        assert "sandbox" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        data = json.loads(blocks(page)["call-data"])
        assert data["record"]["call_sid"] == call.call_sid and page.endswith("</html>\n")
        assert (await api(w, "GET", "/calls/CA9/page")).status == 404


@pytest.mark.timeout(120)
async def test_the_sound_of_another_replica_is_in_the_page_and_in_the_report(
    postgres_url: str,
) -> None:
    url = shared_redis().url
    async with replicas(Script(HELLO), postgres_url, url, agent=RECORDED) as r:
        r.route = by_path({}, otherwise=HERE)
        call = await r.connected()
        await call.wait_quiet(100)
        call.hang_up()
        await call.wait_ended()
        await r.settled()
        assert (await r.record(call.call_sid))["recording"]
        sides = set()
        for each in (r[HERE], r[OTHER]):
            _, page = await fetch(each, call.call_sid)
            sides.add(gzip.decompress(b64decode(blocks(page)["agent-sound"])))
            report = await api(each, "GET", f"/calls/{call.call_sid}/report")
            assert report.body["waveform"] is not None and not report.body["recording_fault"]
        (sound,) = sides
        # As samples: µ-law has two zeros.
        assert ulaw_decode(HELLO.audio or b"") in ulaw_decode(sound)
