"""Every line of the checklist can pass, can fail, and says when the tables do not tell."""

import numpy as np
import pandas as pd
import pytest

from innerear.analyses import audio_check, best_layers, similarity
from innerear.pages.checklist import CRITERIA, NO, SENTENCES, UNKNOWN, YES, checklist
from innerear.statistics.design import STRATA
from innerear.statistics.significance import ALPHA


def tables(good=True):
    """Tables of a study that shows everything, or nothing."""
    emotions = ("happy", "sad", "calm", "energetic")
    n = 20 if good else 19
    samples = pd.DataFrame({"emotion": np.repeat(emotions, n)})
    samples["template"] = [f"t{i % n // 2 if good else 0}" for i in range(len(samples))]
    samples["prompt_id"] = samples["template"] + samples["emotion"]
    checks = {"check": "steps", "sample": range(len(samples)), "pass": good}
    raw = {"over": "steps", "window": "", "measure": similarity.RAW}
    raw |= {"statistic": STRATA[5], "branch": "cond"}
    steps = [
        raw | {"layer": layer, "estimate": 0.995 - good * 0.1 * step} for layer in (0, 1) for step in range(4)
    ]
    effect = {"over": "windows", "window": "whole", "measure": similarity.CENTRED, "branch": "uncond"}
    effect |= {"statistic": similarity.OTHER_SEED, "p_flip_corrected": 0.01}
    p = 0.001 if good else 0.3
    lead = [effect | {"layer": layer, "p_corrected": value} for layer, value in enumerate((0.4, p))]
    anova = {"statistic": audio_check.ANOVA, "feature": ["tempo", "loudness"], "p_corrected": [np.nan, p]}
    anova |= {"p_flip_corrected": 0.01}
    rank = {"branch": "uncond", "statistic": best_layers.RANK, "layer": [0, 1], "estimate": [2.0, 1.0]}
    rank = pd.DataFrame(rank).assign(ci_lo=1, ci_hi=2, p_corrected=np.nan)
    held_out = {"branch": ["cond", "uncond"], "statistic": best_layers.HELD_OUT}
    held_out = pd.DataFrame(held_out).assign(layer=-1, p_corrected=[1 - p, p], p_flip_corrected=0.01)
    return {
        "samples": samples,
        "checks": pd.DataFrame(checks),
        "audio_check": pd.DataFrame(anova),
        "similarity": pd.DataFrame(steps + lead),
        "best_layers": pd.concat([rank, held_out]),
    }


def outcomes(found):
    return checklist(found).set_index("criterion")["outcome"].to_dict()


def test_a_study_that_shows_everything_passes_every_line():
    assert outcomes(tables()) == {line.name: YES for line in CRITERIA}


def test_a_study_that_shows_nothing_fails_every_line():
    assert outcomes(tables(good=False)) == {line.name: NO for line in CRITERIA}


def test_a_p_of_a_twentieth_passes():
    found = tables()
    for name in ("audio_check", "similarity", "best_layers"):
        found[name].loc[found[name]["p_corrected"] == 0.001, "p_corrected"] = ALPHA
    assert outcomes(found) == {line.name: YES for line in CRITERIA}


def test_what_flips_do_not_confirm_is_a_yes_for_these_sentences():
    tested = {
        "acoustics differ": "audio_check",
        "clusters visible": "similarity",
        "best layers known": "best_layers",
    }
    for line, name in tested.items():
        for p_flip in (0.3, np.nan):
            found = tables()
            found[name] = found[name].assign(p_flip_corrected=p_flip)
            assert outcomes(found) == {one.name: YES for one in CRITERIA} | {line: SENTENCES}
        found[name] = found[name].drop(columns="p_flip_corrected")
        assert outcomes(found)[line] == SENTENCES


def test_empty_tables_establish_nothing_but_the_number_of_samples():
    empty = {name: table.iloc[: None if name == "samples" else 0] for name, table in tables().items()}
    found = outcomes(empty)
    assert found.pop("clips an emotion") == found.pop("templates") == YES
    assert set(found.values()) == {UNKNOWN}


def test_a_study_of_cond_alone_says_why_uncond_is_missing():
    found = tables()
    for name in ("similarity", "best_layers"):
        found[name] = found[name][found[name]["branch"] == "cond"]
    lines = checklist(found).set_index("criterion")
    for line in ("clusters visible", "best layers known"):
        assert lines.loc[line, "outcome"] == UNKNOWN
        assert "the study has no uncond" in lines.loc[line, "what"]


def test_the_answers_name_what_they_are_of():
    what = checklist(tables()).set_index("criterion")["what"]
    assert "corrected over features: loudness" in what["acoustics differ"]
    assert "first in rank: layer 1 (rank 1 to 2 in bootstraps)" in what["best layers known"]


@pytest.mark.parametrize("line", CRITERIA, ids=lambda line: line.name)
def test_a_line_says_what_it_measures(line):
    found = checklist(tables()).set_index("criterion")
    assert len(found.loc[line.name, "what"]) > 20
    assert found.loc[line.name, "needed"].endswith(f"{line.threshold:g}")
