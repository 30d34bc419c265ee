"""What a telephone number is: E.164, in a form that the number plans allow."""

import re
from typing import Annotated

import phonenumbers
from pydantic import AfterValidator

_E164 = re.compile(r"\+[1-9][0-9]{1,14}")

EXPECTED_NUMBER = (
    "an E.164 number such as +14155550100 (a plus, the country, the number, digits only)"
)


def e164(value: str) -> str:
    """The number itself.

    Raises:
        ValueError: it is none.
    """
    # Possible, not valid: numbers kept for tests and fiction (+15005550006) are in no range that
    # the number plans call valid.
    try:
        possible = phonenumbers.is_possible_number(phonenumbers.parse(value))
    except phonenumbers.NumberParseException:
        possible = False
    if not possible or not _E164.fullmatch(value):
        raise ValueError(f"expected {EXPECTED_NUMBER}")
    return value


Number = Annotated[str, AfterValidator(e164)]
