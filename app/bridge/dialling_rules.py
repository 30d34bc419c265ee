"""Which numbers outbound calls may dial: in the own country or allowed by prefix,
neither short nor premium-rate."""

import re

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType, shortnumberinfo

from app.config.phone_number import EXPECTED_NUMBER, NUMBER_PATTERN, country, is_number
from app.errors import BridgeError

ANYBODY = ("*",)

_EXPENSIVE = (PhoneNumberType.PREMIUM_RATE, PhoneNumberType.SHARED_COST)
# In North America: area code 900, and exchange 976 of any area code, whose price the local carrier
# sets. `phonenumbers` takes 976 for an ordinary exchange.
_NORTH_AMERICAN_PREMIUM = re.compile(r"\+1(900|[0-9]{3}976)[0-9]+")


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
    """Check that `to` may be dialled.

    Args:
        to: the number to call.
        from_number: TWILIO_PHONE_NUMBER.
        prefixes: what a number may begin with, or `ANYBODY`. Empty: numbers of the country of
            `from_number`, and toll-free numbers of its calling code.

    Short numbers, such as those of the emergency services, are never dialled. A premium-rate or
    shared-cost number is dialled only if the whole of it is one of the prefixes: the owner of such
    a number earns by each call, and might have stolen the API token.

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
    if not prefixes and not _is_domestic(number, to, from_number):
        raise OutboundRefused(
            403,
            "other country",
            f"only numbers of the country of TWILIO_PHONE_NUMBER ({country(from_number)}) are "
            "called; add the beginning of this one to OUTBOUND_PREFIXES",
        )
    if prefixes and prefixes != ANYBODY and not to.startswith(prefixes):
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
    if _is_expensive(number, to) and to not in prefixes:
        raise OutboundRefused(
            403,
            "premium rate",
            "this is a premium-rate or shared-cost number; to have it called put the whole of it "
            "into OUTBOUND_PREFIXES",
        )


def _is_short(number: PhoneNumber) -> bool:
    """+49110 is possible by its length, and may reach the police."""
    return bool(shortnumberinfo.is_valid_short_number(number))


def _is_expensive(number: PhoneNumber, to: str) -> bool:
    kind = phonenumbers.number_type(number)
    return kind in _EXPENSIVE or bool(_NORTH_AMERICAN_PREMIUM.fullmatch(to))


def _is_domestic(number: PhoneNumber, to: str, from_number: str) -> bool:
    """A toll-free number serves every country of its calling code."""
    if phonenumbers.number_type(number) == PhoneNumberType.TOLL_FREE:
        return bool(number.country_code == phonenumbers.parse(from_number).country_code)
    return country(to) == country(from_number)
