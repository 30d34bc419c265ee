"""The project's prose keeps to words that a newcomer can read and search for."""

import re
from pathlib import Path

import pytest

from docs.imports import ROOT

DECODED = re.compile(
    r"\b(nobody|somebody|whom|is\s+told|are\s+told|of\s+ours|stands)\b", re.IGNORECASE
)
#: Where nothing else would do: a file, and what the sentence says around the word.
ALLOWED: set[tuple[str, str]] = {("app/simulator/receptionist/grammar.py", "who's whom whose")}
MOST_ALLOWED = 15


def prose() -> list[Path]:
    """The files of app/, bench/ and docs/, and every Markdown file but the change log."""
    written = [
        file
        for folder in ("app", "bench", "docs")
        for file in sorted((ROOT / folder).rglob("*"))
        if file.suffix in (".md", ".py", ".toml", ".xml")
    ]
    pages = [*ROOT.glob("*.md"), *(ROOT / "tests").rglob("*.md")]
    return written + [page for page in pages if page.name != "CHANGELOG.md"]


def found_in(file: Path) -> list[tuple[int, str]]:
    """The words in a file: (line, the text around)."""
    text = file.read_text(encoding="utf-8")
    name = file.relative_to(ROOT).as_posix()
    return [
        (text.count("\n", 0, hit.start()) + 1, around)
        for hit in DECODED.finditer(text)
        if not any(name == where and words in around_words(text, hit) for where, words in ALLOWED)
        for around in [around_words(text, hit)]
    ]


def around_words(text: str, hit: re.Match[str]) -> str:
    """A hit with its neighbours, blanks and line ends as one space each."""
    return " ".join(text[max(0, hit.start() - 60) : hit.end() + 60].split())


def test_no_sentence_has_to_be_decoded() -> None:
    hits = [
        f"{file.relative_to(ROOT)}:{line}: ... {around} ..."
        for file in prose()
        for line, around in found_in(file)
    ]

    assert not hits, "use the words of STYLE in CONTRIBUTING.md:\n" + "\n".join(hits)


def test_the_exceptions_are_few_and_in_use() -> None:
    assert len(ALLOWED) <= MOST_ALLOWED
    for where, words in ALLOWED:
        assert words in " ".join((ROOT / where).read_text(encoding="utf-8").split()), words


@pytest.mark.parametrize(
    "word", ["nobody", "Somebody", "whom", "is\n    told", "of ours", "stands"]
)
def test_a_word_is_found_across_lines(word: str, tmp_path: Path) -> None:
    assert DECODED.search(f"The caller {word} something")
