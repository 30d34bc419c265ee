"""Which numbers outbound calls may dial: allowed by prefix, neither short nor premium-rate."""

import re

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType, shortnumberinfo

from app.config.phone_number import EXPECTED_NUMBER, NUMBER_PATTERN, is_number
from app.errors import BridgeError

ANYBODY = ("*",)


class OutboundRefused(BridgeError):
    """No call was placed. With status 504 Twilio did not answer: it may have placed the call."""

    def __init__(
        self, status: int, reason: str, message: str, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        #: The HTTP status to answer with.
        self.status = status
        #: In two or three words, for the log.
        self.reason = reason
        #: Whole seconds until this reason no longer holds; None: unknown.
        self.retry_after_s = retry_after_s


def check_number(to: str, from_number: str, prefixes: tuple[str, ...]) -> None:
    """Check that `to` may be dialled. `prefixes`: what a number may begin with, or `ANYBODY`.

    Short numbers, such as those of the emergency services, are never dialled. A premium-rate number
    is dialled only if the whole of it is one of the prefixes: the owner of such a number earns by
    each call, and might have stolen the API token.

    Raises:
        OutboundRefused: `to` is not allowed, or is not a valid E.164 number.
    """
    if not re.fullmatch(NUMBER_PATTERN, to):
        raise OutboundRefused(
            422, "no number", f"this is not a number to call; expected {EXPECTED_NUMBER}"
        )
    if not is_number(to):
        raise OutboundRefused(
            403, "no such number", "no numbering plan has this number; check the digits"
        )
    number = phonenumbers.parse(to)
    if to == from_number:
        raise OutboundRefused(
            403, "own number", "this is TWILIO_PHONE_NUMBER itself; the agent would call itself"
        )
    if prefixes != ANYBODY and not to.startswith(prefixes):
        raise OutboundRefused(
            403,
            "prefix not allowed",
            f"numbers that begin so are not called, only {', '.join(prefixes)}; add the beginning "
            "of this one to OUTBOUND_PREFIXES",
        )
    if _is_short(number):
        raise OutboundRefused(
            403, "short number", "emergency and other short numbers are never called"
        )
    if _is_premium_rate(number) and to not in prefixes:
        raise OutboundRefused(
            403,
            "premium rate",
            "this is a premium-rate number; to have it called put the whole of it into "
            "OUTBOUND_PREFIXES",
        )


def _is_short(number: PhoneNumber) -> bool:
    """+49110 is possible by its length, and may reach the police."""
    return bool(shortnumberinfo.is_valid_short_number(number))


def _is_premium_rate(number: PhoneNumber) -> bool:
    return bool(phonenumbers.number_type(number) == PhoneNumberType.PREMIUM_RATE)
