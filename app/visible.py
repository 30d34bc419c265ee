"""Texts of others, shown as what they are: no terminal obeys what stands in them."""

import re

# C0 and C1, DEL; line and paragraph separators; what turns the direction of a line; the rest that
# shows nothing and is no part of a word; halves of characters.
_CONTROL = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str, keep: str = "") -> str:
    """The text with control characters written out: ESC becomes \\x1b. `keep`: characters that stay
    as they are, such as a line end."""

    def shown(found: re.Match[str]) -> str:
        character = found[0]
        if character in keep:
            return character
        return character.encode("unicode_escape", "surrogatepass").decode("ascii")

    return _CONTROL.sub(shown, text)
