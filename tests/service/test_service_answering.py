"""The webhooks of a number: who is let in, and what they are answered."""

import asyncio
from typing import Any

import pytest

from app.simulator.realtime import Options, RealtimeServer, Reply, Script
from app.simulator.twilio import Callee, signature
from tests.service.raw_twilio import CALL_SID, call_form, raw_stream, refusal, request
from tests.service.twiml_check import check_twiml
from tests.service.world import (
    API_TOKEN,
    AUTH_TOKEN,
    PUBLIC_URL,
    World,
    names,
    noise,
    world,
)

HELLO = Reply("Hello.", audio=noise(100, "hello"), speed=float("inf"))
ENDED = {"CallSid": CALL_SID, "CallStatus": "completed"}


async def end(w: World) -> None:
    """Let go of the leg that a webhook opened: the call is over."""
    assert (await request(w, "/call-status", ENDED)).status == 204
    await w.settled()


async def test_a_call_that_comes_in_is_joined_to_a_stream_of_its_own() -> None:
    async with world(Script(HELLO)) as w:
        answer = await request(w)

        assert check_twiml(answer.body) == ["Connect", "Hangup"]
        assert answer.stream_url.startswith("wss://bridge.example.com/media-stream/")
        connect = answer.twiml.find("Connect")
        assert connect is not None
        assert connect.attrib == {"action": f"{PUBLIC_URL}/stream-ended", "method": "POST"}
        await end(w)


async def test_a_webhook_is_answered_by_either_method() -> None:
    async with world(Script(HELLO)) as w:
        answer = await request(w, method="GET")
        assert check_twiml(answer.body) == ["Connect", "Hangup"]
        await end(w)
        record = await w.record(CALL_SID)
        assert (record["from"], record["to"]) == ("+15550100001", "+15550109999")


async def test_nothing_happens_without_a_valid_signature() -> None:
    wrong: list[dict[str, Any]] = [
        {"token": None},
        {"token": ""},
        {"token": "another account's"},
        {"url": "https://elsewhere.example.com/incoming-call"},
        {"url": "http://bridge.example.com/incoming-call"},
        {"signed_form": call_form("CA" + "8" * 32)},
        {"token": None, "headers": {"X-Twilio-Signature": ""}},
        {"token": None, "headers": {"X-Twilio-Signature": "\xff not base64"}},
        {"token": None, "headers": {"Authorization": f"Bearer {API_TOKEN}"}},
    ]
    async with world(Script()) as w:
        for fault in wrong:
            answers = [
                await request(w, path, **fault)
                for path in ("/incoming-call", "/call-status", "/stream-ended")
            ]
            if "signed_form" not in fault:  # it is in the URL of a GET, or nowhere
                answers.append(await request(w, method="GET", **fault))
            for answer in answers:
                assert (answer.status, answer.content_type) == (403, "application/problem+json")

        assert w.switchboard.live_calls == 0
        assert not w.model.handshakes
        await w.store.flush()
        assert await w.store.list_calls() == []
        assert w.log.of("webhook without a valid signature refused")


async def test_blank_and_repeated_parameters_are_signed_too() -> None:
    async with world(Script(HELLO)) as w:
        pairs = [*call_form().items(), ("Extra", "b"), ("Extra", "a"), ("Extra", ""), ("Blank", "")]
        assert (await request(w, form=pairs)).status == 200

        without_blanks = [(name, value) for name, value in pairs if value]
        wrong = await request(w, form=pairs, signed_form=[*without_blanks, ("FromCity", "x")])
        assert wrong.status == 403
        await end(w)


async def test_a_wrong_request_is_a_problem_and_no_call() -> None:
    async with world(Script()) as w:
        assert (await request(w, form={"From": "+15550100001"})).status == 400
        assert (await request(w, form=call_form(Note="x" * 70_000))).status == 413
        assert w.switchboard.live_calls == 0


async def test_behind_a_proxy_the_address_is_what_the_proxy_says() -> None:
    async with world(Script(HELLO), public_url=None) as w:
        forwarded = {
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "abc.tunnel.example",
            "Host": "127.0.0.1:5050",
        }
        url = "https://abc.tunnel.example/incoming-call"
        answer = await request(w, url=url, headers=forwarded)
        assert answer.stream_url.startswith("wss://abc.tunnel.example/media-stream/")
        url = "https://abc.tunnel.example/call-status"
        assert (await request(w, "/call-status", ENDED, url=url, headers=forwarded)).status == 204
        await w.settled()


async def test_forwarded_headers_of_a_stranger_count_for_nothing() -> None:
    async with world(Script(HELLO), public_url=None, trusted_proxies="10.0.0.0/8") as w:
        forged = {
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "evil.example",
            "Host": "bridge.example.com",
        }
        url = "https://evil.example/incoming-call"
        assert (await request(w, url=url, headers=forged)).status == 403

        url = "http://bridge.example.com/incoming-call"
        answer = await request(w, url=url, headers=forged)
        assert answer.stream_url.startswith("wss://bridge.example.com/media-stream/")
        url = "http://bridge.example.com/call-status"
        assert (await request(w, "/call-status", ENDED, url=url, headers=forged)).status == 204
        await w.settled()


