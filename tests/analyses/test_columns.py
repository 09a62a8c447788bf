"""Every analysis's table of layers has the columns that all tables share."""

from importlib import import_module
from pathlib import Path

import pytest

import innerear.analyses
from innerear.statistics.table import INTERVAL

FOLDER = Path(innerear.analyses.__file__).parent
MAPS = sorted(
    ".".join(path.relative_to(FOLDER).with_suffix("").parts).removesuffix(".__init__")
    for path in FOLDER.rglob("*.py")
    if "\nCOLUMNS = columns(" in path.read_text("utf-8")
)
COMMON = {"model", "layer", "branch", "statistic", *INTERVAL, "p", "p_corrected", "n_prompts", "n_perm"}
COMMON |= {"min_p", "null"}


@pytest.mark.parametrize("name", MAPS)
def test_a_map_has_the_common_columns(name):
    columns = set(import_module(f"innerear.analyses.{name}").COLUMNS)
    assert COMMON - columns == set()
