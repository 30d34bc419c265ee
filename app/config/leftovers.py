"""What a value must not keep of the line that it was written on: its quotes, and a comment.

`.env` is read without both. `docker run --env-file`, systemd and consoles of hosting companies keep
them, and then a credential is refused far from where it was written.
"""

import re

from app.call.words.blank import stripped

_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "„": "“", "‘": "’", "«": "»"}
# At the beginning of a value: what is left of a line without a value.
_COMMENT = re.compile(r"\s#|^#(\s|$)")


def has_outer_quotes(value: str) -> bool:
    """Whether a value is in quotes: straight ones, or those of a text processor."""
    text = stripped(value)
    return len(text) > 1 and _QUOTES.get(text[0]) == text[-1]


def has_lone_quote(value: str) -> bool:
    """Whether a value begins or ends with a quote that has no partner."""
    text = stripped(value)
    ends = {*_QUOTES, *_QUOTES.values()}
    return bool(text) and not has_outer_quotes(text) and (text[0] in ends or text[-1] in ends)


def has_comment(value: str) -> bool:
    """Whether a `#` follows a space, as a comment does, or begins the value."""
    return bool(_COMMENT.search(value))


def fault_in(value: str, *, may_have_comment: bool) -> str:
    """What has to be removed from a value, for an error message; empty: nothing.

    `may_have_comment`: a `#` behind a space may be part of the value, as in a path.
    """
    if has_outer_quotes(value):
        return "without quotes around it; remove them"
    if not may_have_comment and has_comment(value):
        return "without a comment behind it; put the comment, # and all, on a line of its own"
    return ""
