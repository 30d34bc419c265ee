"""The line of softphones: in place of Twilio's REST API for calls that Twilio does not know."""

import hmac
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Protocol

#: The `direction` of a softphone's call.
SOFTPHONE = "softphone"
#: The caller of a softphone's call, as Twilio writes a caller without a number.
CALLER = "client:softphone"

_PURPOSE = b"\0SID of a softphone's call"
_PART_BYTES = 8


class CallControl(Protocol):
    """Orders about a live call: `TwilioRest` for a phone call, `SoftphoneLine` for a softphone's.

    Methods raise TwilioError if the order is refused.
    """

    async def redirect(self, call_sid: str, twiml: str) -> None:
        """Replace the TwiML that the call runs. This ends its media stream."""

    async def hang_up(self, call_sid: str) -> None:
        """End the call."""


def _ignore_redirect(call_sid: str, twiml: str) -> None:
    """In place of `SoftphoneLine.on_redirected` until it is set."""


def _ignore_hang_up(call_sid: str) -> None:
    """In place of `SoftphoneLine.on_hung_up` until it is set."""


class SoftphoneLine:
    """Makes the SIDs of softphones' calls, knows them again, and carries orders out here.

    Half of such a SID is a MAC of the other half. So any replica knows from the SID alone that
    nothing about the call may go to Twilio.

    Args:
        key: the same in all replicas.
    """

    def __init__(self, key: bytes) -> None:
        #: Called with a call SID and the TwiML that the call runs from now on.
        self.on_redirected: Callable[[str, str], None] = _ignore_redirect
        #: Called with the SID of a call that is hung up.
        self.on_hung_up: Callable[[str], None] = _ignore_hang_up
        self._key = key

    def new_sid(self) -> str:
        """A SID for a new call, in the form of Twilio's."""
        part = secrets.token_bytes(_PART_BYTES)
        return f"CA{part.hex()}{self._mac(part)}"

    def has(self, call_sid: str) -> bool:
        """Whether this is the SID of a softphone's call. Never raises."""
        if len(call_sid) != 2 + 4 * _PART_BYTES or not call_sid.startswith("CA"):
            return False
        try:
            part = bytes.fromhex(call_sid[2 : 2 + 2 * _PART_BYTES])
        except ValueError:
            return False
        given = call_sid[2 + 2 * _PART_BYTES :].encode()
        return hmac.compare_digest(self._mac(part).encode(), given)

    async def redirect(self, call_sid: str, twiml: str) -> None:
        """See `CallControl`."""
        self.on_redirected(call_sid, twiml)

    async def hang_up(self, call_sid: str) -> None:
        """See `CallControl`."""
        self.on_hung_up(call_sid)

    def _mac(self, part: bytes) -> str:
        return hmac.digest(self._key, _PURPOSE + part, sha256)[:_PART_BYTES].hex()
