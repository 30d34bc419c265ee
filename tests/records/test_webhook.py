"""One delivery to the owner's URL, signed as Standard Webhooks has it."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from app.errors import ConfigError
from app.records.webhook import Answer, Webhook, signing_key
from app.wires.retry_after import retry_after_s
from tests.ports import free_port

KEY = b"twenty-four bytes or so."
SECRET = "whsec_" + base64.b64encode(KEY).decode()
BODY = json.dumps({"type": "call.ended", "said": "Zwölf Pizzen, 你好"}, ensure_ascii=False).encode()


class Owner:
    """The receiver, who answers as the test says. `requests`: headers and bodies."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.url = ""
        self.answer: Callable[[], Awaitable[web.Response]] = self.takes

    async def takes(self) -> web.Response:
        return web.Response(status=204)

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((headers, await request.read()))
        return await self.answer()

    def says(self, status: int, **headers: str) -> None:
        async def answer() -> web.Response:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return web.Response(status=status, headers=named)

        self.answer = answer


@pytest.fixture
async def owner() -> AsyncIterator[Owner]:
    owner = Owner()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", owner.handle)
    async with TestServer(app) as server:
        owner.url = str(server.make_url("/calls?of=mine"))
        yield owner


async def send(url: str, secret: str = "", deadline_s: float = 15.0) -> Answer:
    webhook = Webhook(url, secret, deadline_s=deadline_s)
    try:
        return await webhook.send("call_CA1", BODY, datetime.now(UTC))
    finally:
        await webhook.aclose()


@pytest.mark.parametrize(
    ("secret", "known_as"),
    [
        (SECRET, SECRET),
        (SECRET.rstrip("="), SECRET),
        ("any text, even ü", "any text, even ü".encode()),
    ],
)
async def test_a_report_verifies_with_the_secret_and_with_no_other(
    owner: Owner, secret: str, known_as: str | bytes
) -> None:
    answer = await send(owner.url, secret)

    assert answer.accepted
    ((headers, body),) = owner.requests
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"] == "call_CA1"
    assert Verifier(known_as).verify(body, headers) == json.loads(BODY)
    with pytest.raises(WebhookVerificationError):
        Verifier(b"another secret").verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(known_as).verify(body + b" ", headers)


async def test_without_a_secret_nothing_is_signed(owner: Owner) -> None:
    assert (await send(owner.url)).accepted

    ((headers, _),) = owner.requests
    assert headers["webhook-id"] == "call_CA1"
    assert "webhook-signature" not in headers


@pytest.mark.parametrize("secret", ["whsec_", "whsec_no base64!", "whsec_ü"])
def test_a_truncated_secret_is_a_config_error(secret: str) -> None:
    with pytest.raises(ConfigError, match="CALL_WEBHOOK_SECRET: expected base64") as raised:
        signing_key(secret)

    assert secret[6:] == "" or secret[6:] not in str(raised.value)


@pytest.mark.parametrize(
    ("status", "taken", "unwanted"),
    [(200, True, False), (202, True, False), (404, False, False), (410, False, True),
     (500, False, False)],
)  # fmt: skip
async def test_only_a_2xx_accepts_a_report(
    owner: Owner, status: int, taken: bool, unwanted: bool
) -> None:
    owner.says(status)

    answer = await send(owner.url)

    assert (answer.status, answer.accepted, answer.gone) == (status, taken, unwanted)


async def test_a_redirect_is_not_followed(owner: Owner) -> None:
    owner.says(307, Location="/elsewhere")

    answer = await send(owner.url, SECRET)

    assert not answer.accepted
    assert len(owner.requests) == 1


async def test_credentials_in_the_url_go_into_a_header(owner: Owner) -> None:
    assert (await send(owner.url.replace("://", "://me:hidden@"))).accepted

    ((headers, _),) = owner.requests
    assert headers["authorization"] == f"Basic {base64.b64encode(b'me:hidden').decode()}"


async def test_a_silent_receiver_is_given_up_at_the_deadline(owner: Owner) -> None:
    async def never() -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    owner.answer = never

    answer = await send(owner.url, deadline_s=0.05)

    assert answer.status is None
    assert "Timeout" in answer.fault


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "a..b:{port}"])
async def test_an_unreachable_receiver_is_a_fault_without_its_url(host: str) -> None:
    answer = await send(f"http://me:hidden@{host.format(port=free_port())}/calls")

    assert answer.status is None
    assert answer.fault.isidentifier()


async def test_the_receiver_may_send_retry_after(owner: Owner) -> None:
    owner.says(429, Retry_After="77")

    assert await send(owner.url) == Answer(429, retry_after_s=77.0)


def test_retry_after_is_a_number_of_seconds_or_a_date() -> None:
    now = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)
    date = format_datetime(now + timedelta(seconds=90), usegmt=True)

    assert retry_after_s("120", now) == 120
    assert retry_after_s(date, now) == 90
    assert retry_after_s(date.replace("GMT", "-0000"), now) == 90
    for nothing in (None, "", "soon", "-5", "²"):
        assert retry_after_s(nothing, now) is None
