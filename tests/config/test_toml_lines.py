"""The line numbers of a TOML file's keys, whatever its values contain."""

import tomllib
from pathlib import Path

import pytest

from app.config.toml_lines import key_lines, read_toml
from app.errors import ConfigError

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
        ("array", "0"): 21,
        ("array", "0", "x"): 22,
        ("array", "1"): 23,
        ("array", "1", "y"): 24,
        ("last",): 25,
    }


def test_a_subtable_belongs_to_the_latest_table_of_its_array() -> None:
    text = """\
[a]
[[a.list]]
x = 1
[a.list.deep]
y.z = 2
[[a.list.more]]
u = 3
[[a.list.more]]
u = 4

[[a.list]]
x = { inline = 5 }
[a.list.deep]
y = 6
[[a.list.more]]
u = 7
"""
    tomllib.loads(text)
    assert key_lines(text) == {
        ("a",): 1,
        ("a", "list"): 2,
        ("a", "list", "0"): 2,
        ("a", "list", "0", "x"): 3,
        ("a", "list", "0", "deep"): 4,
        ("a", "list", "0", "deep", "y"): 5,
        ("a", "list", "0", "deep", "y", "z"): 5,
        ("a", "list", "0", "more"): 6,
        ("a", "list", "0", "more", "0"): 6,
        ("a", "list", "0", "more", "0", "u"): 7,
        ("a", "list", "0", "more", "1"): 8,
        ("a", "list", "0", "more", "1", "u"): 9,
        ("a", "list", "1"): 11,
        ("a", "list", "1", "x"): 12,
        ("a", "list", "1", "deep"): 13,
        ("a", "list", "1", "deep", "y"): 14,
        ("a", "list", "1", "more"): 15,
        ("a", "list", "1", "more", "0"): 15,
        ("a", "list", "1", "more", "0", "u"): 16,
    }


def test_a_last_line_without_an_end_counts() -> None:
    assert key_lines("\n[a]\nb = 1\n[c]") == {("a",): 2, ("a", "b"): 3, ("c",): 4}
    assert key_lines("a = 1") == {("a",): 1}
    assert key_lines("") == {}


def test_a_very_long_text_is_read_quickly() -> None:
    text = 'text = """' + 'a "b" \\\\ ' * 200_000 + '"""\nafter = 1\n'
    assert key_lines(text) == {("text",): 1, ("after",): 2}


@pytest.mark.parametrize(
    "deep",
    [
        "a = " + "[" * 100_000 + "]" * 100_000,
        "a = " + "{a = " * 3000 + "1" + "}" * 3000,
        "a = " + "[\n{b = [" * 2000,
        ".".join("a" * 3000) + " = 1",
        "[" + ".".join('"a"' for _ in range(3000)) + "]",
        "a = { " + ".".join("a" * 3000) + " = 1 }",
        "a = [" * 70,
    ],
)
def test_too_deep_nesting_is_a_fault_with_its_line(tmp_path: Path, deep: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(f"name = 'A' # [[[\n\n{deep}\n")
    with pytest.raises(ConfigError) as caught:
        read_toml(path)
    (problem,) = caught.value.problems
    line = int(problem.removeprefix(f"{path}:").partition(":")[0])
    assert "nested too deep" in problem and 3 <= line <= 3 + deep.count("\n")


@pytest.mark.parametrize(
    "flat",
    [
        "a = [" + "1.5, " * 5000 + "]",
        "a = [" + "[1], " * 5000 + "]",
        "a = [\n" + "  { b.c = 1.5 },\n" * 5000 + "]",
        "a = '" + "[." * 5000 + "'",
        "".join(f"[t{n}.a.b]\nc.d = {{ e.f = [1] }}\n" for n in range(2000)),
        "a = " + "[" * 64 + "]" * 64,
    ],
)
def test_a_long_document_is_not_a_deep_one(tmp_path: Path, flat: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(flat)
    assert read_toml(path)[0]
