"""Hanging up over REST, and what every request has: credentials, retries, deadlines, privacy."""

import asyncio
import logging
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from email.utils import formatdate

import pytest
from aiohttp import web

from app.errors import TwilioError
from app.wires.twilio.rest import TwilioRest
from tests.ports import free_port
from tests.wires.twilio.twilio_stand_in import (
    ACCOUNT,
    CALL,
    DONE,
    PATH,
    TOKEN,
    Answer,
    Twilio,
    breaks_off,
    says,
    says_html,
    says_json,
    twilio_that,
)


@pytest.fixture
async def twilio() -> AsyncIterator[Twilio]:
    async with twilio_that(DONE) as fake:
        yield fake


def rest(url: str, **options: float) -> TwilioRest:
    return TwilioRest(ACCOUNT, ACCOUNT, TOKEN, url, **{"backoff_s": 0.0, **options})


async def hang_up(url: str, **options: float) -> None:
    twilio_rest = rest(url, **options)
    try:
        await twilio_rest.hang_up(CALL)
    finally:
        await twilio_rest.aclose()


async def test_a_call_is_hung_up(twilio: Twilio) -> None:
    await hang_up(twilio.url)
    credentials = b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
    assert twilio.requests == [("POST", PATH, f"Basic {credentials}", {"Status": "completed"})]


async def test_an_api_key_signs_in_for_its_account(twilio: Twilio) -> None:
    keyed = TwilioRest(ACCOUNT, "SK89", "päss:wörd", twilio.url)
    await keyed.hang_up(CALL)
    await keyed.aclose()
    [(_, path, authorization, _)] = twilio.requests
    assert path == PATH
    assert b64decode(authorization.removeprefix("Basic ")).decode() == "SK89:päss:wörd"


async def test_a_base_url_may_have_a_path(twilio: Twilio) -> None:
    await hang_up(f"{twilio.url}mock/twilio/")
    assert twilio.requests[0][1] == f"/mock/twilio{PATH}"


