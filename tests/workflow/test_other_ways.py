"""One study, run in other ways: what is equal, and to what, as docs/reliability.md promises.

`make test-long` runs it, since it takes whole studies.
"""

import os

import numpy as np
import pandas as pd
import pytest
from machines import limited, no_locks, without_privileges
from near_tables import assert_near

from innerear.stacks import Stack

pytestmark = pytest.mark.long
NAMES = ("sha256", "stack", "written_as", "score", "content")
# Maxima of every relabeling; UMAP, which is chaotic; the checks, whose values are rounding itself; answers,
# which print a p that moved.
NOT_COMPARED = {"nulls", "embedding", "qc", "logs", "benchmarks", "samples.tsv", "findings.tsv"}


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory, workflow_in):
    """Run the tiny study once more, with other settings, options and surroundings."""

    def runs(*options, generation=None, **process):
        workflow = workflow_in(tmp_path_factory.mktemp("study"))
        (workflow.folder / "config.yaml").write_text((finished.folder / "config.yaml").read_text())
        if generation:
            workflow.configure(generation=finished.config["generation"] | generation)
        done = workflow.command(*options, **process)
        assert done.returncode == 0, done.stderr[-5000:]
        return workflow

    return runs


@pytest.fixture(scope="module")
def other(run):
    """The tiny study with one core, two threads a job, and each clip composed alone."""
    threads = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "2")
    return run("--cores", "1", generation={"batch": "pair"}, env=threads)


def test_a_poor_machine_changes_no_byte(finished, run, tmp_path):
    """Without locks, without root's rights, in plain ASCII, with few handles and no HOME."""
    home, cache = tmp_path / "home", tmp_path / "cache"
    home.mkdir(mode=0o555)
    cache.mkdir()
    environment = no_locks(tmp_path) | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(cache)}

    def limit():
        limited(NOFILE=64)()
        without_privileges()

    run("--cores", "2", "--nolock", env=environment, preexec_fn=limit).assert_same_as(finished)


def test_the_number_of_cores_changes_no_byte(finished, run):
    run("--cores", "1").assert_same_as(finished)


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
            tables = (pd.read_csv(one, sep="\t") for one in (path, other.results / name))
            assert_near(*tables, str(name), NAMES)
