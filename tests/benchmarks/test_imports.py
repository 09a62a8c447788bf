"""What benchmarks import is there, also in the programs that they start as texts."""

import importlib
import re
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_name_of_the_library_exists(file):
    imported = re.findall(r"^from (innerear[\w.]*) import (\([^)]*\)|.+)$", file.read_text("utf-8"), re.M)
    for module, names in imported:
        for name in re.findall(r"\w+(?= as )|(?<! as )\b\w+", names):
            if not hasattr(importlib.import_module(module), name):
                importlib.import_module(f"{module}.{name}")
