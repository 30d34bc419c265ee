"""Telephone numbers: validates E.164 numbers."""

import re
from typing import Annotated

import phonenumbers
from pydantic import AfterValidator

_E164 = re.compile(r"\+[1-9][0-9]{1,14}")

NUMBER_PATTERN = r"^\+[1-9][0-9]{1,14}$"
"""E.164 as a regular expression, for JSON schemas. It accepts more numbers than `e164` does."""
EXPECTED_NUMBER = (
    "an E.164 number such as +14155550100 (a plus, the country, the number, digits only)"
)


def e164(value: str) -> str:
    """Returns the number if it is a possible E.164 number.

    Raises:
        ValueError: it is not.
    """
    # "Possible", not "valid": numbers reserved for tests and fiction, such as +15005550006, are in
    # no valid range.
    try:
        possible = phonenumbers.is_possible_number(phonenumbers.parse(value))
    except phonenumbers.NumberParseException:
        possible = False
    if not possible or not _E164.fullmatch(value):
        raise ValueError(f"expected {EXPECTED_NUMBER}")
    return value


def is_number(value: str) -> bool:
    """Whether Twilio's `From` or `To` is an E.164 number, and neither a `client:` or `sip:` address
    nor the placeholder of a withheld number."""
    try:
        e164(value)
    except ValueError:
        return False
    return True


def country(number: str) -> str:
    """The country of an E.164 number in ISO 3166 letters, such as `US`, also where countries share
    a calling code. `001`: a number of no country. A number outside of all ranges in use, such as
    one for tests, belongs to the main country of its calling code."""
    parsed = phonenumbers.parse(number)
    found = phonenumbers.region_code_for_number(parsed)
    return found or phonenumbers.region_code_for_country_code(parsed.country_code or 0)


Number = Annotated[str, AfterValidator(e164)]
