"""A call with a model like Azure's, which takes `api-key` and `api-version` and nothing else."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, Omit

from app.config.settings import Settings
from app.simulator.realtime import Handshake, Options, RealtimeServer, Reply, Script
from app.wires.realtime.exchange import Exchange
from tests.records.after_call_scene import an_owner
from tests.service.test_service_after_call import SUMS_UP, told_to
from tests.service.world import noise, world

KEY = "the key of the resource"
VERSION = "2025-04-01-preview"
DEPLOYMENT = "our-phone-model"
AZURE = Options(api_key=KEY, api_version=VERSION)
#: What the owner sets, beside OPENAI_BASE_URL.
OWNER: Mapping[str, Any] = {
    "openai_api_key": None,
    "openai_api_headers": f"api-key: {KEY}",
    "openai_api_query": f"api-version={VERSION}&deployment={DEPLOYMENT}",
}
HELLO = Reply("Hello.", audio=noise(100, "hello"), speed=float("inf"))
ANSWER = Reply("Two pizzas, gladly.", audio=noise(100, "answer"), speed=float("inf"))
SPOKEN = (HELLO.audio or b"") + (ANSWER.audio or b"")
SUMMARY = "They want two pizzas."


async def test_a_call_and_its_summary_go_through_azures_door() -> None:
    async with an_owner() as owner:
        script = Script(HELLO, ANSWER, SUMMARY)
        async with world(script, agent=SUMS_UP, options=AZURE, **OWNER, **told_to(owner)) as w:
            call = await w.connected()
            await call.wait_quiet(1)
            session = await w.model.session()
            session.start_speech()
            session.stop_speech("Two pizzas, please.")
            await call.wait_heard(len(SPOKEN))
            call.hang_up()
            await call.wait_ended()
            report = await owner.report()
            record = await w.record(call.call_sid)
            logged = str([entry.__dict__ for entry in w.log.records])

    assert call.heard == SPOKEN
    assert [turn["text"] for turn in record["transcript"]] == [
        "Hello.",
        "Two pizzas, please.",
        "Two pizzas, gladly.",
    ]
    assert report["data"]["summary"] == SUMMARY
    assert [(shake.status, shake.path) for shake in w.model.handshakes] == [
        (101, f"/openai/realtime?api-version={VERSION}&deployment={DEPLOYMENT}")
    ] * 2
    assert [session.model for session in w.model.sessions] == [DEPLOYMENT] * 2
    assert KEY not in str(record) + str(report) + logged + repr(w.settings)


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"openai_api_key": "a key", "openai_api_headers": None}, 401),
        ({"openai_api_headers": "api-key: another"}, 401),
        ({"openai_api_query": f"deployment={DEPLOYMENT}"}, 404),
    ],
)
async def test_a_refused_azure_owner_reads_which_setting_to_check(
    wrong: Mapping[str, Any], status: int
) -> None:
    async with world(Script(), options=AZURE, **{**OWNER, **wrong}) as w:
        call = await w.line.call()
        await call.wait_ended()
        assert [shake.status for shake in w.model.handshakes] == [status]
        logged = str([entry.__dict__ for entry in w.log.records])

    assert ("OPENAI_API_HEADERS" if status == 401 else "OPENAI_API_QUERY") in logged
    assert KEY not in logged


# --- against a client that we did not write -----------------------------------------------------


def credentials(shake: Handshake) -> dict[str, str]:
    """The headers that a server may take a key from."""
    names = ("authorization", "api-key", "openai-beta")
    return {name: shake.headers[name] for name in names if name in shake.headers}


async def handshake_of_ours(server: RealtimeServer, **owner: Any) -> Handshake:
    """What a session sends under the owner's settings."""
    settings = Settings(_env_file=None, **owner)  # type: ignore[call-arg] # pydantic-settings'
    exchange = Exchange(settings.endpoint)
    await exchange.open()
    exchange.close()
    return server.handshakes[-1]


def compare(theirs: Handshake, ours: Handshake) -> None:
    assert (theirs.status, ours.status) == (101, 101)
    assert urlsplit(ours.path).path == urlsplit(theirs.path).path
    query, expected = (parse_qsl(urlsplit(shake.path).query) for shake in (ours, theirs))
    assert sorted(query) == sorted(expected)
    assert credentials(ours) == credentials(theirs)


async def test_azures_dated_api_sees_the_handshake_of_the_azure_client() -> None:
    async with RealtimeServer(Script(), options=AZURE) as server:
        api = AsyncAzureOpenAI(
            azure_endpoint="https://resource.example",
            websocket_base_url=server.base_url.replace("http", "ws", 1),
            api_key=KEY,
            api_version=VERSION,
        )
        async with api, api.realtime.connect(model=DEPLOYMENT):
            theirs = server.handshakes[-1]
        ours = await handshake_of_ours(
            server, **{**OWNER, "openai_base_url": server.base_url, "openai_api_key": "unused"}
        )

    compare(theirs, ours)
    assert credentials(ours) == {"api-key": KEY}


async def test_azures_v1_api_sees_the_handshake_of_the_plain_client() -> None:
    preview = Options(api_key=KEY, api_version="preview")
    headers: Any = {"api-key": KEY, "Authorization": Omit()}
    async with RealtimeServer(Script(), options=preview) as server:
        api = AsyncOpenAI(
            base_url=f"{server.base_url}/v1",
            api_key="unused",
            default_query={"api-version": "preview"},
            default_headers=headers,
        )
        async with api, api.realtime.connect(model=DEPLOYMENT):
            theirs = server.handshakes[-1]
        ours = await handshake_of_ours(
            server,
            openai_base_url=f"{server.base_url}/v1",
            openai_realtime_model=DEPLOYMENT,
            openai_api_headers=f"api-key: {KEY}",
            openai_api_query="api-version=preview",
        )

    compare(theirs, ours)
    assert urlsplit(ours.path).path == "/openai/v1/realtime"
