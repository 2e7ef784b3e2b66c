"""The threat model names tests that exist, and says so where there is none."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DOCUMENT = TESTS.parent / "docs" / "threat-model.md"
ROW = re.compile(r"^\| \*\*([STRIDE])\*\* .*\| (.*) \|$", re.MULTILINE)
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def rows() -> list[tuple[str, str]]:
    return ROW.findall(DOCUMENT.read_text(encoding="utf-8"))


def test_every_kind_of_threat_has_rows() -> None:
    assert {kind for kind, _ in rows()} == set("STRIDE")


@pytest.mark.parametrize("proof", [proof for _, proof in rows()])
def test_each_row_names_a_test_that_exists_or_says_there_is_none(proof: str) -> None:
    named = NAMED.fullmatch(proof)
    if named is None:
        assert proof.startswith("no test yet")
        return
    tree = ast.parse((TESTS / named[1]).read_text(encoding="utf-8"))
    assert named[2] in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
