"""Behind proxies: every prefix, header style, host, port and slash of the public URL."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest

from tests.web.asgi import CLIENT, PROXY, Proxy, running_application

ENDED = {"CallSid": "CA" + "1" * 32, "CallStatus": "completed"}

#: PUBLIC_URL without its prefix, and what Twilio's console may name in its place.
HOSTS = {
    "https://voice.example.com": [
        "https://voice.example.com",
        "https://voice.example.com:443",
    ],
    "https://Voice.Example.COM": [
        "https://Voice.Example.COM",
        "https://voice.example.com",
        "https://voice.example.com:443",
    ],
    "https://voice.example.com:443": [
        "https://voice.example.com:443",
        "https://voice.example.com",
    ],
    "https://voice.example.com:8443": [
        "https://voice.example.com:8443",
        "https://voice.example.com",
    ],
    "http://voice.example.com": ["http://voice.example.com", "http://voice.example.com:80"],
    "https://[2001:DB8::1]:8443": ["https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"],
}
PREFIXES = ["", "/phone", "/t%C3%A9l/phone", "/call-status"]


def paths(prefix: str) -> list[str]:
    """The public paths that name /call-status."""
    plain, doubled = f"{prefix}/call-status", f"{prefix}//call-status"
    return [f"{plain}?tenant=7&name=a%20b%2Bc&empty=", doubled, f"{plain}/"]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("strips", [False, True], ids=["kept", "stripped"])
async def test_webhooks_are_checked_against_the_public_url_in_every_form(
    tmp_path: Path, prefix: str, strips: bool
) -> None:
    wrong = []
    async with running_application(tmp_path) as c:
        for base, merges in product(HOSTS, (False, True)):
            slash, style = ("/", "both") if merges else ("", "")
            proxy = Proxy(prefix, strips, style, merges)
            c.settle(proxy, f"{base}{prefix}{slash}")
            for asked, path in product(HOSTS[base], paths(prefix)):
                if (await c.posts(f"{asked}{path}", ENDED)).status != 204:
                    wrong.append((base, slash, proxy, asked, path))
            other = f"{base}{prefix}/incoming-call"
            signed = await c.posts(f"{base}{prefix}/call-status", ENDED, signed_url=other)
            if signed.status != 403:
                wrong.append((base, slash, proxy, "signed for another path", ""))
    assert wrong == []


@pytest.mark.parametrize("strips", [False, True], ids=["kept", "stripped"])
@pytest.mark.parametrize("style", ["X-Forwarded", "Forwarded", "both"])
async def test_without_a_public_url_a_trusted_proxy_reports_it(
    tmp_path: Path, style: str, strips: bool
) -> None:
    prefix = "/phone" if strips else ""  # a prefix that is left in place is unknown here
    wrong = []
    async with running_application(tmp_path) as c:
        c.settle(Proxy(prefix, strips, style))
        for hosts in HOSTS.values():
            for asked, path in product(hosts, paths(prefix)):
                if (await c.posts(f"{asked}{path}", ENDED)).status != 204:
                    wrong.append((asked, path))
    assert wrong == []


@pytest.mark.parametrize("style", ["Host", "X-Forwarded", "Forwarded"])
async def test_a_host_may_be_spelled_in_upper_case(tmp_path: Path, style: str) -> None:
    url = "https://VOICE.example.com/call-status"
    proxy = Proxy(style=style, passes_host=style == "Host")
    async with running_application(tmp_path) as c:
        for public_url in ("https://voice.example.com", "https://Voice.Example.com:443"):
            c.settle(proxy, public_url)
            assert (await c.posts(url, ENDED)).status == 204
            c.settle(replace(proxy, address="198.51.100.7"), public_url)
            assert (await c.posts(url, ENDED)).status == (204 if style == "Host" else 403)


LISTS = {
    "the first of several hops": {
        "x-forwarded-host": "voice.example.com, inner:5050",
        "x-forwarded-proto": "https, http",
    },
    "the last of several hops": {
        "x-forwarded-host": "made.up.example, voice.example.com",
        "x-forwarded-proto": "http, https",
    },
    "one scheme for several hosts": {
        "x-forwarded-host": "voice.example.com,inner",
        "x-forwarded-proto": "https",
    },
    "a port of its own": {
        "x-forwarded-host": "voice.example.com",
        "x-forwarded-proto": "https",
        "x-forwarded-port": "443",
    },
    "wss for https": {"x-forwarded-host": "voice.example.com", "x-forwarded-proto": "WSS"},
    "quoted values": {
        "forwarded": 'For="[2001:db8::1]:4711";HOST="voice.example.com";Proto="https"'
    },
    "spaces, and hops without a host": {
        "forwarded": "for=192.0.2.1 , for=_hidden;host=voice.example.com;proto=https, for=unknown"
    },
    "a hop that is malformed": {
        "forwarded": 'for="192.0.2.1, host=voice.example.com;proto=https;by=_proxy'
    },
    "both, and they differ": {
        "x-forwarded-host": "inner.example.com",
        "x-forwarded-proto": "http",
        "forwarded": "host=voice.example.com;proto=https",
    },
}


async def test_the_base_of_a_signed_request_is_the_one_that_twilio_signed(tmp_path: Path) -> None:
    bases = {}
    async with running_application(tmp_path) as c:
        for number, (name, headers) in enumerate(LISTS.items()):
            c.settle(Proxy(headers=tuple(headers.items())))
            call = {"CallSid": f"CA{number:032}", "CallStatus": "ringing"}
            answer = await c.posts("https://voice.example.com/incoming-call", call)
            bases[name] = answer.status == 200 and _stream_url(answer.body).rpartition("/")[0]
    assert bases == dict.fromkeys(LISTS, "wss://voice.example.com/media-stream")


@pytest.mark.parametrize("style", ["X-Forwarded", "Forwarded", "both"])
async def test_headers_of_an_untrusted_peer_change_nothing(tmp_path: Path, style: str) -> None:
    async with running_application(tmp_path) as c:
        honest = Proxy("/phone", True, style, passes_host=True, address="198.51.100.7")
        c.settle(honest)
        url = "https://voice.example.com/phone/call-status"
        assert (await c.posts(url, ENDED)).status == 403
        seen = "http://voice.example.com/call-status"
        assert (await c.posts(url, ENDED, signed_url=seen)).status == 204

        c.settle(replace(honest, strips=False), "https://voice.example.com/phone")
        forged = "https://other.example.com/phone/call-status"
        assert (await c.posts(forged, ENDED)).status == 403
        right = "https://voice.example.com/phone/call-status"
        assert (await c.posts(forged, ENDED, signed_url=right)).status == 204


@pytest.mark.parametrize("strips", [False, True], ids=["kept", "stripped"])
@pytest.mark.parametrize("prefix", ["", "/phone", "/calls", "/media-stream"])
async def test_a_call_stays_below_the_public_url(tmp_path: Path, prefix: str, strips: bool) -> None:
    base = f"https://voice.example.com{prefix}"
    call = {"CallSid": "CA" + "3" * 32, "CallStatus": "in-progress", "From": "+15550100001"}
    async with running_application(tmp_path) as c:
        c.settle(Proxy(prefix, strips, merges_slashes=True), f"{base}/")
        answer = await c.posts(f"{base}//incoming-call", call)
        assert answer.status == 200
        stream_url = _stream_url(answer.body)
        assert stream_url.startswith(f"wss://voice.example.com{prefix}/media-stream/")
        assert (await c.streams(stream_url, signed_url="wss://other.example.com/")).status == 403
        assert (await c.streams(stream_url)).status == 101

        connect = ElementTree.fromstring(answer.body).find("Connect")
        assert connect is not None and connect.attrib["action"] == f"{base}/stream-ended"
        following = await c.posts(connect.attrib["action"], call)
        assert _stream_url(following.body).startswith(f"wss://voice.example.com{prefix}/")
        assert (await c.posts(f"{base}/call-status", call | ENDED)).status == 204
        for path in (
            "/calls",
            f"/calls/{call['CallSid']}",
            "/healthz",
            "//calls/",
        ):
            assert (await c.gets(f"{base}{path}")).status == 200, path


CLIENTS = {
    "no header": ((), PROXY),
    "one hop": ((("x-forwarded-for", CLIENT),), CLIENT),
    "a hop that the client made up": ((("x-forwarded-for", f"192.0.2.1, {CLIENT}"),), CLIENT),
    "a line of its own for each": (
        (("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", CLIENT)),
        CLIENT,
    ),
    "trusted hops": ((("x-forwarded-for", f"{CLIENT}, 10.0.0.8, 10.0.0.9"),), CLIENT),
    "a port": ((("x-forwarded-for", f"{CLIENT}:4711"),), CLIENT),
    "IPv6 in brackets": ((("x-forwarded-for", "[2001:db8::1]:4711"),), "2001:db8::1"),
    "IPv6": ((("x-forwarded-for", "2001:DB8::1"),), "2001:db8::1"),
    "unknown": ((("x-forwarded-for", "unknown"),), PROXY),
    "Forwarded": ((("forwarded", f"for={CLIENT};proto=https, for=10.0.0.8"),), CLIENT),
    "Forwarded, quoted": ((("forwarded", 'For="[2001:DB8::1]:4711"'),), "2001:db8::1"),
    "Forwarded, unknown": ((("forwarded", "for=unknown"),), PROXY),
    "Forwarded, obfuscated": ((("forwarded", "for=_hidden"),), PROXY),
    "Forwarded, malformed": ((("forwarded", f'for={CLIENT}, for="10'),), PROXY),
    "both, and they differ": (
        (("forwarded", "for=192.0.2.1"), ("x-forwarded-for", CLIENT)),
        CLIENT,
    ),
}


async def test_the_log_names_the_client_that_a_trusted_proxy_reports(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = {}
    async with running_application(tmp_path) as c:
        for name, (headers, _client) in CLIENTS.items():
            caplog.clear()
            for trusted in ("10.0.0.0/8", "127.0.0.1"):
                c.settle(Proxy(headers=headers), trusts=trusted)
                await c.posts(
                    "https://voice.example.com/call-status", ENDED, signed_url="https://x/"
                )
            found[name] = [each.peer for each in caplog.records if hasattr(each, "peer")]
    assert found == {name: [client, PROXY] for name, (_headers, client) in CLIENTS.items()}


def _stream_url(body: str) -> str:
    stream = ElementTree.fromstring(body).find("Connect/Stream")
    assert stream is not None, body
    url = stream.attrib["url"]
    assert urlsplit(url).scheme == "wss"
    return url
