"""Quotes a provider's error message without secrets."""

from collections.abc import Sequence

LONGEST_QUOTE_CHARACTERS = 160
#: A message with so many consecutive characters of a secret is not quoted.
REVEALING_CHARACTERS = 6


def quotable(message: str, private: Sequence[str]) -> str:
    """The beginning of the message on one line, or empty if the message repeats a part of a
    `private` string (a text, a credential).

    A message with a backslash is not quoted either: an escape sequence could hide such a part.
    """
    if "\\" in message:
        return ""
    for secret in private:
        for at in range(max(1, len(secret) - REVEALING_CHARACTERS + 1)):
            if secret and secret[at : at + REVEALING_CHARACTERS] in message:
                return ""
    printable = "".join(each if each.isprintable() else " " for each in message)
    return " ".join(printable.split())[:LONGEST_QUOTE_CHARACTERS]
