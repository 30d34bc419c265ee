"""The objects of the bridge use each other by their public names alone."""

import ast

import pytest

from docs.imports import TREES

MODULES = sorted(name for name in TREES if name.startswith("app.bridge."))


@pytest.mark.parametrize("name", MODULES)
def test_no_object_reads_or_sets_a_private_attribute_of_another(name: str) -> None:
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            if not node.attr.startswith("__"):
                assert ast.unparse(node.value) in ("self", "cls"), ast.unparse(node)
