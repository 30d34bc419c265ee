"""Checks Twilio's request signature, `X-Twilio-Signature`.

Twilio: webhooks security. Twilio signs the exact URL that it requested. Behind tunnels and proxies
a server does not see that URL, so the checker rebuilds every form of it that Twilio is known to
sign. One match is enough: all forms name this service.
"""

import hmac
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from twilio.request_validator import RequestValidator, get_signature_algorithm

from app.errors import ConfigError, ProtocolError

Scope = Mapping[str, Any]
"""An ASGI scope of type http or websocket."""

_MOST_FORM_FIELDS = 1000
_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
_SECURE = {"http": False, "https": True, "ws": False, "wss": True}
_HOST = re.compile(
    r"(?P<host>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:(?P<port>[0-9]{1,5}))?"
)


def parse_form(body: bytes) -> list[tuple[str, str]]:
    """Parses a form. Blank and repeated fields are kept, because the signature covers them.

    Raises:
        ProtocolError: the body is not a form.
    """
    try:
        return parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FORM_FIELDS
        )
    except ValueError as error:
        raise ProtocolError(f"the request's body is not a form: {error}") from None


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a signature is invalid, for the log."""

    reason: str
    #: The setting to change if the request did come from Twilio.
    fix: str
    #: The first URL that the signature was checked against, without its query.
    url_checked: str = ""


class SignatureChecker:
    """Checks the signatures of requests from one Twilio account.

    Args:
        auth_token: The account's primary auth token, or the secret of the shared key that Twilio
            signs with. If it is empty, no request is valid.
        public_url: The base URL that Twilio requests, with its path prefix. None: derive it from
            each request.
        trusted_proxies: Addresses, CIDR blocks or `*`. Forwarded headers are used only in requests
            from these peers.

    Raises:
        ConfigError: an entry of `trusted_proxies` is invalid.
    """

    def __init__(
        self,
        auth_token: str,
        public_url: str | None = None,
        trusted_proxies: Iterable[str | IPv4Network | IPv6Network] = (),
    ) -> None:
        self._validator = RequestValidator(auth_token) if auth_token else None
        self._public_url = public_url.rstrip("/") if public_url else None
        self._proxies = _Proxies(trusted_proxies)

    def base_url(self, scope: Scope) -> str | None:
        """The public base URL of this service, `https://host[:port][/prefix]`, without a trailing
        slash. None if the request's headers have no valid host.

        Stream URLs have the same base with the scheme `wss`, the only one that Twilio accepts.
        """
        if self._public_url:
            return self._public_url
        scheme = str(scope.get("scheme", "http"))
        host = _header(scope, b"host")
        if self._proxies.trust(scope.get("client")):
            scheme = _first(_header(scope, b"x-forwarded-proto")) or scheme
            host = _first(_header(scope, b"x-forwarded-host")) or host
        secure = _SECURE.get(scheme.lower())
        if secure is None or host is None or not _is_host(host):
            return None
        return f"{'https' if secure else 'http'}://{host}"

    def is_signed(self, scope: Scope) -> bool:
        """Whether the request has a signature, valid or not."""
        return _header(scope, b"x-twilio-signature") is not None

    def is_valid(self, scope: Scope, body: bytes = b"") -> bool:
        """Whether Twilio signed this webhook request or WebSocket handshake. Never raises.

        `body`: as received. The signature covers the fields of a form; for any other body the URL
        must have its hash, in `bodySHA256`.
        """
        signature = _header(scope, b"x-twilio-signature")
        if self._validator is None or not signature:
            return False
        try:
            form = self._signed_fields(scope, body)
            wanted = signature.encode()
            # The sender's header chooses the algorithm. That is safe, because both are keyed with
            # the auth token. An unknown algorithm raises ValueError.
            algorithm = get_signature_algorithm(
                _header(scope, b"x-twilio-webhooks-signature-settings")
            )
            return any(
                hmac.compare_digest(
                    self._validator.compute_signature(url, form, algorithm).encode(), wanted
                )
                for url in self._candidates(scope)
            )
        except (ValueError, ProtocolError):
            return False

    def fault(self, scope: Scope) -> Fault:
        """Why `is_valid` returned False."""
        base = self.base_url(scope)
        if base is None:
            return Fault(
                "the Host header is missing or invalid", "set PUBLIC_URL to the URL Twilio requests"
            )
        if not self.is_signed(scope):
            reason = "the signature is missing"
            fix = "Twilio signs every request; a proxy must pass X-Twilio-Signature on"
        else:
            reason = "the signature does not match the URL and the token"
            fix = (
                "TWILIO_AUTH_TOKEN must be the account's primary auth token; "
                f"{self._url_fix(scope)}"
            )
        return Fault(reason, fix, next(self._candidates(scope), base).partition("?")[0])

    def _url_fix(self, scope: Scope) -> str:
        if self._public_url:
            return "PUBLIC_URL must be the URL that Twilio requests"
        forwarded = _header(scope, b"x-forwarded-host") or _header(scope, b"x-forwarded-proto")
        if forwarded and not self._proxies.trust(scope.get("client")):
            return "TRUSTED_PROXIES must name the proxy, or PUBLIC_URL the URL that Twilio requests"
        return "set PUBLIC_URL to the URL that Twilio requests"

    def peer(self, scope: Scope) -> str:
        """The client's address: the peer's, or the last one in `X-Forwarded-For` that is not a
        trusted proxy's, if the peer is one."""
        client: Sequence[Any] | None = scope.get("client")
        peer = str(client[0]) if client else ""
        hops = (_header(scope, b"x-forwarded-for") or "").split(",")
        while hops and self._proxies.trust((peer,)) and (hop := hops.pop().strip()):
            peer = hop
        return peer

    def _signed_fields(self, scope: Scope, body: bytes) -> "_Form":
        if not body:
            return _Form([])
        content_type = (_header(scope, b"content-type") or "").partition(";")[0].strip().lower()
        if content_type == "application/x-www-form-urlencoded":
            return _Form(parse_form(body))
        query = scope.get("query_string", b"").decode("ascii")
        named = dict(parse_qsl(query)).get("bodySHA256", "")
        if not hmac.compare_digest(sha256(body).hexdigest().encode(), named.lower().encode()):
            raise ProtocolError("the body's SHA-256 is not the URL's bodySHA256")
        return _Form([])

    def _candidates(self, scope: Scope) -> Iterator[str]:
        """Every URL that Twilio may have signed for this request.

        Twilio signs the URL with or without its port (the `twilio` package's validator tries both);
        a stream's URL also with or without a trailing slash, and as wss although the request is ws.
        """
        base = self.base_url(scope)
        if base is None:
            return
        scheme, netloc, prefix, _, _ = urlsplit(base)
        paths = [_raw_path(scope)]
        if prefix and paths[0].startswith(f"{prefix}/"):
            prefix = ""  # the proxy does not strip it
        schemes = [scheme]
        if scope["type"] == "websocket":
            schemes = ["wss"] if scheme == "https" else ["wss", "ws"]
            path = paths[0].rstrip("/")
            paths += [path, f"{path}/"]
        query = scope.get("query_string", b"").decode("ascii")
        for path in dict.fromkeys(paths):
            target = f"{prefix}{path}?{query}" if query else f"{prefix}{path}"
            for each in schemes:
                for address in _addresses(netloc, each):
                    yield f"{each}://{address}{target}"


