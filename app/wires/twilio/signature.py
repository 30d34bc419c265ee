"""Whether a request came from Twilio: its signature, checked against every URL it may have signed.

Twilio: webhooks security. Twilio signs the URL that it requested, byte for byte, and we see that
URL only through tunnels and proxies. So the URL is rebuilt in each spelling that Twilio is known to
sign, and one that fits is enough: each of them names this service.
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
    """The fields of a form, blank and repeated ones kept: the signature counts them.

    Raises ProtocolError when the body is no form.
    """
    try:
        return parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FORM_FIELDS
        )
    except ValueError as error:
        raise ProtocolError(f"the request's body is not a form: {error}") from None


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a request is not taken for Twilio's. `reason`: in a few words. `fix`: the setting that
    mends it, if it was Twilio's. `url_checked`: what the signature was compared with, without its
    query."""

    reason: str
    fix: str
    url_checked: str = ""


class SignatureChecker:
    """Checks requests of one Twilio account.

    `auth_token`: the account's primary auth token, or the secret of the shared key that Twilio
    signs with; empty, no request is ever valid. `public_url`: the address that Twilio was given,
    path prefix included; None derives it from each request. `trusted_proxies`: addresses, CIDR
    blocks or `*`, whose forwarded headers are believed.
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
        """The public base URL of this service, `https://host[:port][/prefix]`, no trailing slash.

        None when the request's headers name no usable host. The base of stream URLs is the same
        with `wss` for a scheme: Twilio takes no other.
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
        """Whether there is a signature at all, valid or not."""
        return _header(scope, b"x-twilio-signature") is not None

    def is_valid(self, scope: Scope, body: bytes = b"") -> bool:
        """Whether Twilio signed this webhook or WebSocket handshake. Never raises.

        `body`: raw, as received. A form is part of what is signed; of any other body the URL must
        carry the hash (`bodySHA256`).
        """
        signature = _header(scope, b"x-twilio-signature")
        if self._validator is None or not signature:
            return False
        try:
            form = self._signed_fields(scope, body)
            wanted = signature.encode()
            # Both algorithms are keyed with our secret, so the header decides nothing that an
            # attacker could use; an algorithm that we do not know raises ValueError.
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
        """Why `is_valid` said no, for the log."""
        base = self.base_url(scope)
        if base is None:
            return Fault("Host is missing or wrong", "set PUBLIC_URL to the address Twilio reaches")
        if not self.is_signed(scope):
            why = "the signature is missing"
            fix = "Twilio signs its requests; a proxy must pass X-Twilio-Signature on"
        else:
            why = "the signature fits neither the URL nor the token"
            fix = (
                f"TWILIO_AUTH_TOKEN must be the account's primary auth token; {self._where(scope)}"
            )
        return Fault(why, fix, next(self._candidates(scope), base).partition("?")[0])

    def _where(self, scope: Scope) -> str:
        if self._public_url:
            return "PUBLIC_URL must be the address that Twilio requests"
        forwarded = _header(scope, b"x-forwarded-host") or _header(scope, b"x-forwarded-proto")
        if forwarded and not self._proxies.trust(scope.get("client")):
            return "TRUSTED_PROXIES must name the proxy, or PUBLIC_URL the address Twilio requests"
        return "set PUBLIC_URL to the address that Twilio requests"

    def peer(self, scope: Scope) -> str:
        """The address that a request came from: behind a trusted proxy, the one that it names."""
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
            raise ProtocolError("the body does not have the hash that its URL names")
        return _Form([])

    def _candidates(self, scope: Scope) -> Iterator[str]:
        """Each URL that Twilio may have signed for this request.

        Its port is signed or not, and Twilio is not consistent in it (the twilio package's
        validator says so); of a stream's URL neither the port nor the trailing slash is sure.
        """
        base = self.base_url(scope)
        if base is None:
            return
        scheme, netloc, prefix, _, _ = urlsplit(base)
        paths = [_raw_path(scope)]
        if prefix and paths[0].startswith(f"{prefix}/"):
            prefix = ""  # the proxy left it in place
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
    """Form fields in the shape that the twilio package asks for repeated ones."""

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
    """Peers whose forwarded headers are believed."""

    def __init__(self, trusted: Iterable[str | IPv4Network | IPv6Network]) -> None:
        self._everyone = False
        self._networks: list[IPv4Network | IPv6Network] = []
        for entry in trusted:
            if entry == "*":
                self._everyone = True
                continue
            try:
                self._networks.append(ip_network(str(entry), strict=False))
            except ValueError:
                raise ConfigError(
                    f"trusted proxy '{entry}' is no address; write an IP address, a CIDR block or *"
                ) from None

    def trust(self, peer: Sequence[Any] | None) -> bool:
        if self._everyone or not peer or not self._networks:
            return self._everyone
        try:
            address = ip_address(str(peer[0]))
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


def _header(scope: Scope, name: bytes) -> str | None:
    """The first header of that name; ASGI has lower-case names and raw values."""
    for key, value in scope.get("headers", ()):
        if key.lower() == name:
            return bytes(value).decode("latin-1").strip()
    return None


def _first(value: str | None) -> str:
    """The first of a comma list: what the outermost proxy saw."""
    return (value or "").partition(",")[0].strip()


def _is_host(text: str) -> bool:
    found = _HOST.fullmatch(text)
    return found is not None and 0 < int(found["port"] or 443) < 65536


def _raw_path(scope: Scope) -> str:
    """The path as it was requested: percent-encoding must not be normalised."""
    raw = scope.get("raw_path")
    return bytes(raw).decode("ascii") if raw else quote(scope["path"])


def _addresses(netloc: str, scheme: str) -> Iterable[str]:
    """A network location as it is, without its port, and with the default one."""
    user, at, address = netloc.rpartition("@")
    found = _HOST.fullmatch(address)
    host = found["host"] if found else address
    default = f"{host}:{_DEFAULT_PORTS[scheme]}"
    return dict.fromkeys(f"{user}{at}{each}" for each in (address, host, default))
