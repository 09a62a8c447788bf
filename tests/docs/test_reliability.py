"""The page of promises names tests that there are."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
HEADS = ("| ---", "| promise", "| what")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(HEADS)]
# A file below tests/, and after :: one of its tests.
NAMED = re.compile(r"((?:[a-z]+/)?test_\w+\.py)(?:::(test_\w+))?")


def names_in(file):
    """The names of a file's tests."""
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {name for name in names if name.startswith("test_")}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:60])
def test_every_promise_has_a_test(row):
    named = re.findall(r"`([^`]+)`", row.rstrip(" |").rpartition("|")[2])
    assert named
    for one in named:
        found = NAMED.fullmatch(one)
        assert found, one
        file, test = found.groups()
        assert (ROOT / "tests" / file).is_file(), file
        tests = names_in(file)
        assert test in tests if test else tests, one


def test_the_page_has_its_rows():
    assert len(ROWS) > 20
    assert sum("::" in row for row in ROWS) > 10
