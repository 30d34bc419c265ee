"""Writes the generated parts of the Markdown pages: `python -m docs.diagrams`.

A generated part is between two HTML comments, `<!-- generated: NAME -->` and `<!-- end: NAME -->`.
Everything outside them is written by hand and stays.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from docs import agent_file, exits, http_api, layers, outbound, sequences
from docs.imports import ROOT


def _mermaid(draw: Callable[[], str]) -> Callable[[], str]:
    return lambda: f"```mermaid\n{draw()}\n```"


#: By name: what makes each generated part.
PARTS: Mapping[str, Callable[[], str]] = {
    "agent file": agent_file.page,
    "call": _mermaid(sequences.call_picture),
    "detection": outbound.effects,
    "exits": _mermaid(exits.picture),
    "layers": _mermaid(layers.picture),
    "record": http_api.record,
    "record transfers": http_api.transfer,
    "record turns": http_api.turn,
    "transfer": _mermaid(sequences.transfer_picture),
}
#: The pages that contain generated parts.
PAGES = (
    ROOT / "README.md",
    ROOT / "docs" / "agent-file.md",
    ROOT / "docs" / "how-it-works.md",
    ROOT / "docs" / "http-api.md",
    ROOT / "docs" / "outbound.md",
    ROOT / "docs" / "transfers.md",
)

_PART = re.compile(
    r"(?P<begin><!-- generated: (?P<name>[\w ]+) -->\n).*?(?P<end><!-- end: (?P=name) -->)",
    re.DOTALL,
)


def renewed(text: str) -> str:
    """A page with its generated parts as the code makes them now.

    Raises:
        LookupError: the page names a part that `PARTS` lacks.
    """

    def renew(found: re.Match[str]) -> str:
        return f"{found['begin']}{PARTS[found['name']]()}\n{found['end']}"

    return _PART.sub(renew, text)


def names_in(text: str) -> list[str]:
    """The names of the generated parts of a page."""
    return [found["name"] for found in _PART.finditer(text)]


def write(pages: tuple[Path, ...] = PAGES) -> list[Path]:
    """Renew the pages. Returns those that changed."""
    changed = []
    for path in pages:
        before = path.read_text(encoding="utf-8")
        if (after := renewed(before)) != before:
            path.write_text(after, encoding="utf-8")
            changed.append(path)
    return changed


if __name__ == "__main__":
    for changed_page in write():
        print(changed_page.relative_to(ROOT))  # noqa: T201
