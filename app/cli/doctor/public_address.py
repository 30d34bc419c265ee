"""Checks of the public address, from outside: DNS, certificate, webhooks and media streams.

Nothing is opened: the webhook is /call-status without a call, and the media stream's ticket is one
that the service closes at once.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from socket import SOCK_STREAM, gaierror
from urllib.parse import urlsplit

import aiohttp
from pydantic import SecretStr
from twilio.request_validator import RequestValidator

from app.bridge.signed_tickets import TicketSigner, ticket_key
from app.cli.doctor.answers import explain_answer
from app.cli.doctor.check import Check, Subject, fault, ok, warning
from app.config.settings import Settings

_DEADLINE_S = 8.0
_SLOW_S = 2.0
_SOON = timedelta(days=14)
_TICKET_S = 30.0
_NORMAL_CLOSURE = 1000
# OpenSSL: X509_V_ERR_…
_EXPIRED, _NOT_YET = 10, 9
_OTHER_HOST = (62, 64)  # by name, by IP address
_SELF_SIGNED = (18, 19)
_ADDRESS = "public address"


@dataclass(frozen=True, slots=True)
class _Reached:
    """An answer over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: str
    took_s: float


async def check_public_address(subject: Subject) -> list[Check]:
    """The checks in the order in which one needs the other; the first fault ends them."""
    settings, url = subject.settings, subject.public_url
    if not url:
        fix = f"run: python -m app setup. It finds or starts a tunnel to port {settings.port}"
        return [warning(_ADDRESS, "PUBLIC_URL is not set, and no ngrok runs on this machine", fix)]
    checks: list[Check] = []
    for step in (_resolved, _certificate, _answers):
        found = await step(settings, url)
        checks += found
        if any(each.state == "fault" for each in found):
            return [_with_ngrok(each, subject.other_ngrok) for each in checks]
    if _secret(settings) is not None:
        checks.append(await _signed_round_trip(settings, url))
        checks.append(await _web_socket(settings, url))
    return checks


def _with_ngrok(check: Check, ngrok_url: str) -> Check:
    """The check of an address, with the one that ngrok has now."""
    if check.state != "fault" or not ngrok_url:
        return check
    fix = f"set PUBLIC_URL to {ngrok_url}, where ngrok runs now; otherwise {check.fix}"
    return replace(check, fix=fix)


# --- the steps ------------------------------------------------------------------------------------


async def _resolved(settings: Settings, url: str) -> list[Check]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_DEADLINE_S):
            listed = await loop.getaddrinfo(host, parts.port or 443, type=SOCK_STREAM)
    except (gaierror, UnicodeError):
        fix = f"correct PUBLIC_URL, or make the DNS entry of {host}"
        return [fault(_ADDRESS, f"the host name {host} of PUBLIC_URL does not exist", fix)]
    except TimeoutError:
        return [fault(_ADDRESS, f"the DNS does not answer about {host}", "check the network")]
    addresses = [ip_address(str(each[4][0]).partition("%")[0]) for each in listed]
    fix = "set PUBLIC_URL to an address of the internet, such as a tunnel's: python -m app setup"
    simulated = _is_loopback(urlsplit(settings.twilio_api_base_url).hostname or "")
    if not simulated and not any(each.is_global for each in addresses):
        detail = f"{host} is {addresses[0]}, which only machines of this network reach"
        return [fault(_ADDRESS, detail, fix)]
    if parts.scheme != "https" and not simulated:
        detail = "PUBLIC_URL is http, and Twilio connects media streams by wss only"
        return [fault(_ADDRESS, detail, "set PUBLIC_URL to the https address of a proxy or tunnel")]
    return []


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _certificate(_settings: Settings, url: str) -> list[Check]:
    parts = urlsplit(url)
    if parts.scheme != "https":
        return []
    name, host = "certificate", parts.hostname or ""
    try:
        async with asyncio.timeout(_DEADLINE_S):
            _, writer = await asyncio.open_connection(
                host, parts.port or 443, ssl=ssl.create_default_context()
            )
    except ssl.SSLCertVerificationError as error:
        return [fault(name, *_certificate_fault(error, host))]
    except ssl.SSLError as error:
        fix = "check the TLS of the proxy, and that PUBLIC_URL has its https port"
        return [fault(name, f"TLS with {host} fails: {error.reason or error}", fix)]
    except (OSError, TimeoutError) as error:
        why = str(error) or "it does not answer"
        fix = f"start the tunnel or the proxy, and open port {parts.port or 443} of the firewall"
        if parts.port:
            fix += f"; remove :{parts.port} from PUBLIC_URL if the tunnel's address has no port"
        return [fault(_ADDRESS, f"{parts.netloc} cannot be connected to: {why}", fix)]
    certificate = writer.get_extra_info("peercert") or {}
    writer.close()
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    if until - datetime.now(UTC) < _SOON:
        return [warning(name, f"expires on {until:%Y-%m-%d}", "renew it before that day")]
    return [ok(name, f"valid for {host} until {until:%Y-%m-%d}")]


