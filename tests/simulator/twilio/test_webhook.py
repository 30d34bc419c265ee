"""Requests to the bridge: parameters, signature, and the answers that Twilio accepts."""

from collections.abc import AsyncIterator

import pytest
from multidict import MultiDict
from twilio.request_validator import RequestValidator

from app.simulator.twilio import PhoneLine, signature
from tests.simulator.twilio.twilio_bridge import PUBLIC, TOKEN, Request, TinyBridge, tiny_bridge


@pytest.fixture
async def bridge() -> AsyncIterator[TinyBridge]:
    async with tiny_bridge() as bridge:
        yield bridge


def is_signed(request: Request, url: str) -> bool:
    proof = request.headers["X-Twilio-Signature"]
    return bool(RequestValidator(TOKEN).validate(url, dict(request.form), proof))


def test_the_signature_of_a_form() -> None:
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    params = {
        "To": "+18005551212",
        "Digits": "1234",
        "From": "+14158675310",
        "Caller": "+14158675310",
        "CallSid": "CA1234567890ABCDE",
    }
    assert signature("12345", url, params.items()) == "GvWf1cFY/Q7PnoempGyD5oXAezc="
    assert (
        RequestValidator("12345").compute_signature(url, params) == "GvWf1cFY/Q7PnoempGyD5oXAezc="
    )


def test_the_signature_of_a_socket() -> None:
    url = "wss://voice.example.com/twilio/stream"
    assert signature("12345", url) == "t/8qbLNvETeS9S8Jhtt2tU1aQPg="


def test_the_signature_counts_repeated_names_and_blank_values() -> None:
    params = [("b", "2"), ("a", ""), ("b", "1"), ("b", "2")]
    expected = RequestValidator("12345").compute_signature(PUBLIC, MultiDict(params))
    assert signature("12345", PUBLIC, params) == expected


@pytest.mark.parametrize("whole", [False, True])
async def test_the_webhook_is_posted_and_signed_for_its_public_url(
    bridge: TinyBridge, whole: bool
) -> None:
    public_url = f"{PUBLIC}/incoming-call?tenant=7" if whole else PUBLIC
    async with PhoneLine(bridge.url, auth_token=TOKEN, public_url=public_url) as line:
        call = await line.call(from_="+15550100002", to="+15550109998")
        await call.wait_ended()
    (request,) = bridge.requests
    assert request.method == "POST"
    assert request.path == "/incoming-call" + ("?tenant=7" if whole else "")
    assert request.headers["Host"] == "bridge.example.com"
    assert request.headers["X-Forwarded-Proto"] == "https"
    assert is_signed(request, PUBLIC + request.path)
    assert not is_signed(request, bridge.url)
    form = dict(request.form)
    assert (
        form.items()
        >= {
            "CallSid": call.call_sid,
            "AccountSid": line.account_sid,
            "From": "+15550100002",
            "To": "+15550109998",
            "Caller": "+15550100002",
            "Called": "+15550109998",
            "CallStatus": "ringing",
            "Direction": "inbound",
            "ApiVersion": "2010-04-01",
            "FromCity": "",
        }.items()
    )
    assert call.status == "completed"
    assert call.errors == []


async def test_without_a_public_url_the_webhook_is_signed_as_it_is(bridge: TinyBridge) -> None:
    async with PhoneLine(bridge.url, auth_token=TOKEN) as line:
        await (await line.call()).wait_ended()
    (request,) = bridge.requests
    assert is_signed(request, bridge.url)
    assert request.headers["X-Forwarded-Proto"] == "http"


async def test_the_softphone_sends_its_token_and_no_signature(bridge: TinyBridge) -> None:
    async with PhoneLine(bridge.url, api_token="let-me-in") as line:
        await (await line.call()).wait_ended()
    (request,) = bridge.requests
    assert request.headers["Authorization"] == "Bearer let-me-in"
    assert "X-Twilio-Signature" not in request.headers


async def test_a_get_carries_its_parameters_in_the_signed_url(bridge: TinyBridge) -> None:
    bridge.answer("/incoming-call", '<Redirect method="GET">/next?step=1</Redirect>')
    async with PhoneLine(bridge.url, auth_token=TOKEN, public_url=PUBLIC) as line:
        call = await line.call()
        await call.wait_ended()
    request = bridge.requests[1]
    assert request.method == "GET"
    assert request.path.startswith("/next?step=1&AccountSid=AC")
    assert f"&CallSid={call.call_sid}&" in request.path
    assert request.form == []
    assert is_signed(request, PUBLIC + request.path)


@pytest.mark.parametrize("status", [302, 403, 404, 503])
async def test_a_webhook_that_fails(bridge: TinyBridge, status: int) -> None:
    bridge.status = status
    async with PhoneLine(bridge.url) as line:
        call = await line.call()
        await call.wait_ended()
    assert call.error_codes == [11200]
    assert str(status) in call.errors[0][1]
    assert call.requests[0].status == status
    assert call.twiml_history == []


async def test_a_webhook_that_hangs(bridge: TinyBridge) -> None:
    bridge.hold_webhooks = True
    async with PhoneLine(bridge.url, webhook_timeout_s=0.05) as line:
        call = await line.call()
        await call.wait_ended()
        assert call.error_codes == [11200]
        assert 40 <= call.requests[0].took_ms < 5000


async def test_an_answer_that_is_not_xml_by_its_type(bridge: TinyBridge) -> None:
    bridge.content_type = "application/json"
    async with PhoneLine(bridge.url) as line:
        call = await line.call()
        await call.wait_ended()
    assert call.error_codes == [11200]


async def test_an_answer_beyond_64_kb(bridge: TinyBridge) -> None:
    bridge.answer("/incoming-call", f"<Say>{'a' * 65_536}</Say>")
    async with PhoneLine(bridge.url) as line:
        call = await line.call()
        await call.wait_ended()
    assert call.error_codes == [11750]


async def test_the_end_of_a_call_is_reported(bridge: TinyBridge) -> None:
    async with PhoneLine(
        bridge.url, auth_token=TOKEN, public_url=PUBLIC, status_callback_url="/call-status"
    ) as line:
        call = await line.call()
        await call.wait_ended()
    request = bridge.requests[-1]
    assert request.path == "/call-status"
    assert is_signed(request, f"{PUBLIC}/call-status")
    form = dict(request.form)
    assert form["CallSid"] == call.call_sid
    assert form["CallStatus"] == "completed"
    assert form["CallDuration"] == str(call.duration_s())
    assert form["SequenceNumber"] == "0"
    assert form["CallbackSource"] == "call-progress-events"
    assert form["Timestamp"].endswith("+0000") or form["Timestamp"].endswith("-0000")


def test_only_a_loopback_webhook_can_be_called() -> None:
    line = PhoneLine("https://bridge.example.com/incoming-call")
    with pytest.raises(RuntimeError, match="async with"):
        line.ring()


async def test_a_webhook_must_be_plain_http() -> None:
    with pytest.raises(ValueError, match="http://host:port/path"):
        async with PhoneLine("https://bridge.example.com/incoming-call"):
            pass


def test_an_unknown_delivery_of_callbacks_is_refused() -> None:
    with pytest.raises(ValueError, match="shuffled"):
        PhoneLine("http://127.0.0.1:1/", callbacks="lost")
