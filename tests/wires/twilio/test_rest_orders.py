"""Redirecting calls and placing calls over REST: no call is placed twice, whatever fails."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from app.errors import BridgeError, TwilioError
from app.wires.twilio.rest import LONGEST_INLINE_TWIML, CallOrder, TwilioRest
from tests.ports import free_port
from tests.wires.twilio.twilio_stand_in import (
    ACCOUNT,
    CALL,
    CALLS_PATH,
    DONE,
    PATH,
    PLACED,
    TOKEN,
    Answer,
    Twilio,
    breaks_off,
    says,
    says_html,
    says_json,
    twilio_that,
)

TWIML = "<Response><Dial>+15550101</Dial></Response>"
ORDER = CallOrder("+15550101", "+15550199", url="https://voice.example.com/outgoing-call/t0k")


@pytest.fixture
async def twilio() -> AsyncIterator[Twilio]:
    async with twilio_that(PLACED) as fake:
        yield fake


def rest(url: str, **options: float) -> TwilioRest:
    return TwilioRest(ACCOUNT, ACCOUNT, TOKEN, url, **{"backoff_s": 0.0, **options})


async def redirect(url: str, twiml: str = TWIML, **options: float) -> None:
    twilio_rest = rest(url, **options)
    try:
        await twilio_rest.redirect(CALL, twiml)
    finally:
        await twilio_rest.aclose()


async def place(url: str, order: CallOrder = ORDER, **options: float) -> str:
    twilio_rest = rest(url, **options)
    try:
        return await twilio_rest.place(order)
    finally:
        await twilio_rest.aclose()


# --- redirect -------------------------------------------------------------------------------------


async def test_a_live_call_runs_new_twiml(twilio: Twilio) -> None:
    twilio.answers = [DONE]
    await redirect(twilio.url)
    [(method, path, _, form)] = twilio.requests
    assert (method, path, form) == ("POST", PATH, {"Twiml": TWIML})


@pytest.mark.parametrize("answer", [says(404, 20404), says_html(404), says(400, 21220)])
async def test_a_call_that_has_ended_cannot_be_redirected(twilio: Twilio, answer: Answer) -> None:
    twilio.answers = [answer]
    with pytest.raises(TwilioError, match="redirect a call") as refused:
        await redirect(twilio.url)
    assert refused.value.call_is_over
    assert len(twilio.requests) == 1


@pytest.mark.parametrize("answer", [says(400, 12100), says(500), says(401, 20003)])
async def test_a_rejected_redirect_does_not_mean_that_the_call_is_over(
    twilio: Twilio, answer: Answer
) -> None:
    twilio.answers = [answer]
    with pytest.raises(TwilioError) as refused:
        await redirect(twilio.url)
    assert not refused.value.call_is_over


@pytest.mark.parametrize("trouble", [breaks_off, says(500), says(429, Retry_After="0")])
async def test_a_redirect_is_retried_after_passing_errors(twilio: Twilio, trouble: Answer) -> None:
    twilio.answers = [trouble, trouble, DONE]
    await redirect(twilio.url)
    assert [form for *_, form in twilio.requests] == [{"Twiml": TWIML}] * 3


async def test_twiml_that_is_too_long_is_not_sent(twilio: Twilio) -> None:
    twilio.answers = [DONE]
    longest = "é" * LONGEST_INLINE_TWIML
    await redirect(twilio.url, longest)
    with pytest.raises(BridgeError, match="4001 characters"):
        await redirect(twilio.url, longest + "é")
    assert len(twilio.requests) == 1


# --- place ----------------------------------------------------------------------------------------


async def test_a_call_is_placed_with_every_parameter(twilio: Twilio) -> None:
    order = CallOrder(
        "+15550101",
        "+15550199",
        url="https://voice.example.com/outgoing-call/t0k",
        status_callback="https://voice.example.com/call-status",
        ring_s=25,
        detect_machine_callback="https://voice.example.com/answering-machine",
        time_limit_s=3600,
    )
    assert await place(twilio.url, order) == CALL
    [(method, path, *_)] = twilio.requests
    assert (method, path) == ("POST", CALLS_PATH)
    assert twilio.forms == [
        {
            "To": ["+15550101"],
            "From": ["+15550199"],
            "Url": ["https://voice.example.com/outgoing-call/t0k"],
            "StatusCallback": ["https://voice.example.com/call-status"],
            "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
            "Timeout": ["25"],
            "MachineDetection": ["DetectMessageEnd"],
            "AsyncAmd": ["true"],
            "AsyncAmdStatusCallback": ["https://voice.example.com/answering-machine"],
            "TimeLimit": ["3600"],
        }
    ]


async def test_a_plain_call_has_no_optional_parameters(twilio: Twilio) -> None:
    await place(twilio.url, CallOrder("+15550101", "+15550199", twiml=TWIML))
    assert twilio.forms == [
        {"To": ["+15550101"], "From": ["+15550199"], "Timeout": ["30"], "Twiml": [TWIML]}
    ]


@pytest.mark.parametrize(
    "wrong",
    [{}, {"url": "https://x.example", "twiml": TWIML}, {"twiml": "x" * 4001}],
)
def test_a_call_needs_a_url_or_twiml_of_valid_length(
    wrong: dict[str, Any],
) -> None:
    with pytest.raises(BridgeError):
        CallOrder("+15550101", "+15550199", **wrong)


@pytest.mark.parametrize("ring_s", [0, 601])
def test_a_call_rings_for_1_to_600_seconds(ring_s: int) -> None:
    with pytest.raises(BridgeError, match="1 to 600"):
        CallOrder("+15550101", "+15550199", twiml=TWIML, ring_s=ring_s)


@pytest.mark.parametrize("trouble", [says(429, Retry_After="0"), says(503)])
async def test_a_call_that_was_certainly_not_placed_is_retried(
    twilio: Twilio, trouble: Answer
) -> None:
    twilio.answers = [trouble, trouble, PLACED]
    assert await place(twilio.url) == CALL
    assert len(twilio.requests) == 3


@pytest.mark.parametrize(
    "lost", [breaks_off, says(500), says_html(502), says(504), says_html(200), says_json({})]
)
async def test_a_call_is_not_retried_after_a_lost_response(twilio: Twilio, lost: Answer) -> None:
    twilio.answers = [lost, PLACED]
    with pytest.raises(TwilioError) as unknown:
        await place(twilio.url)
    assert unknown.value.unsure
    assert len(twilio.requests) == 1


async def test_a_call_is_not_retried_after_a_timeout(twilio: Twilio) -> None:
    released = asyncio.Event()

    async def silence(_: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    twilio.answers = [silence, PLACED]
    with pytest.raises(TwilioError) as unknown:
        await place(twilio.url, deadline_s=0.1)
    released.set()
    assert unknown.value.unsure
    assert len(twilio.requests) == 1


@pytest.mark.parametrize("answer", [says(400, 21211), says(401, 20003), says(429), says(503)])
async def test_a_rejected_call_is_certainly_not_placed(twilio: Twilio, answer: Answer) -> None:
    twilio.answers = [answer]
    with pytest.raises(TwilioError, match="place a call") as refused:
        await place(twilio.url)
    assert not refused.value.unsure


async def test_without_a_connection_a_call_is_certainly_not_placed() -> None:
    with pytest.raises(TwilioError, match="cannot be reached") as lost:
        await place(f"http://127.0.0.1:{free_port()}")
    assert not lost.value.unsure


async def test_a_connect_timeout_is_no_lost_response() -> None:
    waiting: list[socket.socket] = []
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(3):  # fills the backlog; the kernel then accepts no further connection
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(deaf.getsockname())
        with pytest.raises(TwilioError) as lost:
            await place(
                f"http://127.0.0.1:{deaf.getsockname()[1]}", deadline_s=1, total_s=1, backoff_s=5
            )
    for each in waiting:
        each.close()
    assert not lost.value.unsure


class _RetryLog(logging.Handler):
    """Waits for the log line of a failed attempt."""

    def __init__(self) -> None:
        super().__init__()
        self.logged = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.logged.set()


async def test_a_call_is_placed_once_twilio_can_be_reached_again() -> None:
    port, retries = free_port(), _RetryLog()
    rest_logger = logging.getLogger("app.wires.twilio.rest_http")
    rest_logger.addHandler(retries)
    ordering = asyncio.create_task(place(f"http://127.0.0.1:{port}", backoff_s=0.5))
    await retries.logged.wait()
    rest_logger.removeHandler(retries)
    async with await asyncio.start_server(_answers_placed, "127.0.0.1", port):
        assert await ordering == CALL


async def _answers_placed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    body = b'{"sid": "%s"}' % CALL.encode()
    head = b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    writer.write(head + body)
    await writer.drain()
    writer.close()


async def test_every_placed_call_uses_a_new_connection(twilio: Twilio) -> None:
    peers = []

    async def remembers(request: web.Request) -> web.StreamResponse:
        peers.append(request.transport and request.transport.get_extra_info("peername"))
        return await PLACED(request)

    twilio.answers = [remembers]
    twilio_rest = rest(twilio.url)
    await twilio_rest.place(ORDER)
    await twilio_rest.place(ORDER)
    await twilio_rest.aclose()
    assert peers[0] != peers[1]


@pytest.mark.parametrize("trouble", [says(429, Retry_After="30"), says(503)])
async def test_a_request_and_its_retries_end_within_the_total_deadline(
    twilio: Twilio, trouble: Answer
) -> None:
    twilio.answers = [trouble]
    async with asyncio.timeout(5):
        with pytest.raises(TwilioError):
            await place(twilio.url, total_s=2, longest_wait_s=30, backoff_s=30)
    assert len(twilio.requests) == 1