def _certificate_fault(error: ssl.SSLCertVerificationError, host: str) -> tuple[str, str]:
    code = error.verify_code
    if code in _OTHER_HOST:
        return f"it is for another host than {host}", f"get a certificate for {host}"
    if code == _EXPIRED:
        return "it is expired", "renew it"
    if code == _NOT_YET:
        return "it is not valid yet", "set the clock of this machine, or get another certificate"
    if code in _SELF_SIGNED:
        return "it is self-signed", "use a certificate of a public authority, such as Let's Encrypt"
    fix = "have the proxy send the whole chain (fullchain.pem), from a public authority"
    return f"it cannot be verified: {error.verify_message}", fix


async def _answers(settings: Settings, url: str) -> list[Check]:
    found = await _request("GET", f"{url}/healthz")
    if isinstance(found, str):
        fix = "start the service, python -m app serve, and the tunnel or proxy that leads to it"
        return [fault(_ADDRESS, f"{url} does not answer: {found}", fix)]
    if _is_ours(found):
        took = f"{url} leads to the service, {found.took_s * 1000:.0f} ms"
        fix = "use a tunnel or a server near Twilio's region; look at the load of the machine"
        slow = found.took_s > _SLOW_S
        return [warning(_ADDRESS, f"{took}: Twilio waits that long", fix) if slow
                else ok(_ADDRESS, took)]  # fmt: skip
    parts = urlsplit(url)
    if found.status == 404 and parts.path:
        origin = f"{parts.scheme}://{parts.netloc}"
        plain = await _request("GET", f"{origin}/healthz")
        if not isinstance(plain, str) and _is_ours(plain):
            fix = f"set PUBLIC_URL to {origin}, or start the service anew with this PUBLIC_URL"
            return [fault(_ADDRESS, f"the service is at {origin}, not below {parts.path}", fix)]
    detail, fix = explain_answer(found.status, found.headers, url, settings.port)
    return [fault(_ADDRESS, detail, fix)]


def _is_ours(found: _Reached) -> bool:
    try:
        return found.status == 200 and json.loads(found.body)["status"] == "ok"
    except (ValueError, TypeError, KeyError):
        return False


async def _signed_round_trip(settings: Settings, url: str) -> Check:
    name, target = "webhook signature", f"{url}/call-status"
    form = {"AccountSid": settings.twilio_account_sid or "", "Checks": "doctor"}
    found = await _request("POST", target, form, _proof(settings, target, form))
    if isinstance(found, str):
        return fault(name, f"{target} does not answer: {found}", "see the log of the service")
    if found.status == 403:
        fix = (
            "give the service this TWILIO_AUTH_TOKEN and PUBLIC_URL, and start it anew; see that "
            "the proxy passes the header X-Twilio-Signature"
        )
        return fault(name, "the service refuses a request that is signed as Twilio's are", fix)
    if found.status not in (200, 204):
        return fault(name, *explain_answer(found.status, found.headers, url, settings.port))
    unsigned = await _request("POST", target, form, {})
    if not isinstance(unsigned, str) and unsigned.status in (200, 204):
        fix = "set PUBLIC_URL to the address of the service, and remove what answers in its place"
        return fault(name, f"{target} accepts a request that is not signed", fix)
    return ok(name, "a signed request is accepted, an unsigned one refused")


