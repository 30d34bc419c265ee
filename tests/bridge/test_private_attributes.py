"""The objects of the bridge use each other by their public names alone."""

import ast

from docs.imports import MODULES, tree


def test_no_object_reads_or_sets_a_private_attribute_of_another() -> None:
    private = [
        f"{name}: {ast.unparse(node)}"
        for name in MODULES
        if name.startswith("app.bridge.")
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and ast.unparse(node.value) not in ("self", "cls")
    ]

    assert private == []
