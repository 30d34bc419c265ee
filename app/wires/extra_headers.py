"""HTTP headers in a setting: `Name: value`, several separated by `;`."""

import re

from app.call.words.blank import is_blank, stripped

Headers = tuple[tuple[str, str], ...]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, token
_VALUE = re.compile(r"[\t -~]*")


def parse_headers(text: str) -> Headers:
    """The headers in a setting, in its order.

    Raises:
        ValueError: a part is no `Name: value` in printable ASCII. The error does not show it: a
            value may be a credential.
    """
    parts = [part.partition(":") for part in text.split(";") if not is_blank(part)]
    headers = tuple((stripped(name), stripped(value)) for name, _, value in parts)
    if not can_be_sent(headers) or not all(value for _, value in headers):
        raise ValueError("expected Name: value")
    return headers


def can_be_sent(headers: Headers) -> bool:
    """Whether names and values are what HTTP allows, in printable ASCII. A value may be empty."""
    return all(_NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, value in headers)
