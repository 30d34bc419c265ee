"""Calls through a proxy: webhooks, media streams, actions, status callbacks and the HTTP API."""

import asyncio
import random
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

import aiohttp
from twilio.request_validator import RequestValidator
from yarl import URL

from app.simulator.realtime import Reply
from app.simulator.twilio import Call, Callee, PhoneLine
from bench.line import AUTH_TOKEN
from bench.process import API_TOKEN
from bench.proxies.config import HOST, PREFIX

HUMAN, CALLED, OWN = "+14155550111", "+14155550123", "+14155550100"
GREETING = random.Random("greeting").randbytes(100 * 8)  # µ-law, 100 ms
HELLO = Reply("Hello.", audio=GREETING, speed=inf)
CALL_S = 20.0  # for one call

_STATUS = {"CallSid": "CA" + "0" * 32, "CallStatus": "ringing"}
_FORGED = {
    "X-Forwarded-For": "192.0.2.1",
    "X-Forwarded-Host": "other.example.com",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Prefix": "/other",
    "Forwarded": "for=192.0.2.1;host=other.example.com;proto=http",
}


@dataclass(slots=True)
class Outcome:
    """What became of the calls and requests through one proxy."""

    #: Requests that Twilio sent, and those of this module.
    requests: int = 0
    streams: int = 0
    faults: list[str] = field(default_factory=list)

    def check(self, what: str, kept: object) -> None:
        """Note a fault unless `kept` is true."""
        if not kept:
            self.faults.append(what)


class Phone:
    """A phone line whose requests arrive at a proxy, and a client of the API there."""

    def __init__(self, line: PhoneLine, http: aiohttp.ClientSession, port: int) -> None:
        self.line = line
        self.http = http
        self.port = port
        self.base = f"https://{HOST}:{port}{PREFIX}"
        self.outbound_calls = 0

    async def api(self, method: str, path: str, body: Any = None, token: str = API_TOKEN) -> Any:
        """(status, headers, JSON) of a request to the HTTP API."""
        headers = {"Authorization": f"Bearer {token}"}
        url = URL(f"{self.base}{path}", encoded=True)
        async with self.http.request(method, url, json=body, headers=headers) as answer:
            return answer.status, answer.headers, await answer.json(content_type=None)

    async def status_of(
        self, url: str, *, signed: bool = True, headers: Mapping[str, str] | None = None
    ) -> int:
        """The answer to a status callback for a public URL."""
        signature = RequestValidator(AUTH_TOKEN).compute_signature(url, _STATUS) if signed else ""
        sent = {**(headers or {}), "X-Twilio-Signature": signature, "Host": _netloc(url)}
        target = URL(url, encoded=True).with_host(HOST)
        async with self.http.post(target, data=_STATUS, headers=sent) as answer:
            await answer.read()
            return answer.status


def trusting(certificate: str) -> ssl.SSLContext:
    """TLS that trusts this certificate alone."""
    return ssl.create_default_context(cafile=certificate)


async def try_everything(phone: Phone) -> Outcome:
    """An inbound call that is transferred, an outbound call, and single requests."""
    outcome = Outcome()
    for work in (_inbound, _outbound, _single_requests):
        try:
            async with asyncio.timeout(CALL_S):
                await work(phone, outcome)
        except Exception as error:  # one failed call must not hide the others
            outcome.faults.append(f"{work.__name__.strip('_')}: {type(error).__name__}: {error}")
    return outcome


async def _inbound(phone: Phone, outcome: Outcome) -> None:
    line = phone.line
    line.callees[HUMAN] = Callee(answers_after_ms=20, presses="1", talks_ms=100)
    call = await line.call()
    await call.wait_connected()
    await call.wait_for(lambda: call.heard == GREETING)
    status, _, body = await phone.api("POST", f"/calls/{call.call_sid}/transfer", {})
    outcome.check(f"transfer: {status} {body}", status == 202)
    await call.wait_ended()
    _count(call, outcome)
    record: dict[str, Any] = {}
    while record.get("status") != "completed":
        _, _, record = await phone.api("GET", f"/calls/{call.call_sid}")
        await asyncio.sleep(0.05)
    outcomes = [each["outcome"] for each in record["transfers"]]
    outcome.check(f"transfers: {outcomes}", outcomes == ["completed"])
    for child in line.children.values():
        _count(child, outcome)
    line.children.clear()


async def _outbound(phone: Phone, outcome: Outcome) -> None:
    phone.line.callees[CALLED] = Callee(answers_after_ms=20)
    phone.outbound_calls += 1
    status, headers, body = await phone.api("POST", "/calls", {"to": CALLED})
    if status != 201:
        raise RuntimeError(f"POST /calls: {status} {body}")
    call = await phone.line.outbound(phone.outbound_calls)
    await call.wait_connected()
    await call.wait_for(lambda: call.heard == GREETING)
    status, _, body = await phone.api("POST", f"/calls/{call.call_sid}/hangup")
    outcome.check(f"hangup: {status} {body}", status == 202)
    await call.wait_ended()
    _count(call, outcome)
    path = headers["Location"].removeprefix(PREFIX)
    outcome.check(f"Location: {headers['Location']}", path != headers["Location"])
    status, _, _ = await phone.api("GET", path)
    outcome.check(f"GET {path}: {status}", status == 200)


async def _single_requests(phone: Phone, outcome: Outcome) -> None:
    base, path = phone.base, "/call-status"
    other_case = base.replace(HOST, "LocalHost")
    wanted = {
        "plain": (await phone.status_of(base + path), 204),
        "a query": (await phone.status_of(f"{base}{path}?tenant=7&name=a%20b%2Bc"), 204),
        "a doubled slash": (await phone.status_of(f"{base}/{path}"), 204),
        "a slash at the end": (await phone.status_of(f"{base}{path}/"), 204),
        "the host in another case": (await phone.status_of(other_case + path), 204),
        "forged headers": (await phone.status_of(base + path, headers=_FORGED), 204),
        "no signature": (await phone.status_of(base + path, signed=False), 403),
        "no token": ((await phone.api("GET", "/calls", token="wrong"))[0], 401),
    }
    for name, (status, expected) in wanted.items():
        outcome.requests += 1
        outcome.check(f"{name}: {status}, not {expected}", status == expected)


def _count(call: Call, outcome: Outcome) -> None:
    outcome.requests += len(call.requests)
    outcome.streams += len(call.streams)
    outcome.check(f"the call: {call.errors}", not call.errors)
    for each in call.requests:
        outcome.check(f"{each.url}: {each.status} {each.failure}", 200 <= each.status < 300)


def _netloc(url: str) -> str:
    return url.split("/")[2]
