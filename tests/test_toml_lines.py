"""Where each key of a TOML file stands, whatever its values look like."""

import tomllib

from app.toml_lines import key_lines

AWKWARD = '''\
# comment = "not a key"
name = "M = [x]" # [trailing]
text = """
[not.a.table]
key = "no"
\\""" still inside
ends in quotes"""""
raw = \'\'\'
# no = comment
\'\'\'
list = [ # opens
  "a = 1", [2, 3], { b = 4 },
]
inline = { a = 1, b = { c = 2 } }

[ table . "quoted.key" ]
a.b = 1
"c d" = 2
'e' = 1979-05-27 07:32:00

[[array]]
x = 1
[[array]]
y = 2
[last]
'''


def test_every_key_has_its_line() -> None:
    tomllib.loads(AWKWARD)
    assert key_lines(AWKWARD) == {
        ("name",): 2,
        ("text",): 3,
        ("raw",): 8,
        ("list",): 11,
        ("inline",): 14,
        ("table", "quoted.key"): 16,
        ("table", "quoted.key", "a"): 17,
        ("table", "quoted.key", "a", "b"): 17,
        ("table", "quoted.key", "c d"): 18,
        ("table", "quoted.key", "e"): 19,
        ("array",): 21,
        ("array", "x"): 22,
        ("array", "y"): 24,
        ("last",): 25,
    }


def test_a_last_line_without_an_end_counts() -> None:
    assert key_lines("\n[a]\nb = 1\n[c]") == {("a",): 2, ("a", "b"): 3, ("c",): 4}
    assert key_lines("a = 1") == {("a",): 1}
    assert key_lines("") == {}


def test_a_very_long_text_is_read_in_no_time() -> None:
    text = 'text = """' + 'a "b" \\\\ ' * 200_000 + '"""\nafter = 1\n'
    assert key_lines(text) == {("text",): 1, ("after",): 2}
