"""The address at which Twilio reaches this service: PUBLIC_URL, or what trusted proxies report.

Proxies report the address in `X-Forwarded-Host`, `-Proto`, `-Port` and `-Prefix`, or in `Forwarded`
(RFC 7239). Both count only in requests from TRUSTED_PROXIES. `X-Forwarded-*` is preferred: most
proxies set those headers alone, and pass on a `Forwarded` that a client made up.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import unquote, urlsplit

from forwarded import client_from_forwarded, client_from_x_forwarded, parse, parse_x_forwarded

from app.errors import ConfigError

Scope = Mapping[str, Any]
"""An ASGI scope of type http or websocket."""

Network = IPv4Network | IPv6Network

#: How many addresses of one request are tried; longer lists of hops are cut.
MOST_BASES = 4

_SECURE = {"http": False, "https": True, "ws": False, "wss": True}
_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
_HOST = re.compile(
    r"(?P<host>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:(?P<port>[0-9]{1,5}))?"
)
_PORT = re.compile("[0-9]{1,5}")
_PREFIX = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)+")
_SLASHES = re.compile("/{2,}")
_ALL = ("0.0.0.0/0", "::/0")


class PublicAddress:
    """The public base URL of a request, and the address of its client.

    Args:
        public_url: The base URL that Twilio requests, with its path prefix. None: derive it from
            each request.
        trusted_proxies: Addresses, CIDR blocks or `*`. Forwarded headers are used only in requests
            from these peers.
        replica_url: Another base URL of this service, to which Twilio opens media streams.

    Raises:
        ConfigError: an entry of `trusted_proxies` is invalid.
    """

    def __init__(
        self,
        public_url: str | None = None,
        trusted_proxies: Iterable[str | Network] = (),
        replica_url: str | None = None,
    ) -> None:
        self.public_url = public_url.rstrip("/") if public_url else None
        self._replica_url = replica_url.rstrip("/") if replica_url else None
        self._trusts_all = False
        self._networks: list[Network] = []
        for entry in trusted_proxies:
            self._trusts_all = self._trusts_all or entry == "*"
            try:
                parts = _ALL if entry == "*" else (str(entry),)
                self._networks += [ip_network(each, strict=False) for each in parts]
            except ValueError:
                raise ConfigError(
                    f"TRUSTED_PROXIES: expected IP addresses, CIDR blocks or *, got '{entry}'"
                ) from None

    def bases(self, scope: Scope) -> list[str]:
        """Every base URL that Twilio may have requested, `https://host[:port][/prefix]` without a
        trailing slash; the most likely one first. Empty: the headers have no valid host.

        With PUBLIC_URL it is the only one. Otherwise each hop of the forwarded headers names one.
        """
        if self.public_url:
            return [self.public_url]
        scheme, host = str(scope.get("scheme", "http")), header(scope, b"host")
        reported = [(scheme, host)]
        if self.trusts(scope):
            hops = [*_x_forwarded(scope, scheme, host), *_forwarded(scope, scheme, host)]
            reported = hops or reported
        prefix = self._prefix(scope)
        found = (_base(*each, prefix) for each in reported[:MOST_BASES])
        return list(dict.fromkeys(each for each in found if each))

    def page_bases(self, scope: Scope) -> list[str]:
        """Every base URL at which a browser may have loaded a page of this service, the most likely
        one first. A proxy that ends TLS may not report it: the host's https address is one too."""
        own = _base(str(scope.get("scheme", "http")), header(scope, b"host"), self._prefix(scope))
        reported = [] if self.public_url else self.bases(scope)
        public = [self.public_url] if self.public_url else []
        if own and public and urlsplit(own).netloc == urlsplit(public[0]).netloc:
            own = public[0]
        found = [*reported, *([own] if own else []), *public]
        return list(dict.fromkeys([*found, *map(_secure, found)]))

    def signed_bases(self, scope: Scope) -> list[str]:
        """`bases`, and behind them those that only a signature can confirm: each with https, and
        Host itself. For a media stream's handshake also the replica's own.

        A proxy that ends TLS may report the host without the scheme (Apache), overwrite the scheme
        with that of its own connection (Envoy), or report the host without the port that it left in
        Host (nginx).
        """
        found = self.bases(scope)
        if self._replica_url and scope["type"] == "websocket":
            found = list(dict.fromkeys([*found, self._replica_url]))
        if self.public_url:
            return found
        scheme, host = str(scope.get("scheme", "http")), header(scope, b"host")
        own = _base(scheme, host, self._prefix(scope))
        all_bases = [*found, *map(_secure, found), *([_secure(own), own] if own else [])]
        return list(dict.fromkeys(all_bases))

    def _prefix(self, scope: Scope) -> str:
        """The prefix that a trusted proxy stripped from the path; empty: none."""
        return _prefix_of(scope) if self.trusts(scope) else ""

    def spellings(self, scope: Scope) -> list[str]:
        """The host as this request spells it, in upper and lower case: Host, and the first hosts of
        a trusted proxy's headers."""
        found = _lines(scope, b"host")[:1]
        if self.trusts(scope):
            reported = [*_x_forwarded(scope, "", None), *_forwarded(scope, "", None)]
            found += [host for _, host in reported[:MOST_BASES] if host]
        return found

    def prefixes(self, scope: Scope) -> list[str]:
        """The path prefixes of `bases` and of the replica's own, without empty ones."""
        bases = [*self.bases(scope), *([self._replica_url] if self._replica_url else [])]
        found = dict.fromkeys(urlsplit(each).path for each in bases)
        return [each for each in found if each]

    def reports_untrusted(self, scope: Scope) -> bool:
        """Whether the request has forwarded headers that do not count."""
        names = (b"x-forwarded-host", b"x-forwarded-proto", b"forwarded")
        return not self.trusts(scope) and any(_lines(scope, each) for each in names)

    def trusts(self, scope: Scope) -> bool:
        """Whether forwarded headers of this request count."""
        peer: Sequence[Any] | None = scope.get("client")
        if self._trusts_all or not peer or not self._networks:
            return self._trusts_all
        try:
            address = ip_address(str(peer[0]))
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)

    def client(self, scope: Scope) -> str:
        """The client's IP address: the last one in `X-Forwarded-For`, else in `Forwarded`, that is
        not a trusted proxy's.

        The peer's own address if the peer is not trusted, or the headers do not say (`unknown`, an
        obfuscated identifier, a syntax error). Empty if the server does not know it.
        """
        peer: Sequence[Any] | None = scope.get("client")
        remote = str(peer[0]) if peer else ""
        if not remote or not self.trusts(scope):
            return remote
        try:
            if lines := _lines(scope, b"x-forwarded-for"):
                found = client_from_x_forwarded(lines, remote, trusted=self._networks)
            else:
                lines = _lines(scope, b"forwarded")
                found = client_from_forwarded(lines, remote, trusted=self._networks)
        except ValueError:  # the peer's address is not an IP address
            return remote
        return str(found.node.ip) if found and found.node.ip else remote


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of that name. `name`: in lower case."""
    return next(iter(_lines(scope, name)), None)


def without_prefix(path: str, prefix: str) -> str | None:
    """The part of `path` below `prefix`; None if it is not below it. Percent-encoding is compared
    decoded, and several slashes count as one."""
    asked = collapsed(path).split("/")
    wanted = collapsed(prefix).rstrip("/").split("/")
    if list(map(unquote, asked[: len(wanted)])) != list(map(unquote, wanted)):
        return None
    return "/" + "/".join(asked[len(wanted) :])


def collapsed(path: str) -> str:
    """A path with single slashes."""
    return _SLASHES.sub("/", path)


def netlocs(netloc: str, scheme: str, spellings: Iterable[str]) -> list[str]:
    """A network location in every form that may be signed: unchanged, without its port, with the
    scheme's default port, and each with the host name in lower case and as `spellings` have it."""
    user, at, address = netloc.rpartition("@")
    found = _HOST.fullmatch(address)
    named, port = (found["host"], found["port"]) if found else (address, None)
    hosts = [named, named.lower()]
    for each in spellings:
        asked = _HOST.fullmatch(each)
        if asked and asked["host"].lower() == named.lower():
            hosts.append(asked["host"])
    ports = [f":{port}" if port else "", "", f":{_DEFAULT_PORTS[scheme]}"]
    return list(dict.fromkeys(f"{user}{at}{host}{each}" for each in ports for host in hosts))


