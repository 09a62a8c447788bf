"""A hub model is fetched by one local rule before any job loads it; a model on this machine needs none."""

import pytest


def test_a_hub_model_is_fetched_once_before_all_jobs(fresh):
    fresh.configure(model={"name": "stereo-small"})
    planned = fresh.planned("results/tiny/qc/verification.tsv")
    assert planned == {"fetch": 1, "generate": 4, "index": 1, "verify": 1}
    done = fresh.snakemake("-n", "--", "results/tiny/stacks/piano-calm/seed-0.h5")
    assert "input: results/tiny/model.json" in done.stdout


def test_a_model_on_this_machine_is_not_fetched(fresh, tiny_checkpoint):
    target = "results/tiny/stacks/piano-calm/seed-0.h5"
    assert fresh.planned(target) == {"generate": 1}
    shape = {"n_layers": 6, "d_model": 32}
    fresh.configure(model={"name": str(tiny_checkpoint), "architecture": shape})
    assert fresh.planned(target) == {"generate": 1}


@pytest.mark.parametrize(
    ("name", "reason"), [("facebook/magnet-small-30secs", "MAGNeT"), ("facebook/musicgen-style", "Style")]
)
def test_families_that_do_not_run_are_refused_by_the_dry_run(fresh, name, reason):
    fresh.configure(model={"name": name})
    done = fresh.snakemake("-n")
    assert done.returncode != 0
    assert f"{reason}, which cannot be recorded" in done.stdout + done.stderr
