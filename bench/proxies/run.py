"""The service behind each installed proxy: do calls work, and is a webhook ever lost?"""

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp

from app.simulator.realtime import RealtimeServer
from app.simulator.twilio import PhoneLine
from bench.line import ACCOUNT_SID, AUTH_TOKEN
from bench.process import AGENT_FILE, SERVICE, free_port, ready, running
from bench.proxies.calls import HELLO, HUMAN, OWN, Phone, trusting, try_everything
from bench.proxies.config import (
    HOST,
    KINDS,
    PREFIX,
    Kind,
    certificate,
    fitted,
    installed,
    running_proxy,
)
from bench.proxies.idle import AT_ONCE, Idle, idle_times_s, send
from bench.proxies.replicas import CADDY
from bench.proxies.replicas import measure as measure_replicas

HEADINGS = ("proxy", "what", "requests, streams", "what was wrong", "")
REQUESTS = 2000
PROXY_S, SERVICE_S = 1.0, 1.25  # as 60 and 75 seconds
DEFAULT_PAUSES_S = (60.0, 75.0)
NOTICED_S = 0.2  # until clients know that the proxy before closed their connections

AGENT = """
name = "Agent"
instructions = "You answer the phone."
greeting = "Hello."
"""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `kept`: None: there is no limit."""

    cells: tuple[str, str, str, str]
    kept: bool | None

    @property
    def row(self) -> tuple[str, ...]:
        """The cells with the verdict."""
        return (*self.cells, {None: "", True: "PASS", False: "FAIL"}[self.kept])


async def measure(only: str, say: Say) -> list[Row]:
    """Check every installed proxy. `only`: those with this in their name."""
    chosen = [kind for kind in KINDS if only.lower() in kind.name.lower()]
    rows: list[Row] = []
    present = []
    for kind in chosen:
        if installed(kind):
            present.append(kind)
        else:
            say(f"{kind.name} is not installed; skipped (Debian: apt install {kind.command[0]})")
    with tempfile.TemporaryDirectory(prefix="proxies-") as name:
        folder = Path(name)
        certificate(folder)
        async with RealtimeServer(lambda _turn: HELLO) as model:
            for kind in present:
                say(f"{kind.name}: calls with each prefix, header style and PUBLIC_URL …")
                for with_url in (True, False):
                    rows += await _variants(kind, folder, model.port, with_url)
            say(f"Idle connections: {REQUESTS} requests each, and 60 and 75 s of silence …")
            checks = [_idle(kind, folder, model.port) for kind in present]
            for found in await asyncio.gather(*checks):
                rows += found
    if CADDY in present:
        say("Caddy with the configuration of compose.yaml, before two replicas …")
        with tempfile.TemporaryDirectory(prefix="proxies-") as name:
            for what, sent, whole in await measure_replicas(Path(name)):
                cells = ("Caddy, Compose", what, f"{sent.requests}, 0", sent.said)
                rows.append(Row(cells, not sent.lost if whole else None))
    return rows


async def _variants(kind: Kind, folder: Path, model_port: int, with_url: bool) -> list[Row]:
    """Calls with the prefix kept and stripped, and with each header style."""
    rows = []
    async with _service(folder, model_port, with_url) as (phone, service_port):
        for strips, forwarded in itertools.product((False, True), (False, True)):
            config = fitted(
                kind,
                folder,
                port=phone.port,
                service_port=service_port,
                strips=strips,
                forwarded=forwarded,
            )
            with running_proxy(kind, config, folder, phone.port):
                await asyncio.sleep(NOTICED_S)
                outcome = await try_everything(phone)
            what = (
                f"prefix {'stripped' if strips else 'kept'}, "
                f"{'Forwarded' if forwarded else 'X-Forwarded-*'}, "
                f"{'with' if with_url else 'without'} PUBLIC_URL"
            )
            count = f"{outcome.requests}, {outcome.streams}"
            faults = "; ".join(outcome.faults)
            rows.append(Row((kind.name, what, count, faults), not outcome.faults))
    return rows


async def _idle(kind: Kind, folder: Path, model_port: int) -> list[Row]:
    """Webhooks on idle connections: with short times, at the defaults, and with times that lose."""
    bursts = REQUESTS // AT_ONCE
    short = f"the proxy keeps {PROXY_S:g} s, the service {SERVICE_S:g} s"
    turned = f"the proxy keeps {2 * SERVICE_S:g} s, the service {SERVICE_S:g} s"
    documented = f"as documented, idle for {' and '.join(f'{s:g}' for s in DEFAULT_PAUSES_S)} s"
    pauses = idle_times_s(bursts, PROXY_S, SERVICE_S)
    late = idle_times_s(bursts, SERVICE_S)
    first, second, third = await asyncio.gather(
        _after_pauses(kind, folder / f"{kind.name}-short", model_port, PROXY_S, SERVICE_S, pauses),
        _after_pauses(
            kind, folder / f"{kind.name}-turned", model_port, 2 * SERVICE_S, SERVICE_S, late
        ),
        _after_pauses(
            kind, folder / f"{kind.name}-long", model_port, None, None, list(DEFAULT_PAUSES_S)
        ),
    )
    return [
        _idle_row(kind, short, first, has_limit=True),
        _idle_row(kind, documented, third, has_limit=True),
        _idle_row(kind, f"for comparison: {turned}", second, has_limit=False),
    ]


def _idle_row(kind: Kind, what: str, idle: Idle, *, has_limit: bool) -> Row:
    lost = ", ".join(f"{count} {name}" for name, count in idle.lost.items())
    said = f"{idle.lost_count} lost" + (f": {lost}" if lost else "")
    kept = not idle.lost if has_limit else None
    return Row((kind.name, what, f"{idle.requests}, 0", said), kept)


async def _after_pauses(
    kind: Kind,
    folder: Path,
    model_port: int,
    proxy_s: float | None,
    service_s: float | None,
    pauses_s: list[float],
) -> Idle:
    certificate(folder)
    more = {} if service_s is None else {"KEEP_ALIVE_SECONDS": str(service_s)}
    async with _service(folder, model_port, True, more) as (phone, service_port):
        config = fitted(
            kind, folder, port=phone.port, service_port=service_port, keep_alive_s=proxy_s
        )
        with running_proxy(kind, config, folder, phone.port):
            return await send(phone.port, trusting(str(folder / "fullchain.pem")), pauses_s)


@asynccontextmanager
async def _service(
    folder: Path, model_port: int, with_url: bool, more: dict[str, str] | None = None
) -> AsyncIterator[tuple[Phone, int]]:
    """Start the service, and a phone line to the port of a proxy before it."""
    port, service_port = free_port(), free_port()
    tls = trusting(str(folder / "fullchain.pem"))
    async with AsyncExitStack() as stack:
        line = await stack.enter_async_context(
            PhoneLine(
                f"https://127.0.0.1:{port}{PREFIX}/incoming-call",
                account_sid=ACCOUNT_SID,
                auth_token=AUTH_TOKEN,
                public_url=f"https://{HOST}:{port}{PREFIX}/incoming-call",
                status_callback_url="call-status",
                ring_scale=0.1,
                pause_scale=0.1,
                tls=tls,
            )
        )
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls))
        )
        settings = {
            "TWILIO_API_BASE_URL": line.rest_url,
            "TWILIO_PHONE_NUMBER": OWN,
            "TRANSFER_NUMBER": HUMAN,
            "OUTBOUND_REPEAT_SECONDS": "0",
            "PUBLIC_URL": f"https://{HOST}:{port}{PREFIX}" if with_url else "",
            **(more or {}),
        }
        subject = replace(SERVICE, files={AGENT_FILE: AGENT}, settings=settings)
        await ready(stack.enter_context(running(subject, model_port, service_port)))
        yield Phone(line, http, port), service_port
