"""A constant that LayerNorm discards changes no table of a study, from the states to the answers.

`make test-long` runs it, since it takes a whole study; tests/properties/test_constant.py asks it of parts.
"""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from near_tables import assert_near
from offset_twin import write_offset_twin

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[2]
CONSTANT = -9.8
# The checks, whose values are rounding itself; maxima of every relabeling; UMAP, which is chaotic; logs.
NOT_COMPARED = {"samples.tsv", "checks.tsv", "verification.tsv", "summary.tsv"}
# The findings repeat single values of the other tables, of which a few may hang on a tie.
NOT_COMPARED |= {"findings.tsv", "nulls", "embedding", "logs", "benchmarks"}
# What names weights, files and times; and scores, whose sign hangs on ties in a study this small.
NOT_RESULTS = ("identity", "sha256", "stack", "written", "folder", "score")


@pytest.fixture(scope="module")
def twin(finished, tmp_path_factory, workflow_in):
    """The tiny study once more, with the constant in every unit of nano's states."""
    workflow = workflow_in(tmp_path_factory.mktemp("twin"))
    write_offset_twin(ROOT / "resources/nano", workflow.folder / "twin", CONSTANT)
    model = {"name": "twin", "architecture": "nano", "label": "nano", "witness": True}
    (workflow.folder / "config.yaml").write_text(yaml.safe_dump(finished.config | {"model": model}))
    done = workflow.snakemake("--cores", "2", "--", *(f"results/tiny/{name}" for name in tables(finished)))
    assert done.returncode == 0, done.stderr
    return workflow


def tables(workflow):
    """Path within the results → table."""
    paths = sorted(workflow.results.rglob("*.tsv"))
    return {
        path.relative_to(workflow.results): pd.read_csv(path, sep="\t")
        for path in paths
        if not set(path.relative_to(workflow.results).parts) & NOT_COMPARED
    }


def test_tokens_are_equal(finished, twin):
    plain, shifted = (
        pd.read_csv(one.results / "samples.tsv", sep="\t").set_index("sample_id") for one in (finished, twin)
    )
    assert plain["tokens_sha256"].equals(shifted["tokens_sha256"])
    assert not plain["model_identity"].equals(shifted["model_identity"])


def test_every_table_is_equal_up_to_rounding(finished, twin):
    plain, shifted = tables(finished), tables(twin)
    assert list(plain) == list(shifted)
    assert len(plain) > 30
    for name, table in plain.items():
        assert_near(table, shifted[name], str(name), NOT_RESULTS)
