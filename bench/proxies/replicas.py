"""The proxy of compose.yaml before two replicas: is a webhook lost while one stops?"""

import asyncio
import signal
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import aiohttp
from twilio.request_validator import RequestValidator

from app.simulator.realtime import RealtimeServer
from bench.line import AUTH_TOKEN
from bench.process import ROOT, SERVICE, Process, end, free_port, ready, running
from bench.proxies.calls import HELLO, trusting
from bench.proxies.config import HOST, KINDS, certificate, running_proxy

CADDY = next(kind for kind in KINDS if kind.name == "Caddy")
CADDYFILE = ROOT / "deploy" / "compose" / "Caddyfile"
REPLICAS = 2
STATUS_PER_S, CALLS_PER_S = 50, 5
DRAIN_S = 3.0
STEADY_S = 3.0  # before and after each step
PROBED_S = 3.0  # until the proxy has seen that a replica is back


@dataclass(slots=True)
class Sent:
    """What became of the webhooks of one phase."""

    requests: int = 0
    #: What came in place of 2xx, with how often.
    lost: Counter[str] = field(default_factory=Counter)
    #: New calls that heard that all lines are busy.
    busy: int = 0

    @property
    def said(self) -> str:
        """For the table."""
        lost = ", ".join(f"{number} {name}" for name, number in self.lost.items())
        return f"{self.lost.total()} lost{': ' if lost else ''}{lost}; {self.busy} heard “busy”"


def fitted(folder: Path, port: int, ports: list[int]) -> str:
    """The Caddyfile of Compose on this machine: port of the proxy, certificate, replicas.

    Raises RuntimeError if it does not have a text that is to be replaced.
    """
    text = CADDYFILE.read_text(encoding="utf-8")
    tls = f"\tbind 127.0.0.1\n\ttls {folder}/fullchain.pem {folder}/key.pem"
    swaps = {"{$PUBLIC_URL} {": f"https://{HOST}:{port} {{\n{tls}"}
    for number, each in enumerate(ports, 1):
        swaps[f"replica-{number}:5050"] = f"127.0.0.1:{each}"
    for old, new in swaps.items():
        if old not in text:
            raise RuntimeError(f"deploy/compose/Caddyfile has no {old!r}")
        text = text.replace(old, new)
    return "{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + text


class Sender:
    """Sends signed webhooks at a steady rate, and counts what became of them."""

    def __init__(self, http: aiohttp.ClientSession, base: str) -> None:
        self.sent = Sent()
        self._http, self._base = http, base
        self._sids = count(1)
        self._validator = RequestValidator(AUTH_TOKEN)

    async def send(self) -> None:
        """Send until this is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for turn in count():
                tasks.create_task(self._post("/call-status", "ringing"))
                if turn % (STATUS_PER_S // CALLS_PER_S) == 0:
                    tasks.create_task(self._post("/incoming-call", "ringing"))
                await asyncio.sleep(1 / STATUS_PER_S)

    def take(self) -> Sent:
        """What was counted since the last time."""
        taken, self.sent = self.sent, Sent()
        return taken

    async def ask(self, path: str, expected: int) -> None:
        """GET a path. Another status than expected counts as lost."""
        self.sent.requests += 1
        async with self._http.get(self._base + path) as answer:
            if answer.status != expected:
                self.sent.lost[f"{path}: HTTP {answer.status}, not {expected}"] += 1

    async def _post(self, path: str, status: str) -> None:
        url = self._base + path
        data = {"CallSid": f"CA{next(self._sids):032x}", "CallStatus": status}
        data |= {"From": "+14155550123", "To": "+14155550100", "Direction": "inbound"}
        headers = {"X-Twilio-Signature": self._validator.compute_signature(url, data)}
        self.sent.requests += 1
        try:
            async with self._http.post(url, data=data, headers=headers) as answer:
                body = await answer.text()
                if not 200 <= answer.status < 300:
                    self.sent.lost[f"HTTP {answer.status}"] += 1
                elif path == "/incoming-call" and "<Stream" not in body:
                    self.sent.busy += 1
        except (aiohttp.ClientError, TimeoutError) as error:
            self.sent.lost[type(error).__name__] += 1


class Replica:
    """A process that is started again on the same port."""

    def __init__(self, model_port: int, port: int, base: str) -> None:
        self._model_port, self._port = model_port, port
        settings = {"PUBLIC_URL": base, "DRAIN_SECONDS": str(DRAIN_S)}
        self._subject = replace(SERVICE, settings=settings)
        self._started = ExitStack()
        self.process: Process

    async def start(self) -> None:
        """Start it, in place of the one before, and wait until it answers."""
        self.close()
        one = running(self._subject, self._model_port, self._port)
        self.process = self._started.enter_context(one)
        await ready(self.process)

    def close(self) -> None:
        """Stop it."""
        self._started.close()


async def measure(folder: Path) -> list[tuple[str, Sent, bool]]:
    """Stop each replica and start it again, then kill one, under steady webhooks.

    Returns what was done, what became of the webhooks, and whether none may be lost.
    """
    certificate(folder)
    port, ports = free_port(), [free_port() for _ in range(REPLICAS)]
    base = f"https://{HOST}:{port}"
    done = []
    async with RealtimeServer(lambda _turn: HELLO) as model, AsyncExitStack() as stack:
        replicas = [Replica(model.port, each, base) for each in ports]
        for each in replicas:
            stack.callback(each.close)
            await each.start()
        stack.enter_context(running_proxy(CADDY, fitted(folder, port, ports), folder, port))
        await asyncio.sleep(PROBED_S)
        tls = trusting(str(folder / "fullchain.pem"))
        sender = await stack.enter_async_context(_sending(base, tls))
        await asyncio.sleep(STEADY_S)
        done.append(("undisturbed", sender.take(), True))
        for number, each in enumerate(replicas, 1):
            ending = asyncio.create_task(end(each.process, DRAIN_S + 10))
            await asyncio.sleep(DRAIN_S / 2)
            # One that drains is still reached by its own address, for the streams of its calls.
            await sender.ask(f"/replica-{number}/healthz", 200)
            await sender.ask(f"/replica-{number}/readyz", 503)
            await ending
            await each.start()
            await asyncio.sleep(PROBED_S)
        done.append(("SIGTERM and a new start, one by one", sender.take(), True))
        replicas[0].process.signal(signal.SIGKILL)
        await asyncio.sleep(STEADY_S)
        await sender.ask("/replica-1/healthz", 502)
        await sender.ask("/replica-2/healthz", 200)
        done.append(("kill -9 of one", sender.take(), False))
    return done


@asynccontextmanager
async def _sending(base: str, tls: ssl.SSLContext) -> AsyncIterator[Sender]:
    timeout = aiohttp.ClientTimeout(total=15)
    connector = aiohttp.TCPConnector(limit=0, ssl=tls)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        sender = Sender(http, base)
        task = asyncio.create_task(sender.send())
        try:
            yield sender
        finally:
            task.cancel()
            await asyncio.wait([task])
