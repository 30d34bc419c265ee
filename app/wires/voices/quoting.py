"""What a provider says of an error, as far as it may be repeated."""

from collections.abc import Sequence

TOLD_CHARACTERS = 160
TELLING_CHARACTERS = 6  # so much of a secret in a row gives it away


def quotable(message: str, private: Sequence[str]) -> str:
    """The beginning of the message, if it repeats nothing of what is `private` (a text,
    credentials); else nothing. What is escaped may hide it."""
    if "\\" in message:
        return ""
    for secret in private:
        for at in range(max(1, len(secret) - TELLING_CHARACTERS + 1)):
            if secret and secret[at : at + TELLING_CHARACTERS] in message:
                return ""
    printable = "".join(each if each.isprintable() else " " for each in message)
    return " ".join(printable.split())[:TOLD_CHARACTERS]
