"""Mismatch: zero where texts do not matter, found where they do, free of what a text or a clip has anyway."""

import numpy as np
import pytest
from fake_replays import Likelihoods, likelihoods
from fakes import make_design, rows, sized
from scipy.stats import binom

from innerear.analyses.text_or_history.likelihood import COST, MISMATCH, NLL, likelihood_table


def table_of(design, values, m=99, boots=60):
    files = {f"t{t}": Likelihoods(nll, f"t{t}") for t, nll in enumerate(values)}
    return likelihood_table(files, sized(design, m, boots), model="synthetic", weights="trained")


def row(table, **where):
    found = rows(table, **where)
    assert len(found) == 1
    return found.iloc[0]


def test_costs_are_differences_of_means():
    design = make_design(4, 3)
    values = likelihoods(design, cost=0.3)
    table = table_of(design, values)
    mean = values.mean(axis=(0, 2, -2, -1))  # [E, B, dist]
    where = {"codes": "sad", "text_read": "calm", "distribution": "guided"}
    assert row(table, statistic=NLL, **where)["estimate"] == pytest.approx(mean[1, 2, 1], abs=1e-5)
    assert row(table, statistic=COST, **where)["estimate"] == pytest.approx(
        mean[1, 2, 1] - mean[1, 1, 1], abs=1e-5
    )
    part = values[..., 1, 1, 4:6].mean(axis=(0, 2, -1))[:, :4]
    off = (part.sum() - np.trace(part)) / 12 - np.trace(part) / 4
    found = row(table, statistic=MISMATCH, distribution="guided", codebook="1", window="decile_3")
    assert found["estimate"] == pytest.approx(off, abs=1e-5)


def test_a_mismatch_is_found_and_no_mismatch_is_not():
    design = make_design(4, 3)
    whole = {"statistic": MISMATCH, "distribution": "cond", "codebook": "all", "window": "whole"}
    found = row(table_of(design, likelihoods(design, cost=0.3)), **whole)
    assert found["estimate"] == pytest.approx(0.3, abs=0.02)
    assert found["p_corrected"] == 0.01
    assert found["ci_lo"] <= 0.3 <= found["ci_hi"]
    p = [row(table_of(design, likelihoods(design, seed=s), boots=20), **whole)["p"] for s in range(120)]
    low, high = binom.ppf([0.0005, 0.9995], len(p), 0.05)
    assert low <= np.sum(np.array(p) <= 0.05) <= high
    low, high = binom.ppf([0.0005, 0.9995], len(p), 0.5)
    assert low <= np.sum(np.array(p) <= 0.5) <= high


def test_templates_without_swapped_texts_do_not_count():
    design = make_design(3, 2)
    found = rows(table_of(design, likelihoods(design, cost=0.3)[:1]), statistic=MISMATCH)
    assert (found["n_prompts"] == 4).all()
    assert (found["n_templates"] == 0).all()
    assert found["min_p"].to_numpy() == pytest.approx(1 / 24)
    assert (found["p"] >= found["min_p"]).all()


def test_one_seed_can_be_tested_and_no_template_says_so():
    design = make_design(4, 1)
    table = table_of(design, likelihoods(design, cost=0.5))
    assert row(table, statistic=MISMATCH, distribution="cond", codebook="all", window="whole")["p"] == 0.01
    none = table_of(design, [])
    assert none["null"].str.contains("no texts were swapped").all()
    assert none["estimate"].isna().all()


def test_flips_of_templates_find_a_mismatch_and_keep_their_level():
    design, n = make_design(7, 2), 60
    whole = {"statistic": MISMATCH, "distribution": "cond", "codebook": "all", "window": "whole"}
    found = row(table_of(design, likelihoods(design, cost=0.3)), **whole)
    assert found["p_flip"] <= 0.05 and found["k"] == 7
    null = [table_of(design, likelihoods(design, seed=seed, n_frames=5), boots=2) for seed in range(n)]
    p = np.array([row(table, **whole)["p_flip"] for table in null])
    assert (p <= 0.05).sum() <= binom.ppf(0.999, n, 0.05)
    least = np.array([table["p_flip_corrected"].min() for table in null])
    assert (least <= 0.05).sum() <= binom.ppf(0.999, n, 0.05)


def test_a_large_cost_does_not_hide_a_small_one_that_all_templates_have():
    """Guidance multiplies costs: flips of the larger ones are no measure of the others."""
    values = np.array(likelihoods(make_design(10, 2), cost=0.3))
    values[..., 1, :, :] *= 10
    table = table_of(make_design(10, 2), values, m=999)
    whole = {"statistic": MISMATCH, "codebook": "all", "window": "whole"}
    for distribution in ("cond", "guided"):
        found = row(table, distribution=distribution, **whole)
        assert found["k"] == 10 and found["p_flip_corrected"] <= 0.05, distribution
