"""Signed tickets: whoever has the service's secrets can judge one without asking.

A ticket is URL-safe base64 without padding of its kind (1 byte), its expiry (6 bytes, milliseconds
of Unix time), a nonce (9 bytes), the SID of its call (UTF-8), and a MAC of all that (16 bytes of
HMAC-SHA256).
"""

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Kind = Literal["phone", "softphone", "probe"]
"""What a ticket admits: a media stream of Twilio's, one of a softphone, or a handshake that shows
whether media streams come through, and is closed at once."""

_KINDS: dict[Kind, bytes] = {"phone": b"p", "softphone": b"s", "probe": b"t"}
_EXPIRY_BYTES = 6
_NONCE_BYTES = 9
_MAC_BYTES = 16
_HEAD_BYTES = 1 + _EXPIRY_BYTES + _NONCE_BYTES
_LONGEST_TICKET = 512  # characters


def ticket_key(secret: str) -> bytes:
    """The key of tickets. `secret`: TWILIO_AUTH_TOKEN, else API_TOKEN: the same in all replicas."""
    derived = HKDF(SHA256(), 32, salt=None, info=b"phone-agent: tickets of media streams")
    return derived.derive(secret.encode())


@dataclass(frozen=True, slots=True)
class SignedTicket:
    """What a ticket with a valid MAC says."""

    call_sid: str
    #: Unix seconds.
    expires_s: float


class TicketSigner:
    """Makes tickets and reads them. `key`: of `ticket_key`."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, call_sid: str, expires_s: float, kind: Kind = "phone") -> str:
        """A new ticket. `expires_s`: Unix seconds."""
        expiry = max(0, round(expires_s * 1000)).to_bytes(_EXPIRY_BYTES, "big")
        nonce = secrets.token_bytes(_NONCE_BYTES)
        signed = _KINDS[kind] + expiry + nonce + call_sid.encode()
        return _encoded(signed + self._mac(signed))

    def read(self, ticket: str, kind: Kind = "phone") -> SignedTicket | None:
        """What a ticket says, be it expired or not. None: it has another key or kind, or was
        changed."""
        if len(ticket) > _LONGEST_TICKET or not ticket.isascii():
            return None
        try:
            raw = urlsafe_b64decode(ticket + "=" * (-len(ticket) % 4))
        except ValueError:
            return None
        # A second spelling of the same bytes would be used a second time.
        if len(raw) < _HEAD_BYTES + _MAC_BYTES or _encoded(raw) != ticket:
            return None
        signed, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if signed[:1] != _KINDS[kind] or not hmac.compare_digest(self._mac(signed), mac):
            return None
        expires_s = int.from_bytes(signed[1 : 1 + _EXPIRY_BYTES], "big") / 1000
        return SignedTicket(signed[_HEAD_BYTES:].decode(), expires_s)

    def _mac(self, signed: bytes) -> bytes:
        return hmac.digest(self._key, signed, sha256)[:_MAC_BYTES]


def _encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