async def test_a_public_url_may_have_a_path() -> None:
    base = "https://example.com/telephone/bridge"
    async with world(Script(HELLO), public_url=f"{base}/") as w:
        answer = await request(w, url=f"{base}/incoming-call")
        assert answer.stream_url.startswith("wss://example.com/telephone/bridge/media-stream/")
        connect = answer.twiml.find("Connect")
        assert connect is not None and connect.attrib["action"] == f"{base}/stream-ended"
        assert (await request(w)).status == 403  # signed for the address without the path

        # The proxy takes the path away; what is signed has it.
        url = answer.stream_url.replace("/telephone/bridge", "")
        assert await refusal(w, url) == 403
        right = signature(AUTH_TOKEN, answer.stream_url)
        async with raw_stream(w, url, signed=right) as stream:
            await stream.start()
            assert (await stream.receive())["event"] in ("mark", "media")
        await w.settled()


async def test_the_webhook_is_answered_while_the_model_hangs() -> None:
    async with world(Script(HELLO)) as w:
        w.model.hang()
        call = await w.line.call()
        assert call.requests[0].status == 200
        assert check_twiml(call.requests[0].body) == ["Connect", "Hangup"]
        assert w.log.of("model not ready at the webhook")
        assert not w.model.handshakes  # the model has not answered so far

        await call.wait_connected()
        await w.model.resume()
        await call.wait_quiet()
        assert call.heard == HELLO.audio
        call.hang_up()
        await call.wait_ended()


async def test_a_repeated_webhook_gets_the_same_session() -> None:
    async with world(Script(HELLO)) as w:
        first, second = await request(w), await request(w)
        assert first.ticket != second.ticket
        assert (len(w.model.handshakes), w.switchboard.live_calls) == (1, 1)
        async with raw_stream(w, second.stream_url) as stream:
            await stream.start()
            assert (await stream.receive())["event"] in ("mark", "media")
            assert (len(w.model.handshakes), w.switchboard.live_calls) == (1, 1)
        await w.settled()


async def test_without_twilio_only_the_token_lets_calls_in() -> None:
    line = {"auth_token": "", "api_token": API_TOKEN}
    async with world(
        Script(HELLO), line=line, twilio_account_sid=None, twilio_auth_token=None
    ) as w:
        for headers in (
            {},
            {"Authorization": "Bearer something else"},
            {"Authorization": f"Basic {API_TOKEN}"},
        ):
            assert (await request(w, token=None, headers=headers)).status == 403
        assert (await request(w, token="")).status == 403  # signed with an empty key

        call = await w.connected()
        await call.wait_quiet()
        assert call.heard == HELLO.audio
        call.hang_up()
        await call.wait_ended()


async def test_call_status_may_come_in_any_order_and_again() -> None:
    async with world(Script(HELLO)) as w:
        call = await w.connected()
        await call.wait_quiet()
        statuses = ["in-progress", "initiated", "ringing", "in-progress", "in-progress", "queued"]
        for status in statuses:
            form = {"CallSid": call.call_sid, "CallStatus": status, "AnsweredBy": "human"}
            assert (await request(w, "/call-status", form)).status == 204
        assert (await w.record(call.call_sid))["status"] == "in-progress"
        call.hang_up()
        await call.wait_ended()
        await w.settled()
        for status in ["completed", "in-progress", "completed", "ringing", "busy", "nonsense"]:
            form = {"CallSid": call.call_sid, "CallStatus": status}
            assert (await request(w, "/call-status", form)).status == 204
        record = await w.record(call.call_sid)
        assert (record["status"], record["answered_by"]) == ("completed", "human")
        assert record["ended_by"] == "caller"


async def test_a_call_that_ended_before_its_stream_needs_no_leg() -> None:
    async with world(Script(HELLO)) as w:
        await request(w)
        session = await w.model.session()
        form = {"CallSid": CALL_SID, "CallStatus": "no-answer"}
        assert (await request(w, "/call-status", form)).status == 204
        await session.closed.wait()
        await w.settled()
        record = await w.record(CALL_SID)
        assert (record["status"], record["started_at"]) == ("no-answer", None)
        assert names(record)[-1] == "StreamEnded"


@pytest.mark.parametrize("number", [None, "+14155550123"])
async def test_a_model_that_cannot_be_had_is_apologised_for(number: str | None) -> None:
    server = RealtimeServer(Script())
    async with world(server, transfer_number=number) as w:
        w.line.callee = Callee(presses="1", talks_ms=10)
        server.options = Options(api_key="another key")
        call = await w.line.call()
        await call.wait_ended()

        assert len(call.said) == 1 and call.said[0].startswith("We are sorry")
        assert [dialed.target for dialed in call.dialed] == ([number] if number else [])
        for document in call.twiml_history:
            check_twiml(document)
        assert (call.status, call.heard) == ("completed", b"")
        await w.settled()
        record = await w.record(call.call_sid)
        assert (record["status"], record["ended_by"]) == ("completed", "model")
        assert [h.status for h in server.handshakes] == [401]


async def test_only_what_twilio_calls_and_health_answer_without_the_token() -> None:
    async with world(Script()) as w:
        answers = await asyncio.gather(
            *(w.status_of(path) for path in ("/healthz", "/readyz", "/calls", "/calls/CA1", "/x"))
        )
        assert answers == [200, 200, 401, 401, 404]
