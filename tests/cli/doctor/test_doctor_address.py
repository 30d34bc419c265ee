"""What the doctor says of the public address, reached as Twilio reaches it."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.cli.doctor.answers import explain_answer
from app.cli.doctor.check import Check
from app.cli.doctor.public_address import check_public_address
from app.simulator.realtime import Script
from tests.cli.doctor.scene import SID, TOKEN, found, states, subject
from tests.ports import free_port
from tests.service.world import ACCOUNT_SID, API_TOKEN, AUTH_TOKEN, world

LOOPBACK = "http://127.0.0.1:9"  # a simulated Twilio may be given a loopback address
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def checks_of(url: str, folder: Path, **values: Any) -> list[Check]:
    usual = {
        "twilio_account_sid": SID,
        "twilio_auth_token": TOKEN,
        "twilio_api_base_url": LOOPBACK,
    }
    return await check_public_address(subject(folder, public_url=url, **{**usual, **values}))


def says(status: int, text: str = "", **headers: str) -> Handler:
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, headers=named)

    return answer


HEALTHY = says(200, '{"status": "ok"}')


@asynccontextmanager
async def server(
    routes: Mapping[str, Handler], tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """A server in the service's place; `*`: every other path. Yields its URL."""
    app = web.Application()
    for path, handler in routes.items():
        app.router.add_route("*", "/{path:.*}" if path == "*" else path, handler)
    test_server = TestServer(app, port=free_port())
    await test_server.start_server(ssl=tls)
    try:
        yield str(test_server.make_url("")).rstrip("/")
    finally:
        await test_server.close()


# --- the service itself ---------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [True, False])
async def test_a_service_that_is_reached_opens_nothing(tmp_path: Path, signed: bool) -> None:
    secrets: dict[str, Any] = {"twilio_account_sid": ACCOUNT_SID, "twilio_auth_token": AUTH_TOKEN}
    if not signed:
        secrets = {"twilio_account_sid": "", "twilio_auth_token": ""}
    async with world(Script(), public_url=None, **secrets) as w:
        checks = await checks_of(w.url, tmp_path, api_token=API_TOKEN, **secrets)
        assert states(checks) == dict.fromkeys(
            ("public address", "webhook signature", "media stream"), "ok"
        )
        assert w.model.handshakes == []
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        async with w.http.get(f"{w.url}/calls", headers=headers) as answer:
            assert "doctor" not in (listed := await answer.text()) and "CA" not in listed


async def test_another_auth_token_is_named(tmp_path: Path) -> None:
    async with world(Script(), public_url=None) as w:
        checks = await checks_of(w.url, tmp_path, twilio_auth_token="another token")

    for name in ("webhook signature", "media stream"):
        check = found(checks, name)
        assert check.state == "fault" and "TWILIO_AUTH_TOKEN" in check.fix


async def test_another_public_url_of_the_service_is_named(tmp_path: Path) -> None:
    async with world(Script(), public_url="https://old.ngrok.app") as w:
        checks = await checks_of(w.url, tmp_path, twilio_auth_token=AUTH_TOKEN)

    assert found(checks, "webhook signature").state == "fault"
    assert "PUBLIC_URL" in found(checks, "webhook signature").fix


async def test_a_path_too_much_is_named_with_the_address_that_answers(tmp_path: Path) -> None:
    async with server({"/healthz": HEALTHY}) as url:
        [check] = await checks_of(f"{url}/phone", tmp_path)

    assert check.state == "fault" and f"set PUBLIC_URL to {url}," in check.fix


async def test_a_port_too_much_is_named(tmp_path: Path) -> None:
    port = free_port()
    [check] = await checks_of(f"https://127.0.0.1:{port}", tmp_path)

    assert check.state == "fault" and f"remove :{port} from PUBLIC_URL" in check.fix


# --- what is at the address in its place ----------------------------------------------------------


async def test_without_an_address_setup_is_the_next_step(tmp_path: Path) -> None:
    [check] = await checks_of("", tmp_path)

    assert check.state == "warning" and "python -m app setup" in check.fix


@pytest.mark.parametrize(
    ("url", "words", "fix"),
    [
        ("https://no-such-host.invalid", "does not exist", "correct PUBLIC_URL"),
        ("https://192.168.1.20", "only machines of this network", "app setup"),
        ("http://93.184.216.34", "http", "https address"),
    ],
)
async def test_an_address_that_twilio_cannot_use_is_named(
    tmp_path: Path, url: str, words: str, fix: str
) -> None:
    checks = await checks_of(url, tmp_path, twilio_api_base_url="https://api.twilio.com")

    assert [each.state for each in checks] == ["fault"]
    assert words in checks[0].detail and fix in checks[0].fix


async def test_an_ngrok_at_another_address_is_named(tmp_path: Path) -> None:
    url = "https://no-such-host.invalid"
    checked = replace(subject(tmp_path, public_url=url), ngrok_url="https://new.ngrok.app")
    [check] = await check_public_address(checked)

    assert check.fix.startswith("set PUBLIC_URL to https://new.ngrok.app, where ngrok runs now;")


async def test_a_service_that_does_not_run_is_named(tmp_path: Path) -> None:
    [check] = await checks_of(f"http://127.0.0.1:{free_port()}", tmp_path)

    assert check.state == "fault" and "python -m app serve" in check.fix