def _base(scheme: str, host: str | None, prefix: str) -> str | None:
    secure, found = _SECURE.get(scheme.lower()), _HOST.fullmatch(host or "")
    if secure is None or not found or not 0 < int(found["port"] or 443) < 65536:
        return None
    return f"{'https' if secure else 'http'}://{host}{prefix}"


def _secure(base: str) -> str:
    return f"https://{base.partition('://')[2]}"


def _x_forwarded(scope: Scope, scheme: str, host: str | None) -> Iterator[tuple[str, str | None]]:
    """The scheme and host of each hop in X-Forwarded-Proto, -Host and -Port; none without them."""
    hosts = parse_x_forwarded(_lines(scope, b"x-forwarded-host"))
    schemes = parse_x_forwarded(_lines(scope, b"x-forwarded-proto"))
    ports = parse_x_forwarded(_lines(scope, b"x-forwarded-port"))
    if not hosts and not schemes:
        return
    first = schemes[0] if schemes else scheme
    for index, each in enumerate(hosts or [host or ""]):
        own = schemes[index] if index < len(schemes) else first
        yield own, each
        # A host without a port may still be at another one than the default.
        port = ports[0] if ports and _PORT.fullmatch(ports[0]) else ""
        found = _HOST.fullmatch(each)
        if index == 0 and port and found and not found["port"]:
            if port != _DEFAULT_PORTS.get(own.lower()):
                yield own, f"{each}:{port}"


def _forwarded(scope: Scope, scheme: str, host: str | None) -> Iterator[tuple[str, str | None]]:
    """The scheme and host of each hop in Forwarded; none without them."""
    for hop in parse(_lines(scope, b"forwarded")):
        if "host" in hop or "proto" in hop:
            yield hop.get("proto", scheme), hop.get("host", host)


def _prefix_of(scope: Scope) -> str:
    """X-Forwarded-Prefix, which proxies set to the prefix that they stripped; empty without a valid
    one."""
    prefix = (parse_x_forwarded(_lines(scope, b"x-forwarded-prefix")) or [""])[0]
    return prefix.rstrip("/") if _PREFIX.fullmatch(prefix) else ""


def _lines(scope: Scope, name: bytes) -> list[str]:
    """Every header line of that name."""
    return [
        bytes(value).decode("latin-1").strip()
        for key, value in scope.get("headers", ())
        if key.lower() == name
    ]
