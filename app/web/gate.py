"""Which webhooks and media sockets are admitted: those of this service's Twilio account."""

from dataclasses import replace
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from app.web import authenticated
from app.web.bearer import bearer_in, token_matches
from app.wires.twilio.signature import Fault, SignatureChecker

_SIGNED_BASE = "phone_agent.signed_base"  # in a request's scope, once its signature was checked


class Gate:
    """Admits webhooks and media sockets of this service's Twilio account, and no others.

    Args:
        api_token: must come as bearer token if requests are not signed.
        signed: there is a Twilio account, so that requests must be signed.
        stream_signature: TWILIO_STREAM_SIGNATURE, "require" or "if-present".
        rest_url: TWILIO_API_BASE_URL.
    """

    def __init__(
        self,
        signatures: SignatureChecker,
        *,
        api_token: str,
        signed: bool,
        stream_signature: str,
        rest_url: str,
    ) -> None:
        #: Requests must be signed; otherwise they must carry the token.
        self.signed = signed
        self._signatures = signatures
        self._api_token = api_token
        self._stream_signature = stream_signature
        self._rest_is_local = _is_loopback(rest_url)

    def base_url(self, scope: Scope) -> str | None:
        """The address at which Twilio reaches this service; None if the request has no Host.

        For a signed request it is the one that Twilio signed, otherwise the most likely one.
        """
        return scope.get(_SIGNED_BASE) or self._signatures.base_url(scope)

    def page_bases(self, scope: Scope) -> list[str]:
        """The base URLs at which a browser may have loaded the console, the most likely one
        first."""
        return self._signatures.page_bases(scope)

    def use_base(self, scope: Scope, base_url: str) -> None:
        """Have `base_url` return this for the request."""
        scope[_SIGNED_BASE] = base_url

    def prefixes(self, scope: Scope) -> list[str]:
        """The path prefixes that a proxy may have left in the request's path."""
        return self._signatures.prefixes(scope)

    def url_for_twilio(self, scope: Scope) -> str | None:
        """The same, for a URL given to Twilio's REST API: None for a loopback address, which Twilio
        cannot reach (unless its REST API is a simulator on this machine)."""
        base_url = self.base_url(scope)
        if base_url is None or (_is_loopback(base_url) and not self._rest_is_local):
            return None
        return base_url

    def admits(self, scope: Scope, body: bytes) -> bool:
        """Whether a webhook is signed by Twilio, or carries the token if there is no account."""
        if self.signed:
            scope[_SIGNED_BASE] = self._signatures.signed_base(scope, body)
            admitted = scope[_SIGNED_BASE] is not None
        else:
            token = bearer_in(Headers(scope=scope).get("authorization", ""))
            admitted = token_matches(token, self._api_token)
        if admitted:
            authenticated.mark_authenticated(scope)
        return admitted

    def admits_stream(self, scope: Scope) -> bool:
        """Whether the signature of a media socket's handshake is acceptable. Check its ticket next.

        Twilio does not document that it signs every handshake: "if-present" accepts a missing
        signature. A wrong one is never accepted.
        """
        if not self.signed:
            return True
        if self._stream_signature == "if-present" and not self._signatures.is_signed(scope):
            return True
        admitted = self._signatures.is_valid(scope)
        if admitted:
            authenticated.mark_authenticated(scope)
        return admitted

    def fault(self, scope: Scope) -> Fault:
        """Why a webhook or handshake was not admitted, for the log."""
        if not self.signed:
            fix = "set TWILIO_AUTH_TOKEN, or send Authorization: Bearer with API_TOKEN"
            return Fault(
                "there is no Twilio account, and the bearer token is missing or wrong", fix
            )
        fault = self._signatures.fault(scope)
        if scope["type"] == "websocket" and not self._signatures.is_signed(scope):
            return replace(fault, fix="TWILIO_STREAM_SIGNATURE=if-present lets it in")
        return fault

    def peer(self, scope: Scope) -> str:
        """The address of the client; forwarded headers count from trusted proxies only."""
        return self._signatures.peer(scope)


def _is_loopback(url: str) -> bool:
    """Whether a URL points to the machine on which it is used."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