@pytest.mark.parametrize(
    ("handler", "words", "fix"),
    [
        (says(404, Ngrok_Error_Code="ERR_NGROK_3200"), "no ngrok serves", "ngrok http 5050"),
        (says(502, Ngrok_Error_Code="ERR_NGROK_8012"), "nothing listens", "app serve"),
        (says(403, Ngrok_Error_Code="ERR_NGROK_727"), "used up", "another tunnel"),
        (says(400, Ngrok_Error_Code="ERR_NGROK_9999"), "ERR_NGROK_9999", "err_ngrok_9999"),
        (says(502), "502", "app serve"),
        (says(301, Location="https://www.example.com/"), "www.example.com", "PUBLIC_URL"),
        (says(401), "demands a sign-in", "Twilio's requests"),
        (says(404), "another server", "PUBLIC_URL"),
        (says(200, "<html>Welcome"), "is not this service", "PUBLIC_URL"),
        (says(200, "[]"), "is not this service", "PUBLIC_URL"),
    ],
)
async def test_what_answers_in_place_of_the_service_is_named(
    tmp_path: Path, handler: Handler, words: str, fix: str
) -> None:
    async with server({"*": handler}) as url:
        [check] = await checks_of(url, tmp_path)

    assert check.state == "fault" and words in check.detail and fix in check.fix


async def test_a_server_that_accepts_every_webhook_is_not_the_service(tmp_path: Path) -> None:
    async with server({"/healthz": HEALTHY, "*": says(200)}) as url:
        checks = await checks_of(url, tmp_path)

    assert "not signed" in found(checks, "webhook signature").detail
    assert "Upgrade" in found(checks, "media stream").fix


async def _signed_only(request: web.Request) -> web.StreamResponse:
    return web.Response(status=204 if "X-Twilio-Signature" in request.headers else 403)


async def _closes_at_once(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.close(code=1011)
    return socket


@pytest.mark.parametrize(
    ("stream", "words", "fix"),
    [
        (says(426), "HTTP 426", "Upgrade and Connection"),
        (says(403), "HTTP 403", "X-Twilio-Signature"),
        (says(502), "502", "app serve"),
        (_closes_at_once, "closed with code 1011", "WebSockets"),
    ],
)
async def test_a_proxy_that_passes_no_websocket_is_named(
    tmp_path: Path, stream: Handler, words: str, fix: str
) -> None:
    routes = {"/healthz": HEALTHY, "/call-status": _signed_only, "*": stream}
    async with server(routes) as url:
        checks = await checks_of(url, tmp_path)

    assert found(checks, "webhook signature").state == "ok"
    check = found(checks, "media stream")
    assert check.state == "fault" and words in check.detail and fix in check.fix


def test_a_header_of_ngroks_counts_in_any_case() -> None:
    for name in ("ngrok-error-code", "Ngrok-Error-Code"):
        detail, _ = explain_answer(404, {name: "ERR_NGROK_3200"}, "https://x.ngrok.app", 5050)
        assert "no ngrok serves" in detail


# --- certificates ---------------------------------------------------------------------------------


def certified(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, host: str, days: float, own: bool = False
) -> ssl.SSLContext:
    """A server's TLS with a certificate for `host`, issued by an authority that is trusted here.

    `days`: until it expires. `own`: it is self-signed.
    """
    now, key, ca_key = datetime.now(UTC), _key(), _key()
    names = x509.SubjectAlternativeName(
        [x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host)]
    )
    ca = _issued(
        "The authority", ca_key, "The authority", ca_key, now + timedelta(days=99), ca=True
    )
    signer = ("host", key) if own else ("The authority", ca_key)
    certificate = _issued("host", key, *signer, now + timedelta(days=days), names=names)
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (folder / "host.pem").write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "host.pem")
    return context


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _issued(
    subject_name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    until: datetime,
    *,
    ca: bool = False,
    names: x509.SubjectAlternativeName | None = None,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject_name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - timedelta(days=100))
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


@pytest.mark.parametrize(
    ("certificate", "state", "words", "fix"),
    [
        ({"host": "127.0.0.1", "days": 60}, "ok", "valid for 127.0.0.1 until", ""),
        ({"host": "127.0.0.1", "days": 3}, "warning", "expires on", "renew"),
        ({"host": "127.0.0.1", "days": -1}, "fault", "expired", "renew"),
        ({"host": "other.example.com", "days": 60}, "fault", "another host", "certificate for"),
        ({"host": "127.0.0.1", "days": 60, "own": True}, "fault", "self-signed", "Let's Encrypt"),
    ],
)
async def test_certificates_are_judged_as_twilio_judges_them(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    certificate: dict[str, Any],
    state: str,
    words: str,
    fix: str,
) -> None:
    tls = certified(tmp_path, monkeypatch, **certificate)
    async with server({"/healthz": HEALTHY, "*": says(404)}, tls) as url:
        checks = await checks_of(url, tmp_path)

    check = found(checks, "certificate")
    assert (check.state, words in check.detail, fix in check.fix) == (state, True, True), check
    assert [each.check for each in checks][1:2] == ([] if state == "fault" else ["public address"])


async def test_an_unknown_authority_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = certified(tmp_path, monkeypatch, host="127.0.0.1", days=60)
    monkeypatch.delenv("SSL_CERT_FILE")
    async with server({"/healthz": HEALTHY}, tls) as url:
        [check] = await checks_of(url, tmp_path)

    assert check.state == "fault" and "fullchain.pem" in check.fix


async def test_https_at_a_port_without_tls_is_named(tmp_path: Path) -> None:
    async with server({"*": HEALTHY}) as url:
        [check] = await checks_of(url.replace("http", "https"), tmp_path)

    assert check.check == "certificate" and check.state == "fault" and "TLS" in check.detail
