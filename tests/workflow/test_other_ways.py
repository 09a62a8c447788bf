"""One study, run in other ways: what is equal, and to what, as docs/reliability.md promises.

`make test-long` runs it, since it takes whole studies.
"""

import os

import numpy as np
import pandas as pd
import pytest
from pandas.api.types import is_numeric_dtype

from innerear.stacks import Stack

pytestmark = pytest.mark.long
NAMES = ("sha256", "stack", "written_as", "score", "content")
# Maxima of every relabeling; UMAP, which is chaotic; the checks, whose values are rounding itself.
NOT_COMPARED = {"nulls", "embedding", "qc", "logs", "benchmarks", "samples.tsv"}
#: what rounding of float32 in another order may change; a p moves by a relabeling that nearly ties
RELATIVE, ABSOLUTE, OF_P = 1e-3, 1e-4, 0.041


@pytest.fixture(scope="module")
def other(finished, tmp_path_factory, workflow_in):
    """The tiny study with one core, two threads a job, and a prompt's clips composed together."""
    workflow = workflow_in(tmp_path_factory.mktemp("other"))
    (workflow.folder / "config.yaml").write_text((finished.folder / "config.yaml").read_text())
    workflow.configure(generation=finished.config["generation"] | {"batch": "prompt"})
    threads = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "2")
    done = workflow.snakemake("--cores", "1", env=threads)
    assert done.returncode == 0, done.stderr
    return workflow


@pytest.fixture(scope="module")
def again(finished, tmp_path_factory, workflow_in):
    """The tiny study once more as it was, but with one core."""
    workflow = workflow_in(tmp_path_factory.mktemp("again"))
    (workflow.folder / "config.yaml").write_text((finished.folder / "config.yaml").read_text())
    done = workflow.snakemake("--cores", "1")
    assert done.returncode == 0, done.stderr
    return workflow


def test_the_number_of_cores_changes_no_byte(finished, again):
    one, same = finished.contents(), again.contents()
    assert sorted(one) == sorted(same)
    assert [name for name in one if one[name] != same[name]] == []


def test_tokens_and_sound_are_equal_however_they_are_made(finished, other):
    stacks = sorted(path.relative_to(finished.results) for path in finished.results.glob("stacks/*/*.h5"))
    assert len(stacks) == 8
    for path in stacks:
        with Stack(finished.results / path) as one, Stack(other.results / path) as same:
            np.testing.assert_array_equal(one.codes, same.codes)


def test_states_and_tables_are_equal_up_to_rounding(finished, other):
    for path in sorted(finished.results.glob("stacks/*/*.h5")):
        name = path.relative_to(finished.results)
        with Stack(path) as one, Stack(other.results / name) as same:
            states = [stack.read(5) for stack in (one, same)]
            np.testing.assert_allclose(*states, rtol=0, atol=2e-3 * states[0].std())
    for path in sorted(finished.results.rglob("*.tsv")):
        name = path.relative_to(finished.results)
        if not set(name.parts) & NOT_COMPARED:
            assert_near(pd.read_csv(path, sep="\t"), pd.read_csv(other.results / name, sep="\t"), str(name))


def assert_near(table, other, name):
    assert list(table.columns) == list(other.columns), name
    for column in table.columns:
        where = f"{name}, {column}"
        if any(part in column for part in NAMES):
            continue
        if not is_numeric_dtype(table[column]):
            pd.testing.assert_series_equal(table[column], other[column], obj=where)
            continue
        one, same = (of[column].to_numpy(float) for of in (table, other))
        room = OF_P if column in ("p", "p_corrected", "q") else ABSOLUTE
        outside = ~np.isclose(same, one, rtol=RELATIVE, atol=room, equal_nan=True)
        assert outside.mean() <= 0.03, (where, one[outside], same[outside])
