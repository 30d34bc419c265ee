"""Blank texts: one set of characters for every regular expression and for the code.

The `\\s` of JSON Schema (ECMAScript), Python and Rust, and `str.strip`, disagree about U+001C to
U+001F, U+0085 and U+FEFF. So the set is spelled out: spaces, line ends, control characters, and
characters without width or without ink.
"""

_BLANK = (
    (0x0000, 0x0020),  # control characters, and the space
    (0x007F, 0x00A0),  # more of them, and the no-break space
    (0x00AD, 0x00AD),  # soft hyphen
    (0x061C, 0x061C),  # Arabic letter mark
    (0x115F, 0x1160),  # Hangul fillers
    (0x1680, 0x1680),
    (0x180E, 0x180E),
    (0x2000, 0x200F),  # spaces, also of zero width, and direction marks
    (0x2028, 0x202F),  # line and paragraph separators, embeddings
    (0x205F, 0x206F),  # word joiner, invisible operators, isolates
    (0x2800, 0x2800),  # blank Braille pattern
    (0x3000, 0x3000),
    (0x3164, 0x3164),  # Hangul filler
    (0xFEFF, 0xFEFF),  # byte order mark
    (0xFFA0, 0xFFA0),  # halfwidth Hangul filler
)
_CHARACTERS = "".join(chr(code) for first, last in _BLANK for code in range(first, last + 1))

NOT_BLANK = "[^{}]".format("".join(f"\\u{first:04x}-\\u{last:04x}" for first, last in _BLANK))
"""A regular expression for any character that is not blank, to be used with `search`. It means the
same in ECMAScript, Python and Rust."""


def stripped(text: str) -> str:
    """The text without the blank characters at its ends; empty if it is blank."""
    return text.strip(_CHARACTERS)


def is_blank(text: str) -> bool:
    """Whether a text has nothing but blank characters."""
    return not stripped(text)
