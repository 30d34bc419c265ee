"""Twilio's request signatures: forms, other bodies, URLs behind proxies, garbage."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from ipaddress import ip_network
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from app.errors import ConfigError, ProtocolError
from app.wires.twilio.signature import SignatureChecker, parse_form

TOKEN = "12345"
FORM = "application/x-www-form-urlencoded"
PUBLIC = "https://voice.example.com"
LOOPBACK = ("127.0.0.1", "::1")


def signed(url: str, form: Mapping[str, str] | None = None, algorithm: str | None = None) -> str:
    return str(RequestValidator(TOKEN).compute_signature(url, form or {}, algorithm))


def scope(
    path: str = "/incoming-call",
    signature: str | bytes = "",
    *,
    query: str = "",
    host: str | bytes = "voice.example.com",
    headers: Mapping[str, str | bytes] | None = None,
    peer: tuple[str, int] | None = ("198.51.100.7", 40000),
    kind: str = "http",
    scheme: str = "http",
) -> dict[str, Any]:
    """An ASGI scope, as a server makes it of a request behind a TLS proxy."""
    sent: dict[str, str | bytes] = {"host": host, **(headers or {})}
    if signature:
        sent["x-twilio-signature"] = signature
    return {
        "type": kind,
        "scheme": scheme if kind == "http" else {"http": "ws", "https": "wss"}[scheme],
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "client": peer,
        "headers": [
            (name.encode(), value if isinstance(value, bytes) else value.encode("latin-1"))
            for name, value in sent.items()
        ],
    }


def post(path: str, signature: str, **options: Any) -> dict[str, Any]:
    options["headers"] = {"content-type": FORM, **options.get("headers", {})}
    return scope(path, signature, **options)


# --- Twilio's own examples ------------------------------------------------------------------------


def test_the_documented_form_is_valid() -> None:
    body = urlencode(
        {
            "CallSid": "CA1234567890ABCDE",
            "Caller": "+14158675310",
            "Digits": "1234",
            "From": "+14158675310",
            "To": "+18005551212",
        }
    ).encode()
    request = post("/myapp.php", "GvWf1cFY/Q7PnoempGyD5oXAezc=", query="foo=1&bar=2")
    checker = SignatureChecker(TOKEN, "https://mycompany.com")
    assert checker.is_valid(request, body)
    assert not checker.is_valid(request, body + b"&More=1")
    assert not SignatureChecker("54321", "https://mycompany.com").is_valid(request, body)
    assert not SignatureChecker(TOKEN, "https://yourcompany.com").is_valid(request, body)


def test_the_documented_handshake_is_valid() -> None:
    handshake = scope("/twilio/stream", "t/8qbLNvETeS9S8Jhtt2tU1aQPg=", kind="websocket")
    assert SignatureChecker(TOKEN, PUBLIC).is_valid(handshake)
    assert not SignatureChecker(TOKEN, PUBLIC).is_valid({**handshake, "type": "http"})


# --- forms ----------------------------------------------------------------------------------------


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=8))
def test_every_signed_form_is_valid(form: dict[str, str]) -> None:
    request = post("/incoming-call", signed(f"{PUBLIC}/incoming-call", form))
    assert SignatureChecker(TOKEN, PUBLIC).is_valid(request, urlencode(form).encode())


class MultiDict(dict[str, list[str]]):
    """Repeated fields, as the twilio package takes them."""

    def getall(self, name: str) -> list[str]:
        return self[name]


@given(st.dictionaries(st.text(max_size=5), st.lists(st.text(max_size=5), min_size=1), max_size=5))
def test_blank_and_repeated_fields_count(form: dict[str, list[str]]) -> None:
    url = f"{PUBLIC}/call-status"
    signature = RequestValidator(TOKEN).compute_signature(url, MultiDict(form))
    assert RequestValidator(TOKEN).validate(url, MultiDict(form), signature)
    body = urlencode(form, doseq=True).encode()
    assert SignatureChecker(TOKEN, PUBLIC).is_valid(post("/call-status", signature), body)


def test_a_form_keeps_blanks_and_order() -> None:
    assert parse_form(b"b=&a=1&b=+2&c") == [("b", ""), ("a", "1"), ("b", " 2"), ("c", "")]
    with pytest.raises(ProtocolError):
        parse_form(b"\xff=1")
    with pytest.raises(ProtocolError):
        parse_form(b"&".join([b"a=1"] * 1001))


def test_the_signature_covers_the_raw_query() -> None:
    url = f"{PUBLIC}/incoming-call?b=%2B1&a=x%20y&a="
    request = scope(signature=signed(url), query="b=%2B1&a=x%20y&a=")
    assert SignatureChecker(TOKEN, PUBLIC).is_valid(request)
    reordered = scope(signature=signed(url), query="a=x%20y&a=&b=%2B1")
    assert not SignatureChecker(TOKEN, PUBLIC).is_valid(reordered)


def test_percent_encoding_in_the_path_is_kept() -> None:
    request = {**scope(signature=signed(f"{PUBLIC}/a%2Fb")), "raw_path": b"/a%2Fb", "path": "/a/b"}
    assert SignatureChecker(TOKEN, PUBLIC).is_valid(request)


def test_a_scope_without_raw_path_works() -> None:
    path = "/grüße"
    request = {**scope(signature=signed(PUBLIC + quote(path))), "raw_path": None, "path": path}
    assert SignatureChecker(TOKEN, PUBLIC).is_valid(request)


# --- other bodies ---------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", ["application/json", "", "multipart/form-data"])
def test_a_body_other_than_a_form_needs_its_hash(content_type: str) -> None:
    body = b'{"event": 1}'
    checker = SignatureChecker(TOKEN, PUBLIC)

    def is_valid(query: str) -> bool:
        signature = signed(f"{PUBLIC}/incoming-call" + (f"?{query}" if query else ""))
        headers = {"content-type": content_type}
        return checker.is_valid(scope(signature=signature, query=query, headers=headers), body)

    assert is_valid(f"bodySHA256={sha256(body).hexdigest()}")
    assert not is_valid(f"bodySHA256={sha256(b'another').hexdigest()}")
    assert not is_valid("bodySHA256=")
    assert not is_valid("")


# --- algorithms -----------------------------------------------------------------------------------


def test_the_newer_algorithm_is_accepted_and_an_unknown_one_is_not() -> None:
    url = f"{PUBLIC}/incoming-call"

    def is_valid(algorithm: str, named: str) -> bool:
        settings_header = {"x-twilio-webhooks-signature-settings": f"key=k,algorithm={named}"}
        request = scope(signature=signed(url, algorithm=algorithm), headers=settings_header)
        return SignatureChecker(TOKEN, PUBLIC).is_valid(request)

    assert is_valid("HMAC_SHA256", "HMAC_SHA256")
    assert is_valid("HMAC_SHA1", "HMAC_SHA1")
    assert not is_valid("HMAC_SHA1", "HMAC_SHA256")
    assert not is_valid("HMAC_SHA256", "HMAC_SHA1")
    assert not is_valid("HMAC_SHA1", "NONE")


# --- the signed URL -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "wss://voice.example.com/media-stream/t1",
        "wss://voice.example.com:443/media-stream/t1",
        "wss://voice.example.com/media-stream/t1/",
        "wss://voice.example.com:443/media-stream/t1/",
    ],
)
@pytest.mark.parametrize("path", ["/media-stream/t1", "/media-stream/t1/"])
def test_a_stream_url_may_be_signed_in_several_forms(url: str, path: str) -> None:
    handshake = scope(path, signed(url), kind="websocket")
    assert SignatureChecker(TOKEN, PUBLIC).is_valid(handshake)


@pytest.mark.parametrize(
    "url",
    [
        "https://voice.example.com/media-stream/t1",
        "wss://voice.example.com:80/media-stream/t1",
        "wss://voice.example.com/media-stream/t2",
        "wss://voice.example.com/media-stream",
        "wss://voice.example.org/media-stream/t1",
    ],
)
def test_a_signature_of_another_url_is_invalid(url: str) -> None:
    handshake = scope("/media-stream/t1", signed(url), kind="websocket")
    assert not SignatureChecker(TOKEN, PUBLIC).is_valid(handshake)


@pytest.mark.parametrize(
    ("public_url", "url", "valid"),
    [
        (PUBLIC, "https://voice.example.com/incoming-call", True),
        (PUBLIC + "/", "https://voice.example.com/incoming-call", True),
        (PUBLIC, "https://voice.example.com:443/incoming-call", True),
        (PUBLIC, "https://voice.example.com:80/incoming-call", False),
        (PUBLIC, "http://voice.example.com/incoming-call", False),
        (PUBLIC, "https://voice.example.com/incoming-call/", False),
        (f"{PUBLIC}:8443", "https://voice.example.com:8443/incoming-call", True),
        (f"{PUBLIC}:8443", "https://voice.example.com/incoming-call", True),
        (f"{PUBLIC}/phone", "https://voice.example.com/phone/incoming-call", True),
        (f"{PUBLIC}/phone", "https://voice.example.com/incoming-call", False),
        ("https://u:p@voice.example.com", "https://u:p@voice.example.com/incoming-call", True),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]/incoming-call", True),
        ("http://127.0.0.1:5050", "http://127.0.0.1:5050/incoming-call", True),
    ],
)
def test_webhooks_are_checked_against_the_public_url(
    public_url: str, url: str, valid: bool
) -> None:
    request = scope(signature=signed(url), host="10.0.0.5:5050")
    assert SignatureChecker(TOKEN, public_url).is_valid(request) is valid


def test_a_prefix_that_the_proxy_leaves_in_place_is_not_doubled() -> None:
    request = scope("/phone/incoming-call", signed(f"{PUBLIC}/phone/incoming-call"))
    assert SignatureChecker(TOKEN, f"{PUBLIC}/phone").is_valid(request)


def test_a_stream_below_a_prefix_is_checked_with_it() -> None:
    url = "wss://voice.example.com/phone/media-stream/t1"
    handshake = scope("/media-stream/t1", signed(url), kind="websocket")
    assert SignatureChecker(TOKEN, f"{PUBLIC}/phone").is_valid(handshake)


# --- behind proxies -------------------------------------------------------------------------------


FORWARDED: Mapping[str, str | bytes] = {
    "x-forwarded-proto": "https, http",
    "x-forwarded-host": "voice.example.com, inner.example.com",
}


@pytest.mark.parametrize(
    ("trusted", "peer", "believed"),
    [
        (LOOPBACK, ("127.0.0.1", 1), True),
        (LOOPBACK, ("::1", 1), True),
        (LOOPBACK, ("::ffff:127.0.0.1", 1), True),
        (LOOPBACK, ("10.0.0.1", 1), False),
        (LOOPBACK, ("testclient", 1), False),
        (LOOPBACK, None, False),
        (["10.0.0.0/8"], ("10.200.0.1", 1), True),
        (["10.0.0.5/8"], ("10.200.0.1", 1), True),
        (["fd00::/8"], ("10.200.0.1", 1), False),
        (["*"], ("203.0.113.9", 1), True),
        (["*"], None, True),
        ([ip_network("10.0.0.0/8")], ("10.200.0.1", 1), True),
        ([], ("127.0.0.1", 1), False),
    ],
)
def test_forwarded_headers_are_used_from_trusted_proxies_only(
    trusted: Sequence[Any], peer: tuple[str, int] | None, believed: bool
) -> None:
    checker = SignatureChecker(TOKEN, None, trusted)
    request = scope(host="inner:5050", headers=FORWARDED, peer=peer)
    expected = "https://voice.example.com" if believed else "http://inner:5050"
    assert checker.base_url(request) == expected
    signature = signed("https://voice.example.com/incoming-call")
    outside = scope(signature=signature, host="inner:5050", headers=FORWARDED, peer=peer)
    assert checker.is_valid(outside) is believed


@pytest.mark.parametrize(
    ("reported", "host", "url"),
    [
        # Apache's ProxyPass reports the host without the scheme.
        ({"x-forwarded-host": "voice.example.com"}, "inner:5050", PUBLIC),
        ({"x-forwarded-host": "voice.example.com:8443"}, "inner:5050", f"{PUBLIC}:8443"),
        # Envoy reports the scheme of its own connection behind a load balancer that ends TLS.
        ({"x-forwarded-proto": "http"}, "voice.example.com", PUBLIC),
        ({"x-forwarded-proto": "http", "x-forwarded-port": "8443"}, "voice.example.com",
         f"{PUBLIC}:8443"),
        ({"forwarded": "host=voice.example.com;proto=http"}, "inner:5050", PUBLIC),
        # nginx: Host $http_host has the port, X-Forwarded-Host $host has not.
        ({"x-forwarded-proto": "https", "x-forwarded-host": "voice.example.com"},
         "voice.example.com:8443", f"{PUBLIC}:8443"),
        ({"x-forwarded-proto": "http", "x-forwarded-host": "voice.example.com"},
         "voice.example.com:8443", f"{PUBLIC}:8443"),
        ({"x-forwarded-host": "inner.example.com"}, "voice.example.com", PUBLIC),
        ({"x-forwarded-host": "voice.example.com", "x-forwarded-prefix": "/phone"}, "inner:5050",
         f"{PUBLIC}/phone"),
        ({}, "voice.example.com", PUBLIC),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_signature_confirms_what_a_proxy_does_not_report(
    reported: Mapping[str, str], host: str, url: str, kind: str
) -> None:
    checker = SignatureChecker(TOKEN, None, LOOPBACK)
    options: dict[str, Any] = {"host": host, "headers": reported, "peer": ("127.0.0.1", 1)}
    asked = url if kind == "http" else url.replace("https", "wss")
    request = scope("/media-stream/t1", signed(f"{asked}/media-stream/t1"), kind=kind, **options)
    assert checker.is_valid(request)
    assert kind == "websocket" or checker.signed_base(request) == url
    assert checker.base_url(scope(kind=kind, **options)) != url  # without a signature
    other = signed(f"{asked.replace('voice', 'other')}/media-stream/t1")
    assert not checker.is_valid(scope("/media-stream/t1", other, kind=kind, **options))


def test_a_public_url_is_the_only_base_that_a_signature_confirms() -> None:
    checker = SignatureChecker(TOKEN, "http://inner:5050", LOOPBACK)
    request = scope(signature=signed(f"{PUBLIC}/incoming-call"), peer=("127.0.0.1", 1))
    assert not checker.is_valid(request)


@pytest.mark.parametrize("path", ["/incoming-call", "//incoming-call", "/phone/incoming-call"])
@pytest.mark.parametrize("asked", ["//phone/incoming-call", "//phone//incoming-call"])
def test_a_doubled_slash_before_the_prefix_changes_nothing(path: str, asked: str) -> None:
    request = scope(path, signed(f"https://voice.example.com{asked}"))
    assert SignatureChecker(TOKEN, f"{PUBLIC}/phone").is_valid(request)


def test_without_a_public_url_the_host_is_the_base() -> None:
    checker = SignatureChecker(TOKEN)
    assert checker.base_url(scope(host="127.0.0.1:5050")) == "http://127.0.0.1:5050"
    assert checker.base_url(scope(host="[::1]:5050", scheme="https")) == "https://[::1]:5050"
    handshake = scope("/media-stream", kind="websocket", scheme="https")
    assert checker.base_url(handshake) == "https://voice.example.com"


def test_a_stream_without_a_public_url_is_signed_as_secure() -> None:
    url = "wss://127.0.0.1:5050/media-stream/t1"
    handshake = scope("/media-stream/t1", signed(url), kind="websocket", host="127.0.0.1:5050")
    assert SignatureChecker(TOKEN).is_valid(handshake)


def test_the_public_url_wins_over_all_headers() -> None:
    checker = SignatureChecker(TOKEN, f"{PUBLIC}/phone/", ["*"])
    request = scope(headers={**FORWARDED, "x-forwarded-host": "evil.example.com"})
    assert checker.base_url(request) == f"{PUBLIC}/phone"


@pytest.mark.parametrize("entry", ["", "localhost", "10.0.0.0/99", "1.2.3"])
def test_an_invalid_proxy_is_a_config_error(entry: str) -> None:
    with pytest.raises(ConfigError, match="TRUSTED_PROXIES"):
        SignatureChecker(TOKEN, None, [entry])


# --- garbage --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "a b",
        "a/b",
        "user@host",
        "host:0",
        "host:65536",
        "host:99999999999999999999",
        "host:-1",
        "host:x",
        "höst",
        b"\xff\xfe",
        "[::1",
        "h" * 100_000,
        "host\r\nx: y",
        "host?",
        "host#",
        "::1",
        "host:\u00b2",
    ],
)
def test_an_invalid_host_gives_no_base_url(host: str | bytes) -> None:
    checker = SignatureChecker(TOKEN, None, ["*"])
    assert checker.base_url(scope(host=host)) is None
    if host and host != " ":
        assert checker.base_url(scope(headers={"x-forwarded-host": host})) is None
    assert not checker.is_valid(scope(signature="x", host=host))


def test_a_missing_host_or_an_unknown_scheme_gives_no_base_url() -> None:
    checker = SignatureChecker(TOKEN, None, ["*"])
    assert checker.base_url({**scope(), "headers": []}) is None
    assert checker.base_url(scope(headers={"x-forwarded-proto": "gopher"})) is None


@pytest.mark.parametrize("signature", ["", "x", b"\xff\xfe", "é", "A" * 1_000_000, "\u00b2"])
def test_a_wrong_signature_is_invalid(signature: str | bytes) -> None:
    request = scope(signature=signature)
    checker = SignatureChecker(TOKEN, PUBLIC)
    assert not checker.is_valid(request)
    assert checker.is_signed(request) is bool(signature)


def test_without_a_token_nothing_is_valid() -> None:
    signature = str(RequestValidator("").compute_signature(f"{PUBLIC}/incoming-call", {}))
    assert not SignatureChecker("", PUBLIC).is_valid(scope(signature=signature))


@pytest.mark.parametrize(
    "broken",
    [
        {"raw_path": b"/\xff"},
        {"query_string": b"\xff=1"},
        {"client": ("", 0)},
        {"headers": [(b"x-twilio-signature", b"")]},
    ],
)
def test_broken_requests_are_invalid(broken: dict[str, Any]) -> None:
    assert not SignatureChecker(TOKEN, PUBLIC, ["10.0.0.1"]).is_valid(
        {**scope(signature="x"), **broken}, b"{}"
    )


HEADER_NAMES = st.sampled_from(
    [
        b"host",
        b"content-type",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"x-twilio-signature",
        b"x-twilio-webhooks-signature-settings",
    ]
)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(HEADER_NAMES, st.binary())),
    st.binary(),
    st.binary(),
    st.binary(),
    st.sampled_from(["http", "websocket"]),
    st.sampled_from([None, PUBLIC]),
)
def test_no_request_raises(
    headers: list[tuple[bytes, bytes]],
    path: bytes,
    query: bytes,
    body: bytes,
    kind: str,
    public_url: str | None,
) -> None:
    checker = SignatureChecker(TOKEN, public_url, ["*"])
    parts = {"headers": headers, "raw_path": path, "query_string": query}
    request = {**scope(kind=kind), **parts}
    assert checker.is_valid(request, body) is False
    base = checker.base_url(request)
    assert base is None or base.startswith(("http://", "https://"))


# --- a replica's own address ----------------------------------------------------------------------

REPLICA = "https://replica-1.example.com/one"


def test_a_stream_of_this_replica_may_be_signed_for_its_own_address() -> None:
    handshake = scope(
        "/one/media-stream/t1",
        signed(f"{REPLICA.replace('https', 'wss')}/media-stream/t1"),
        kind="websocket",
    )
    for public_url in (PUBLIC, None):
        assert SignatureChecker(TOKEN, public_url, (), REPLICA).is_valid(handshake)
    assert not SignatureChecker(TOKEN, PUBLIC).is_valid(handshake)
    assert not SignatureChecker("54321", PUBLIC, (), REPLICA).is_valid(handshake)


def test_a_stream_of_this_replica_may_be_signed_for_the_public_address() -> None:
    handshake = scope(
        "/media-stream/t1", signed("wss://voice.example.com/media-stream/t1"), kind="websocket"
    )
    assert SignatureChecker(TOKEN, PUBLIC, (), REPLICA).is_valid(handshake)


def test_a_webhook_is_signed_for_the_public_address_alone() -> None:
    request = scope("/incoming-call", signed(f"{REPLICA}/incoming-call"))
    assert not SignatureChecker(TOKEN, PUBLIC, (), REPLICA).is_valid(request)


def test_the_prefix_of_the_replicas_address_may_be_left_in_the_path() -> None:
    request = scope("/one/media-stream/t1", kind="websocket")
    assert SignatureChecker(TOKEN, PUBLIC, (), REPLICA).prefixes(request) == ["/one"]
