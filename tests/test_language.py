"""The project's prose keeps to words that a newcomer can read and search for."""

import re
from pathlib import Path

import pytest

from docs.imports import ROOT

DECODED = re.compile(
    r"\b(nobody|somebody|whom|is\s+told|are\s+told|of\s+ours|stands)\b", re.IGNORECASE
)
#: Where nothing else will do: what the model reads, and what callers say. A file, and the words
#: around the hit.
ALLOWED: set[tuple[str, str]] = {
    ("app/call/agent.py", "You are calling somebody yourself now."),
    ("app/call/exits/attempts.py", "nobody answered"),
    ("app/call/exits/attempts.py", "somebody or an answering machine"),
    ("app/call/exits/attempts.py", "Nobody took the call."),
    ("app/call/exits/attempts.py", "Nobody took the call:"),
    ("app/call/prompts.py", "Nobody will answer."),
    ("app/call/prompts.py", "there is nobody whom callers can be handed to"),
    ("app/call/prompts.py", "but nobody is there"),
    ("app/config/agent/receptionist.toml", "can somebody call me back"),
    ("app/config/agent/receptionist.toml", "please connect me with somebody"),
    ("app/simulator/receptionist/grammar.py", "who's whom whose"),
}
MOST_ALLOWED = 15  # hits, of which a sentence may hold more than one


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


def hits_in(file: Path) -> list[tuple[str, bool]]:
    """Every hit in a file: where it is, with the words around, and whether it is allowed."""
    text, name = file.read_text(encoding="utf-8"), file.relative_to(ROOT).as_posix()
    hits = []
    for hit in DECODED.finditer(text):
        around = around_words(text, hit)
        allowed = any(name == where and words in around for where, words in ALLOWED)
        line = text.count("\n", 0, hit.start()) + 1
        hits.append((f"{name}:{line}: ... {around} ...", allowed))
    return hits


def around_words(text: str, hit: re.Match[str]) -> str:
    """A hit with its neighbours, blanks and line ends as one space each."""
    return " ".join(text[max(0, hit.start() - 60) : hit.end() + 60].split())


def test_no_sentence_has_to_be_decoded() -> None:
    hits = [where for file in prose() for where, allowed in hits_in(file) if not allowed]

    assert not hits, "see CONTRIBUTING.md for words to use instead:\n" + "\n".join(hits)


def test_the_exceptions_are_few_and_in_use() -> None:
    allowed = [where for file in prose() for where, allowed in hits_in(file) if allowed]

    assert len(ALLOWED) <= len(allowed) <= MOST_ALLOWED
    for where, words in ALLOWED:
        assert words in " ".join((ROOT / where).read_text(encoding="utf-8").split()), words


@pytest.mark.parametrize(
    "word", ["nobody", "Somebody", "whom", "is\n    told", "of ours", "stands"]
)
def test_a_word_is_found_across_lines(word: str) -> None:
    assert DECODED.search(f"The caller {word} something")
