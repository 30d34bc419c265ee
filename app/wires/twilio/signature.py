"""Checks Twilio's request signature, `X-Twilio-Signature`.

Twilio: webhooks security. Twilio signs the exact URL that it requested. Behind tunnels and proxies
a server does not see that URL, so the checker rebuilds every form of it that Twilio is known to
sign. One match is enough: all forms name this service.
"""

import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, repeat, zip_longest
from urllib.parse import parse_qsl, quote, urlsplit

from twilio.request_validator import RequestValidator, get_signature_algorithm

from app.errors import ProtocolError
from app.wires.twilio.public_address import (
    Network,
    PublicAddress,
    Scope,
    collapsed,
    header,
    netlocs,
    without_prefix,
)

_MOST_FORM_FIELDS = 1000


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
        public_url, trusted_proxies, replica_url: see `PublicAddress`.

    Raises:
        ConfigError: an entry of `trusted_proxies` is invalid.
    """

    def __init__(
        self,
        auth_token: str,
        public_url: str | None = None,
        trusted_proxies: Iterable[str | Network] = (),
        replica_url: str | None = None,
    ) -> None:
        self._validator = RequestValidator(auth_token) if auth_token else None
        self._address = PublicAddress(public_url, trusted_proxies, replica_url)

    def base_url(self, scope: Scope) -> str | None:
        """The public base URL of this service, `https://host[:port][/prefix]`, without a trailing
        slash. None if the request's headers have no valid host.

        Stream URLs have the same base with the scheme `wss`, the only one that Twilio accepts.
        """
        return next(iter(self._address.bases(scope)), None)

    def page_bases(self, scope: Scope) -> list[str]:
        """See `PublicAddress.page_bases`."""
        return self._address.page_bases(scope)

    def prefixes(self, scope: Scope) -> list[str]:
        """The path prefixes that a proxy may have left in the request's path."""
        return self._address.prefixes(scope)

    def is_signed(self, scope: Scope) -> bool:
        """Whether the request has a signature, valid or not."""
        return header(scope, b"x-twilio-signature") is not None

    def is_valid(self, scope: Scope, body: bytes = b"") -> bool:
        """Whether Twilio signed this webhook request or WebSocket handshake. Never raises.

        `body`: as received. The signature covers the fields of a form; for any other body the URL
        must have its hash, in `bodySHA256`.
        """
        return self.signed_base(scope, body) is not None

    def signed_base(self, scope: Scope, body: bytes = b"") -> str | None:
        """The base URL that Twilio requested and signed; None if no signature is valid. See
        `is_valid` for `body`. Never raises."""
        signature = header(scope, b"x-twilio-signature")
        if self._validator is None or not signature:
            return None
        try:
            form, wanted = self._signed_form(scope, body), signature.encode()
            # The sender's header chooses the algorithm. That is safe, because both are keyed with
            # the auth token. An unknown algorithm raises ValueError.
            algorithm = get_signature_algorithm(
                header(scope, b"x-twilio-webhooks-signature-settings")
            )
            for base, url in self._candidates(scope):
                computed = self._validator.compute_signature(url + form, {}, algorithm)
                if hmac.compare_digest(computed.encode(), wanted):
                    return base
        except (ValueError, ProtocolError):
            pass
        return None

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
        _, checked = next(self._candidates(scope), (base, base))
        return Fault(reason, fix, checked.partition("?")[0])

    def _url_fix(self, scope: Scope) -> str:
        if self._address.public_url:
            return "PUBLIC_URL must be the URL that Twilio requests"
        if self._address.reports_untrusted(scope):
            return "TRUSTED_PROXIES must name the proxy, or PUBLIC_URL the URL that Twilio requests"
        return "set PUBLIC_URL to the URL that Twilio requests"

    def peer(self, scope: Scope) -> str:
        """The client's address; see `PublicAddress.client`."""
        return self._address.client(scope)

    def _signed_form(self, scope: Scope, body: bytes) -> str:
        """What the signature covers after the URL."""
        if not body:
            return ""
        content_type = (header(scope, b"content-type") or "").partition(";")[0].strip().lower()
        if content_type == "application/x-www-form-urlencoded":
            # As the `twilio` package does: a repeated name counts once per distinct value.
            return "".join(name + value for name, value in sorted(set(parse_form(body))))
        query = scope.get("query_string", b"").decode("ascii")
        named = dict(parse_qsl(query)).get("bodySHA256", "")
        if not hmac.compare_digest(sha256(body).hexdigest().encode(), named.lower().encode()):
            raise ProtocolError("the body's SHA-256 is not the URL's bodySHA256")
        return ""

    def _candidates(self, scope: Scope) -> Iterator[tuple[str, str]]:
        """Every base with a URL that Twilio may have signed for this request; the first form of
        each base before the others, so that the base is the one that Twilio requested."""
        bases, spellings = self._address.signed_bases(scope), self._address.spellings(scope)
        forms = [zip(repeat(base), _urls(base, scope, spellings)) for base in bases]
        return (each for each in chain.from_iterable(zip_longest(*forms)) if each is not None)


def _urls(base: str, scope: Scope, spellings: list[str]) -> Iterator[str]:
    """Every form of the URL, given its base. `spellings`: of its host.

    Twilio signs the URL with or without its port (the `twilio` package's validator tries both);
    a stream's URL also with or without a trailing slash, and as wss although the request is ws.
    """
    scheme, netloc, prefix, _, _ = urlsplit(base)
    schemes, targets = [scheme], _targets(_raw_path(scope), prefix)
    if scope["type"] == "websocket":
        schemes = ["wss"] if scheme == "https" else ["wss", "ws"]
        bare = [each.rstrip("/") for each in targets]
        targets = [*targets, *bare, *(f"{each}/" for each in bare)]
    query = scope.get("query_string", b"").decode("ascii")
    for target in dict.fromkeys(targets):
        for each in schemes:
            for address in netlocs(netloc, each, spellings):
                yield f"{each}://{address}{target}" + (f"?{query}" if query else "")


def _targets(path: str, prefix: str) -> list[str]:
    """The public paths that a request for `path` may have had, the most likely one first.

    A proxy may have stripped the prefix or not, have merged the slashes of `https://host//path`, or
    have left `//path` of a stripped prefix. Slashes may be doubled before the prefix and behind it.
    """
    single = collapsed(path)
    targets = [f"{prefix}{each}" for each in (path, single, f"/{single}")]
    below = without_prefix(path, prefix) if prefix else None
    if below is not None:
        targets = [path, f"{prefix}{below}", f"{prefix}/{below}", *targets]
    if prefix:
        bare = [single] if below is None else [single, below]
        targets += [f"/{prefix}{slash}{each}" for each in bare for slash in ("", "/")]
    return targets


def _raw_path(scope: Scope) -> str:
    """The path as requested. The signature covers its percent-encoding, so it is not decoded."""
    raw = scope.get("raw_path")
    return bytes(raw).decode("ascii") if raw else quote(scope["path"])
