"""What a blank text is: one set of characters, the same in every pattern and in the code.

JSON Schema's `\\s` is ECMAScript's; that, Python's and Rust's `\\s` and `str.strip` disagree about
U+001C to U+001F, U+0085 and U+FEFF. So the set is written out: spaces, line ends, control
characters, and what has no width or no ink.
"""

_BLANK = (
    (0x0000, 0x0020),  # control characters, and the space
    (0x007F, 0x00A0),  # more of them, and the space that does not break
    (0x00AD, 0x00AD),  # soft hyphen
    (0x061C, 0x061C),  # Arabic letter mark
    (0x115F, 0x1160),  # Hangul fillers
    (0x1680, 0x1680),
    (0x180E, 0x180E),
    (0x2000, 0x200F),  # spaces, zero width ones, marks of direction
    (0x2028, 0x202F),  # line and paragraph separators, embeddings
    (0x205F, 0x206F),  # word joiner, invisible operators, isolates
    (0x2800, 0x2800),  # Braille without dots
    (0x3000, 0x3000),
    (0x3164, 0x3164),  # Hangul filler
    (0xFEFF, 0xFEFF),  # byte order mark
    (0xFFA0, 0xFFA0),  # Hangul filler of half width
)
_CHARACTERS = "".join(chr(code) for first, last in _BLANK for code in range(first, last + 1))

NOT_BLANK = "[^{}]".format("".join(f"\\u{first:04x}-\\u{last:04x}" for first, last in _BLANK))
"""A regular expression, to be searched for: the text holds something to say or to read. It means
the same to ECMAScript, Python and Rust."""


def stripped(text: str) -> str:
    """The text without blank characters at its ends; empty if it is blank."""
    return text.strip(_CHARACTERS)


def is_blank(text: str) -> bool:
    """Whether there is nothing in it to say or to read."""
    return not stripped(text)