class _Form:
    """Form fields as a multi-dict, which the `twilio` package needs for repeated fields."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def getall(self, name: str) -> list[str]:
        return self._values[name]


class _Proxies:
    """The peers whose forwarded headers are trusted."""

    def __init__(self, trusted: Iterable[str | IPv4Network | IPv6Network]) -> None:
        self._trust_all = False
        self._networks: list[IPv4Network | IPv6Network] = []
        for entry in trusted:
            if entry == "*":
                self._trust_all = True
                continue
            try:
                self._networks.append(ip_network(str(entry), strict=False))
            except ValueError:
                raise ConfigError(
                    f"TRUSTED_PROXIES: expected IP addresses, CIDR blocks or *, got '{entry}'"
                ) from None

    def trust(self, peer: Sequence[Any] | None) -> bool:
        if self._trust_all or not peer or not self._networks:
            return self._trust_all
        try:
            address = ip_address(str(peer[0]))
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


def _header(scope: Scope, name: bytes) -> str | None:
    """The first header of that name. `name`: in lower case."""
    for key, value in scope.get("headers", ()):
        if key.lower() == name:
            return bytes(value).decode("latin-1").strip()
    return None


def _first(value: str | None) -> str:
    """The first value of a comma-separated list: the one that the outermost proxy added."""
    return (value or "").partition(",")[0].strip()


def _is_host(text: str) -> bool:
    found = _HOST.fullmatch(text)
    return found is not None and 0 < int(found["port"] or 443) < 65536


def _raw_path(scope: Scope) -> str:
    """The path as requested. The signature covers its percent-encoding, so it is not decoded."""
    raw = scope.get("raw_path")
    return bytes(raw).decode("ascii") if raw else quote(scope["path"])


def _addresses(netloc: str, scheme: str) -> Iterable[str]:
    """A network location: unchanged, without its port, and with the scheme's default port."""
    user, at, address = netloc.rpartition("@")
    found = _HOST.fullmatch(address)
    host = found["host"] if found else address
    default = f"{host}:{_DEFAULT_PORTS[scheme]}"
    return dict.fromkeys(f"{user}{at}{each}" for each in (address, host, default))
