"""What a telephone number is: E.164, in a form that the number plans allow."""

import re
from typing import Annotated

import phonenumbers
from pydantic import AfterValidator

_E164 = re.compile(r"\+[1-9][0-9]{1,14}")

NUMBER_PATTERN = r"^\+[1-9][0-9]{1,14}$"
"""What a number to call looks like; whether the number plans know such numbers, it cannot say."""
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


def is_number(value: str) -> bool:
    """Whether it is a telephone number in E.164 form, and no `client:` or `sip:` address, and not
    what stands for a number that is withheld."""
    try:
        e164(value)
    except ValueError:
        return False
    return True


def calling_code(number: str) -> str:
    """What the numbers of its country begin with. All the countries of +1 share one."""
    return f"+{phonenumbers.parse(number).country_code}"


Number = Annotated[str, AfterValidator(e164)]
