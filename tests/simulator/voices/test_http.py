"""The stand-in for a custom HTTP text-to-speech server."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from app.simulator.voices.http import HttpStandIn
from app.simulator.voices.mouth import Plan, PlanFor, always, tones

TEXT = "One moment please."
EXTENDED = {"InstanceId": "inst-0001", "ChannelId": "chan-0001", "SentenceId": 3}


def body(**changes: Any) -> dict[str, Any]:
    """A valid request; a change to None removes the field."""
    whole = {"Text": TEXT, "SampleRate": 8000, "ExtendData": json.dumps(EXTENDED), **changes}
    return {name: value for name, value in whole.items() if value is not None}


def extended(**changes: Any) -> str:
    whole = {**EXTENDED, **changes}
    return json.dumps({name: value for name, value in whole.items() if value is not None})


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


async def test_a_text_is_answered_with_raw_pcm_labelled_mpeg(http: aiohttp.ClientSession) -> None:
    async with HttpStandIn(token="secret") as server:
        async with http.post(server.url, json=body(Token="secret", VoiceId="Ann")) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "audio/mpeg"
            assert answer.headers["Transfer-Encoding"] == "chunked"
            pcm = await answer.read()

    (said,) = server.heard.said
    assert pcm == said.spoken.pcm == tones(TEXT, 8000).pcm
    assert (said.text, said.hz, said.sent_bytes) == (TEXT, 8000, len(pcm))
    assert said.whole and not said.dropped
    assert server.requests == [body(Token="secret", VoiceId="Ann", ExtendData=EXTENDED)]


@pytest.mark.parametrize("hz", [8000, 16000, 24000, 48000])
async def test_the_rate_is_the_one_that_was_asked_for(http: aiohttp.ClientSession, hz: int) -> None:
    async with HttpStandIn() as server:
        async with http.post(server.url, json=body(SampleRate=hz)) as answer:
            assert await answer.read() == tones(TEXT, hz).pcm


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (body(Text=None), "Text: missing"),
        (body(Text=7), "Text: expected str"),
        (body(SampleRate=None), "SampleRate: missing"),
        (body(SampleRate="8000"), "SampleRate: expected int"),
        (body(SampleRate=True), "SampleRate: expected int"),
        (body(SampleRate=11025), "SampleRate: expected one of"),
        (body(ExtendData=None), "ExtendData: missing"),
        (body(ExtendData=EXTENDED), "ExtendData: expected str"),
        (body(ExtendData="[]"), "ExtendData: expected an object"),
        (body(ExtendData=extended(SentenceId="3")), "SentenceId: expected int"),
        (body(ExtendData=extended(InstanceId=None)), "InstanceId: missing"),
        (body(ExtendData=extended(Mood="happy")), "Mood is unknown"),
        (body(ExtendData=extended(Emotion="angry")), "Emotion: expected one of"),
        (body(Teks="Halo"), "Teks is unknown"),
        (["Text"], "body: expected an object"),
    ],
)
async def test_a_wrong_field_is_refused_by_name(
    http: aiohttp.ClientSession, wrong: object, told: str
) -> None:
    async with HttpStandIn() as server:
        async with http.post(server.url, json=wrong) as answer:
            assert answer.status == 400
            assert told in await answer.text()
    assert server.heard.said == []


async def test_forms_are_read_as_well_as_json(http: aiohttp.ClientSession) -> None:
    fields = body(Token="secret", ExtendData=extended(Emotion="happy"))
    multipart = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        multipart.add_field(name, str(value))
    async with HttpStandIn(token="secret") as server:
        for request in ({"json": fields}, {"data": fields}, {"data": multipart}):
            async with http.post(server.url, **request) as answer:
                assert await answer.read() == tones(TEXT, 8000).pcm
        async with http.post(server.url, data=body(SampleRate="high", Token="secret")) as answer:
            assert (answer.status, await answer.text()) == (400, "SampleRate: expected int")
    assert server.requests == [{**fields, "ExtendData": {**EXTENDED, "Emotion": "happy"}}] * 3


@pytest.mark.parametrize("token", [None, "", "other"])
async def test_without_its_token_nothing_is_said(
    http: aiohttp.ClientSession, token: str | None
) -> None:
    async with HttpStandIn(token="secret") as server:
        async with http.post(server.url, json=body(Token=token)) as answer:
            assert answer.status == 401
    assert (server.heard.said, server.requests) == ([], [])


# --- faults ---------------------------------------------------------------------------------------


def plan(**values: Any) -> PlanFor:
    return lambda _text: Plan(**values)


@pytest.mark.parametrize(("fault", "status"), [("refuse", 503), ("error", 500)])
async def test_a_fault_before_any_sound_has_a_status(
    http: aiohttp.ClientSession, fault: str, status: int
) -> None:
    async with HttpStandIn(plan=plan(fault=fault)) as server:
        async with http.post(server.url, json=body()) as answer:
            assert answer.status == status
        async with http.options(server.url) as answer:
            assert answer.status == 405
    assert not any(said.whole for said in server.heard.said)
    assert server.heard.connections == 1


@pytest.mark.parametrize("fault", ["drop", "error"])
async def test_a_fault_after_sound_cuts_the_body(http: aiohttp.ClientSession, fault: str) -> None:
    async with HttpStandIn(plan=plan(fault=fault, fault_after_bytes=10001)) as server:
        async with http.post(server.url, json=body()) as answer:
            assert answer.status == 200
            heard = b""
            with pytest.raises(aiohttp.ClientPayloadError):
                async for chunk in answer.content.iter_any():
                    heard += chunk
    (said,) = server.heard.said
    assert heard == said.spoken.pcm[:10001]
    assert (said.sent_bytes, said.whole, said.dropped) == (10001, False, False)


async def test_a_client_that_closes_a_stalled_answer_is_noticed(
    http: aiohttp.ClientSession,
) -> None:
    async with HttpStandIn(plan=plan(fault="stall", fault_after_bytes=320)) as server:
        answer = await http.post(server.url, json=body())
        assert await answer.content.readexactly(320) == tones(TEXT, 8000).pcm[:320]
        (said,) = server.heard.said
        answer.close()
        await server.wait_silent()
    assert (said.sent_bytes, said.whole, said.dropped) == (320, False, True)


async def test_the_plan_sets_delay_and_speed(http: aiohttp.ClientSession) -> None:
    now_s = asyncio.get_running_loop().time
    text = "Hello there."  # 12 characters of 60 ms without the space: 660 ms
    slow = plan(delay_ms=30, speed=10, chunk_ms=60)
    async with HttpStandIn(plan=slow) as server:
        began_s = now_s()
        async with http.post(server.url, json=body(Text=text)) as answer:
            await answer.content.readexactly(60 * 16)
            assert now_s() - began_s >= 0.03
            assert await answer.content.read()
            assert now_s() - began_s >= 0.03 + (660 - 60) / 1000 / 10
        (said,) = server.heard.said
        assert said.whole


async def test_each_text_has_a_plan_of_its_own(http: aiohttp.ClientSession) -> None:
    async with HttpStandIn(
        plan=lambda text: Plan(fault="refuse") if "no" in text else always(text)
    ) as server:
        statuses = []
        for text in ("yes", "no", "yes"):
            async with http.post(server.url, json=body(Text=text)) as answer:
                statuses.append(answer.status)
                await answer.read()
    assert statuses == [200, 503, 200]
    assert [said.text for said in server.heard.said] == ["yes", "yes"]
