"""Every line of the checklist can pass, can fail, and says when the tables do not tell."""

import numpy as np
import pandas as pd
import pytest

from innerear.checklist import CRITERIA, NO, UNKNOWN, YES, checklist
from innerear.design import Design


def design(n_seeds=4, n_templates=5):
    rows = [
        (f"t{t}-{emotion}/seed-{seed}", f"t{t}-{emotion}", f"t{t}", emotion, seed)
        for emotion in ("happy", "sad", "calm", "energetic")
        for t in range(n_templates)
        for seed in range(n_seeds)
    ]
    return Design(pd.DataFrame(rows, columns=["sample_id", "prompt_id", "template", "emotion", "seed"]))


def tables(study, good=True):
    """Tables of a study that shows everything, or nothing."""
    rng = np.random.default_rng(0)
    labels = np.unique(study.labels, return_inverse=True)[1]
    ids = study.samples["sample_id"]
    clips = {"sample_id": ids, "feature": "loudness", "value": 5 * labels * good + rng.normal(size=len(ids))}
    checks = {"check": "steps", "sample": ids, "pass": good}
    raw = {"over": "steps", "window": "", "measure": "raw (diagnostic)"}
    raw |= {"statistic": "other emotion, other seed", "branch": "cond"}
    steps = [
        raw | {"layer": layer, "estimate": 0.995 - good * 0.1 * step} for layer in (0, 1) for step in range(4)
    ]
    effect = {"over": "windows", "window": "whole", "measure": "centred", "branch": "uncond"}
    effect |= {"statistic": "emotion effect, other seed"}
    lead = [
        effect | {"layer": 0, "estimate": 0.2, "ci_lo": 0.1, "p_corrected": 0.4},
        effect | {"layer": 1, "estimate": 0.8, "ci_lo": 0.5 * good, "p_corrected": 0.001 if good else 0.3},
    ]
    return {
        "checks": pd.DataFrame(checks),
        "clips": pd.DataFrame(clips),
        "similarity": pd.DataFrame(steps + lead),
    }


def outcomes(study, found):
    return checklist(found, study, 199).set_index("criterion")["outcome"].to_dict()


def test_a_study_that_shows_everything_passes_every_line():
    assert outcomes(design(), tables(design())) == {line.name: YES for line in CRITERIA}


def test_a_study_that_shows_nothing_fails_every_line():
    study = design(n_seeds=3)
    assert outcomes(study, tables(study, good=False)) == {line.name: NO for line in CRITERIA}


def test_empty_tables_establish_nothing_but_the_number_of_samples():
    empty = {name: table.iloc[:0] for name, table in tables(design()).items()}
    found = outcomes(design(), empty)
    assert found.pop("samples an emotion") == YES
    assert set(found.values()) == {UNKNOWN}


def test_without_a_null_the_acoustics_are_not_established():
    study = design(n_seeds=20, n_templates=1)
    assert outcomes(study, tables(study))["acoustics differ"] == UNKNOWN


@pytest.mark.parametrize("line", CRITERIA, ids=lambda line: line.name)
def test_a_line_says_what_it_measures(line):
    found = checklist(tables(design()), design(), 19).set_index("criterion")
    assert len(found.loc[line.name, "what"]) > 20
    assert found.loc[line.name, "needed"].endswith(f"{line.threshold:g}")
