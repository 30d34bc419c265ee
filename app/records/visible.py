"""Escapes control characters in foreign texts, so that no terminal and no viewer obeys them."""

import re

# C0, C1, DEL; line and paragraph separators; bidirectional controls; other invisible characters
# that no word needs; lone surrogates.
_CONTROL = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_LINE_END = re.compile(" *[\t\r\n][ \t\r\n]*")


def visible(text: str) -> str:
    """Escape control characters: ESC becomes \\x1b, a line end \\n."""
    return _CONTROL.sub(lambda found: _python(found[0]), text)


def one_line(text: str) -> str:
    """The same in one line: line ends and tabs become spaces."""
    return visible(_LINE_END.sub(" ", text))


def visible_json(document: str) -> str:
    """Escape the control characters in a JSON document's strings; its own line ends stay."""

    def escaped(found: re.Match[str]) -> str:
        if found[0] == "\n":
            return "\n"
        units = found[0].encode("utf-16-be", "surrogatepass")
        return "".join(rf"\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))

    return _CONTROL.sub(escaped, document)


def _python(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
