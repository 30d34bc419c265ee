"""The entries of `app/` and the imports between them, as a Mermaid flowchart."""

from collections.abc import Iterator

from docs.imports import between, entries, reduced


def picture() -> str:
    """The flowchart. An arrow points from the importing entry to the imported one.

    An import that other arrows imply is left out: `web` imports `call`, and the path through
    `bridge` says so.
    """
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    sentences, arrows = entries(), reduced(between("app"))
    yield "flowchart TD"
    for name, sentence in sentences.items():
        yield f'    {_node(name)}["<b>{name}</b><br/>{_label(sentence)}"]'
    for name in sentences:
        for imported in (each for each in sentences if each in arrows.get(name, ())):
            yield f"    {_node(name)} --> {_node(imported)}"


def _node(name: str) -> str:
    # Not the bare name: `call` is a keyword of Mermaid's flowcharts.
    return f"app_{name}"


def _label(sentence: str) -> str:
    # Mermaid ends a label at a quotation mark.
    return sentence.rstrip(".").replace('"', "#quot;")
