"""Texts of others, shown as what they are: no terminal and no reader of a file obeys them."""

import re

# C0 and C1, DEL; line and paragraph separators; what turns the direction of a line; the rest that
# shows nothing and is no part of a word; halves of characters.
_CONTROL = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_LINE_END = re.compile(" *[\t\r\n][ \t\r\n]*")


def visible(text: str) -> str:
    """The text with control characters written out: ESC becomes \\x1b, a line end \\n."""
    return _CONTROL.sub(lambda found: _python(found[0]), text)


def one_line(text: str) -> str:
    """The same, for texts of several lines: line ends and tabs become spaces."""
    return visible(_LINE_END.sub(" ", text))


def visible_json(document: str) -> str:
    """A JSON document with the control characters in its strings escaped; its line ends stay."""

    def escaped(found: re.Match[str]) -> str:
        if found[0] == "\n":
            return "\n"
        units = found[0].encode("utf-16-be", "surrogatepass")
        return "".join(rf"\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))

    return _CONTROL.sub(escaped, document)


def _python(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
