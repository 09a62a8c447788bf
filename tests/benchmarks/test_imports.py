"""What benchmarks import is there, also in the programs that they start as texts."""

import importlib
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.py"))


def exists(module, name):
    """Whether a module has a name, or a package a module of that name."""
    return hasattr(importlib.import_module(module), name) or find_spec(f"{module}.{name}") is not None


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_name_of_the_library_exists(file):
    imported = re.findall(r"^from (innerear[\w.]*) import (\([^)]*\)|.+)$", file.read_text("utf-8"), re.M)
    names = {
        (module, name)
        for module, several in imported
        for name in re.findall(r"\w+(?= as )|(?<! as )\b\w+", several)
    }
    assert {one for one in names if not exists(*one)} == set()
