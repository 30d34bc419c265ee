"""Webhooks on connections that a proxy kept idle until about when one side closes them."""

import asyncio
import random
import ssl
from dataclasses import dataclass, field

import aiohttp
from twilio.request_validator import RequestValidator
from yarl import URL

from bench.line import AUTH_TOKEN
from bench.proxies.config import HOST, PREFIX

AT_ONCE = 50  # requests of one burst, so that a proxy keeps several connections

_STATUS = {"CallSid": "CA" + "0" * 32, "CallStatus": "ringing"}


@dataclass(slots=True)
class Idle:
    """What became of the requests."""

    requests: int = 0
    #: What came in place of 204, with how often.
    lost: dict[str, int] = field(default_factory=dict)

    @property
    def lost_count(self) -> int:
        """How many requests were lost."""
        return sum(self.lost.values())


def idle_times_s(bursts: int, *edges_s: float, seed: int = 0) -> list[float]:
    """The pauses before each burst: in turn within 8 ms of one of the `edges_s`, when one side
    closes, and anywhere up to a tenth beyond the last one."""
    dice = random.Random(seed)
    longest_s = max(edges_s) * 1.1
    around = [dice.choice(edges_s) + dice.uniform(-0.008, 0.008) for _ in range(bursts)]
    return [
        max(0.0, each) if number % 4 else dice.uniform(0, longest_s)
        for number, each in enumerate(around)
    ]


async def send(port: int, trusted: ssl.SSLContext, pauses_s: list[float]) -> Idle:
    """Send a burst of signed webhooks after each pause."""
    idle = Idle()
    url = f"https://{HOST}:{port}{PREFIX}/call-status"
    signature = RequestValidator(AUTH_TOKEN).compute_signature(url, _STATUS)
    headers = {"X-Twilio-Signature": signature}

    async def post(http: aiohttp.ClientSession) -> None:
        try:
            async with http.post(URL(url), data=_STATUS, headers=headers) as answer:
                await answer.read()
                result = "" if answer.status == 204 else f"HTTP {answer.status}"
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            result = type(error).__name__
        idle.requests += 1
        if result:
            idle.lost[result] = idle.lost.get(result, 0) + 1

    # The client keeps its own connections for less time than a proxy does.
    connector = aiohttp.TCPConnector(limit=0, ssl=trusted, keepalive_timeout=30)
    timeout = aiohttp.ClientTimeout(total=15)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        await asyncio.gather(*(post(http) for _ in range(AT_ONCE)))
        for pause_s in pauses_s:
            await asyncio.sleep(pause_s)
            await asyncio.gather(*(post(http) for _ in range(AT_ONCE)))
    return idle