async def test_the_sdks_environment_variables_do_not_change_the_host(
    twilio: Twilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWILIO_EDGE", "sydney")
    monkeypatch.setenv("TWILIO_REGION", "au1")
    await hang_up(twilio.url)
    assert twilio.requests[0][1] == PATH


@pytest.mark.parametrize("answer", [says(404, 20404), says(404), says_html(404), says(400, 21220)])
async def test_a_call_that_is_over_is_distinguished_from_other_errors(
    twilio: Twilio, answer: Answer
) -> None:
    twilio.answers = [answer]
    with pytest.raises(TwilioError) as refused:
        await hang_up(twilio.url)
    assert refused.value.call_is_over
    assert len(twilio.requests) == 1


@pytest.mark.parametrize(
    ("answer", "status", "code", "fix"),
    [
        (says(401, 20003), 401, 20003, "TWILIO_AUTH_TOKEN"),
        (says_html(403), 403, None, "TWILIO_AUTH_TOKEN"),
        (says(400, 21211), 400, 21211, "errors/21211"),
        (says_html(400), 400, None, "TWILIO_API_BASE_URL"),
    ],
)
async def test_a_rejected_request_is_not_retried_and_names_the_fix(
    twilio: Twilio, answer: Answer, status: int, code: int | None, fix: str
) -> None:
    twilio.answers = [answer]
    with pytest.raises(TwilioError, match=fix) as refused:
        await hang_up(twilio.url)
    assert (refused.value.status, refused.value.code) == (status, code)
    assert len(twilio.requests) == 1
    assert "+1555" not in str(refused.value)


@pytest.mark.parametrize("trouble", [says(500), says(503), says_html(502), says(429), breaks_off])
async def test_a_request_is_retried_after_passing_errors(twilio: Twilio, trouble: Answer) -> None:
    twilio.answers = [trouble, trouble, DONE]
    await hang_up(twilio.url)
    assert len(twilio.requests) == 3


@pytest.mark.parametrize(("trouble", "status"), [(says(503), 503), (says(429, 20429), 429)])
async def test_a_lasting_error_is_raised(twilio: Twilio, trouble: Answer, status: int) -> None:
    twilio.answers = [trouble]
    with pytest.raises(TwilioError) as refused:
        await hang_up(twilio.url)
    assert refused.value.status == status
    assert len(twilio.requests) == 3


@pytest.mark.parametrize(
    "retry_after", ["3600", "9" * 5000, formatdate(4_000_000_000, usegmt=True), "1"]
)
async def test_retry_after_is_honoured_up_to_a_bound(twilio: Twilio, retry_after: str) -> None:
    twilio.answers = [says(429, Retry_After=retry_after), DONE]
    await hang_up(twilio.url, longest_wait_s=0.05)
    asked, again = twilio.times_s
    assert again - asked >= 0.05


@pytest.mark.parametrize("retry_after", ["0", "soon", "-5", "\u00b2", formatdate(0, usegmt=True)])
async def test_an_invalid_retry_after_adds_no_wait(twilio: Twilio, retry_after: str) -> None:
    twilio.answers = [says(429, Retry_After=retry_after), DONE]
    async with asyncio.timeout(5):
        await hang_up(twilio.url)
    assert len(twilio.requests) == 2


async def test_a_silent_server_is_a_timeout(twilio: Twilio) -> None:
    released = asyncio.Event()

    async def silence(_: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    twilio.answers = [silence]
    with pytest.raises(TwilioError, match="cannot be reached") as lost:
        await hang_up(twilio.url, deadline_s=0.05)
    released.set()
    assert lost.value.status is None
    assert len(twilio.requests) == 3


async def test_a_refused_connection_is_raised() -> None:
    with pytest.raises(TwilioError, match="TWILIO_API_BASE_URL"):
        await hang_up(f"http://127.0.0.1:{free_port()}")


@pytest.mark.parametrize("answer", [says_html(200), says_json(["no call"])])
async def test_a_response_that_is_not_twilios_is_raised(twilio: Twilio, answer: Answer) -> None:
    twilio.answers = [answer]
    with pytest.raises(TwilioError, match="not JSON"):
        await hang_up(twilio.url)


async def test_requests_share_one_connection_until_it_is_closed(twilio: Twilio) -> None:
    peers = []

    async def remembers(request: web.Request) -> web.StreamResponse:
        peers.append(request.transport and request.transport.get_extra_info("peername"))
        return await DONE(request)

    twilio.answers = [remembers]
    twilio_rest = rest(twilio.url)
    await twilio_rest.aclose()  # nothing to close yet
    await twilio_rest.hang_up(CALL)
    await twilio_rest.hang_up(CALL)
    await twilio_rest.aclose()
    await twilio_rest.hang_up(CALL)
    await twilio_rest.aclose()
    assert peers[0] == peers[1] != peers[2]


async def test_nothing_private_is_logged(twilio: Twilio, caplog: pytest.LogCaptureFixture) -> None:
    twilio.answers = [says(503), breaks_off, says(400, 21211)]
    with caplog.at_level(logging.DEBUG), pytest.raises(TwilioError):
        await hang_up(twilio.url)
    ours = [record for record in caplog.records if not record.name.startswith("aiohttp.access")]
    assert [record.name for record in ours].count("app.wires.twilio.rest_http") == 2
    for record in ours:
        written = f"{record.getMessage()} {vars(record)}"
        for secret in (TOKEN, b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode(), "+15550101"):
            assert secret not in written


IMPORTED = """
import sys
from app.wires.twilio.rest import TwilioRest
TwilioRest("AC1", "AC1", "token")
before = {*sys.modules}
from twilio.rest import Client
Client("AC1", "token").calls("CA1")
print({*sys.modules} - before)
"""


def test_the_first_request_imports_nothing_amid_the_audio_of_calls() -> None:
    command = [sys.executable, "-c", IMPORTED]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