async def _web_socket(settings: Settings, url: str) -> Check:
    name, secret = "media stream", _secret(settings)
    assert secret is not None
    signer = TicketSigner(ticket_key(secret.get_secret_value()))
    ticket = signer.sign("doctor", time.time() + _TICKET_S, "probe")
    target = f"{url}/media-stream/{ticket}"
    # Twilio signs the wss URL of the TwiML, whatever a proxy makes of it.
    headers = _proof(settings, f"wss://{target.partition('://')[2]}", {})
    try:
        async with asyncio.timeout(_DEADLINE_S), _session() as http:
            socket = await http.ws_connect(
                target, headers=headers, ssl=ssl.create_default_context()
            )
            await socket.receive()
            code = socket.close_code
    except aiohttp.WSServerHandshakeError as error:
        return _handshake_fault(name, error, settings, url)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        fix = "see that the proxy or tunnel passes WebSockets on"
        return fault(name, f"the WebSocket fails: {str(error) or 'no answer'}", fix)
    if code == _NORMAL_CLOSURE:
        return ok(name, "a WebSocket comes through, and the service answers on it")
    fix = "see that the proxy or tunnel passes WebSockets on, and does not end them by itself"
    return fault(name, f"the WebSocket was opened, and closed with code {code}", fix)


def _handshake_fault(
    name: str, error: aiohttp.WSServerHandshakeError, settings: Settings, url: str
) -> Check:
    if error.status in (200, 400, 404, 405, 426):
        fix = "have the proxy pass the headers Upgrade and Connection: see docs/proxies/"
        return fault(name, f"no WebSocket comes through: HTTP {error.status}", fix)
    if error.status == 403:
        fix = (
            "have the proxy pass X-Twilio-Signature and the path unchanged, and give the service "
            "this TWILIO_AUTH_TOKEN; see that both clocks agree: the ticket is good for 30 s"
        )
        return fault(name, "the handshake of the WebSocket is refused: HTTP 403", fix)
    return fault(name, *explain_answer(error.status, error.headers or {}, url, settings.port))


# --- requests -------------------------------------------------------------------------------------


def _secret(settings: Settings) -> SecretStr | None:
    """What the service signs tickets with; None: a random key of its own."""
    return settings.twilio_auth_token or settings.api_token


def _proof(settings: Settings, url: str, form: Mapping[str, str]) -> dict[str, str]:
    """The headers that show that a request is Twilio's, or that of the API token's holder."""
    if settings.twilio_auth_token is not None:
        validator = RequestValidator(settings.twilio_auth_token.get_secret_value())
        return {"X-Twilio-Signature": validator.compute_signature(url, dict(form))}
    token = settings.api_token
    return {"Authorization": f"Bearer {token.get_secret_value()}"} if token is not None else {}


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=_DEADLINE_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "TwilioProxy/1.1"},  # as Twilio: firewalls judge by it
    )


async def _request(
    method: str,
    url: str,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> _Reached | str:
    """The answer, or why there is none."""
    started = time.monotonic()
    try:
        async with (
            _session() as http,
            http.request(
                method,
                url,
                data=form,
                headers=headers,
                allow_redirects=False,
                ssl=ssl.create_default_context(),
            ) as answer,
        ):
            body = await answer.text(errors="replace")
    except TimeoutError:
        return f"no answer within {_DEADLINE_S:g} s"
    except (aiohttp.ClientError, OSError) as error:
        return str(error) or type(error).__name__
    return _Reached(answer.status, answer.headers, body, time.monotonic() - started)
