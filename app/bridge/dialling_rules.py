"""Which numbers may be dialled: in an allowed range, and of no kind that never is."""

import re

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType, shortnumberinfo

from app.config.phone_number import EXPECTED_NUMBER, NUMBER_PATTERN, is_number
from app.errors import BridgeError

ANYBODY = ("*",)


class OutboundRefused(BridgeError):
    """No call was placed; with status 504 it is not sure.

    `status`: what it is in HTTP. `reason`: in a word or two. `retry_after_s`: whole seconds until
    the same would not be refused for this reason, where that is known.
    """

    def __init__(
        self, status: int, reason: str, message: str, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s


def check_number(to: str, from_number: str, prefixes: tuple[str, ...]) -> None:
    """`prefixes`: what a number may begin with, or `ANYBODY`.

    Short numbers, such as those of the emergency services, are never dialled, and premium-rate
    numbers only when the whole of one is a prefix: whoever got hold of the token could earn by
    calls to them.

    Raises:
        OutboundRefused: `to` may not be dialled, or is no number.
    """
    if not re.fullmatch(NUMBER_PATTERN, to):
        raise OutboundRefused(
            422, "no number", f"this is no number to call; expected {EXPECTED_NUMBER}"
        )
    if not is_number(to):
        raise OutboundRefused(
            403, "no such number", "no country's numbers look so; check the digits, and how many"
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
