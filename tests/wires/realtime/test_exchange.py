"""An exchange: one request and its answer in a short session, which never outlives it."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from app.call.events import AudioReceived, ResponseDone
from app.errors import ModelError
from app.simulator.realtime import Fault, Interceptor, Options, RealtimeServer, Reply, Script
from app.simulator.realtime import Session as SimulatedSession
from app.wires.realtime.endpoint import Endpoint
from app.wires.realtime.exchange import Exchange, ask
from app.wires.realtime.socket import HandshakeRefused

AT_ONCE = Options(speed=float("inf"))
PCM = {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"}


@asynccontextmanager
async def model(*replies: Reply | str, **on: Interceptor) -> AsyncIterator[RealtimeServer]:
    """A model; `on`: what it does in place of its answer to an event, `_` for a dot in its type."""
    server = RealtimeServer(Script(*replies), options=AT_ONCE)
    server.fault = Fault(on={name.replace("_", "."): do for name, do in on.items()})
    async with server:
        yield server


def endpoint(server: RealtimeServer) -> Endpoint:
    return Endpoint(server.base_url.replace("http", "ws", 1) + "/realtime", "gpt-realtime", "key")


def sends(*events: dict[str, Any] | str) -> Interceptor:
    """The model sends these instead."""

    def intercept(session: SimulatedSession, _event: Mapping[str, Any]) -> bool:
        for event in events:
            session.send_raw(event if isinstance(event, str) else json.dumps(event))
        return True

    return intercept


async def asked(server: RealtimeServer, deadline_s: float = 5.0) -> str:
    """The text of an answer; the session is closed afterwards."""
    try:
        answer = await ask(endpoint(server), "Be brief.", "What is it?", deadline_s=deadline_s)
        return answer.text
    finally:
        await asyncio.gather(*(session.closed.wait() for session in server.sessions))


def done(status: str = "completed", **more: Any) -> dict[str, Any]:
    return {"type": "response.done", "response": {"id": "resp_1", "status": status, **more}}


async def test_the_answer_has_its_text_and_its_usage() -> None:
    async with model("A short answer.") as server:
        answer = await ask(endpoint(server), "Be brief.", "What is it?", deadline_s=5)
        (session,) = server.sessions
        await session.closed.wait()

    assert answer.text == "A short answer."
    assert answer.usage.output_text > 0
    assert session.config["instructions"] == "Be brief."
    assert session.config["output_modalities"] == ["text"]
    assert [item.text for item in session.items] == ["What is it?", "A short answer."]


async def test_a_server_without_text_deltas_is_understood() -> None:
    whole = {"type": "response.output_text.done", "item_id": "a", "text": " Yes. "}
    async with model(response_create=sends(whole, done())) as server:
        assert await asked(server) == "Yes."


async def test_the_beta_names_and_unknown_events_are_understood() -> None:
    text = {"type": "response.text.delta", "item_id": "a", "delta": "Yes"}
    more = {"type": "response.text.delta", "item_id": "b", "delta": " No "}
    events = sends(text, {"type": "response.news"}, {**text, "delta": "."}, more, done())
    async with model(response_create=events) as server:
        assert await asked(server) == "Yes.\nNo"


@pytest.mark.parametrize(
    ("code", "fatal"),
    [("insufficient_quota", True), ("session_expired", False), ("server_error", False)],
)
async def test_an_error_event_ends_the_exchange_and_says_whether_to_ask_again(
    code: str, fatal: bool
) -> None:
    error = {"type": "error", "error": {"type": "invalid_request_error", "code": code}}
    for event in ("session_update", "response_create"):
        async with model(**{event: sends(error)}) as server:
            with pytest.raises(ModelError, match=f"reported {code}") as failed:
                await asked(server)
            assert failed.value.fatal == fatal


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (done("failed", status_details={"error": {"code": "server_error"}}), "failed: server_err"),
        (done("incomplete", status_details={"reason": "content_filter"}), "content_filter"),
        (done("cancelled"), "cancelled: no reason given"),
        ("nonsense", "malformed event"),
        ('{"type": "response.done"}', "malformed response.done"),
    ],
)
async def test_a_response_that_is_not_completed_is_an_error(
    event: dict[str, Any] | str, reason: str
) -> None:
    async with model(response_create=sends(event)) as server:
        with pytest.raises(ModelError, match=reason):
            await asked(server)


async def test_a_model_that_misses_the_deadline_is_an_error() -> None:
    for event in ("session_update", "response_create"):
        async with model(**{event: sends()}) as server:
            with pytest.raises(ModelError, match=r"within 0\.05 s"):
                await asked(server, deadline_s=0.05)


async def test_a_refused_handshake_is_fatal() -> None:
    async with model() as server:
        server.fault = Fault(refuse_status=404)
        with pytest.raises(HandshakeRefused, match="OPENAI_API_QUERY") as refused:
            await asked(server)
    assert refused.value.fatal


async def test_spoken_answers_come_as_they_are_sent_and_one_session_gives_several() -> None:
    async with model(Reply("One.", speed=1.0), "Two.") as server:
        exchange = Exchange(endpoint(server), voice=PCM)
        await exchange.open()
        events = [event async for event in exchange.answer(instructions="Say one.")]
        assert isinstance(events[0], AudioReceived) and isinstance(events[-1], ResponseDone)
        async with aclosing(exchange.answer(instructions="Say two.")) as answer:
            await anext(answer)
        assert exchange.lost
        (session,) = server.sessions
        await session.closed.wait()
    assert session.config["audio"]["output"]["format"] == PCM["format"]
    with pytest.raises(ModelError, match="connection ended"):
        [event async for event in exchange.answer()]


async def test_a_burst_of_events_is_read_to_its_end() -> None:
    text = {"type": "response.output_text.delta", "item_id": "a", "delta": "ha "}
    async with model(response_create=sends(*[text] * 2000, done())) as server:
        assert await asked(server) == ("ha " * 2000).strip()
