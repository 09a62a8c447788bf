"""Clip-level regression: what was planted is recovered, null data stay at 5 %, no fold sees its test."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fake_clips import Averages, clip_table
from fakes import analysed, clustered, codes_of, make_design
from scipy.stats import binom
from sklearn.kernel_ridge import KernelRidge

from innerear.analyses import sound
from innerear.analyses.sound import BEYOND, HELD_OUT
from innerear.errors import InputError
from innerear.statistics.design import Design
from innerear.statistics.ridge import PENALTIES, DualRidge
from innerear.statistics.table import layer_map


def run(design, gram, values, statistic=HELD_OUT, **options):
    result = analysed(sound, gram, design, clips=clip_table(design, values), **options)
    return replace(result, table=result.table[result.table["statistic"] == statistic].reset_index(drop=True))


def test_a_planted_linear_feature_is_recovered_in_its_branch():
    design, rng = make_design(n_seeds=3), np.random.default_rng(0)
    x, other = rng.normal(size=(2, design.n_samples, 6))
    signal = x @ rng.normal(size=6)
    noise = rng.normal(size=design.n_samples) * signal.std()
    values = np.c_[signal, signal + 0.5 * noise, rng.normal(size=design.n_samples)]
    table = run(design, Averages(design, cond=other, uncond=x), values).table.set_index(["branch", "feature"])
    assert table.loc[("uncond", "f0"), "estimate"] > 0.95
    # A noise of half the signal's spread leaves R² = 1 / 1.25.
    assert table.loc[("uncond", "f1"), "estimate"] == pytest.approx(0.8, abs=0.12)
    low, high = table.loc[("uncond", "f1"), ["ci_lo", "ci_hi"]]
    assert low < table.loc[("uncond", "f1"), "estimate"] < high
    assert table.loc[("uncond", "f0"), "p_corrected"] <= 0.05
    assert (table.loc["cond", "estimate"] < 0.3).all()
    assert (table.loc["cond", "p_corrected"] > 0.05).all()
    assert table.loc[("uncond", "f2"), "p_corrected"] > 0.05


def test_equals_fitting_fold_by_fold():
    design, rng = make_design(), np.random.default_rng(1)
    x = rng.normal(size=(design.n_samples, 5)) + 3
    y = x @ rng.normal(size=5) + rng.normal(size=design.n_samples)
    scale, errors, base = ((x - x.mean(axis=0)) ** 2).sum() / len(x), 0.0, 0.0

    def fit(train, test, penalty):
        mean, level = x[train].mean(axis=0), y[train].mean()
        kernel = (x[train] - mean) @ (x[train] - mean).T
        model = KernelRidge(alpha=penalty * scale, kernel="precomputed")
        model.fit(kernel, y[train] - level)
        return ((model.predict((x[test] - mean) @ (x[train] - mean).T) + level - y[test]) ** 2).sum()

    for fold in design.folds():
        inner = design.subset(fold.train).folds()
        losses = [
            sum(fit(fold.train[one.train], fold.train[one.test], penalty) for one in inner)
            for penalty in PENALTIES
        ]
        errors += fit(fold.train, fold.test, PENALTIES[int(np.argmin(losses))])
        base += ((y[fold.test] - y[fold.train].mean()) ** 2).sum()
    table = run(design, Averages(design, cond=x), y[:, None]).table
    assert table["estimate"].item() == pytest.approx(1 - errors / base, abs=1e-4)


@pytest.mark.parametrize("statistic", [HELD_OUT, BEYOND])
def test_choosing_penalties_only_where_it_matters_changes_no_p(statistic, monkeypatch):
    design, rng = make_design(n_seeds=3), np.random.default_rng(7)
    x, other = rng.normal(size=(2, design.n_samples, 6))
    values = np.c_[x + rng.normal(size=x.shape), rng.normal(size=(design.n_samples, 2))]
    asked, sums = [], DualRidge.sums

    def counted(ridge, targets, valid=None, matter=lambda *_: np.True_):
        return sums(ridge, targets, valid, lambda *least: asked.append(matter(*least)) or asked[-1])

    def every(ridge, targets, valid=None, matter=None):
        return sums(ridge, targets, valid)

    found = []
    for version in (counted, every):
        monkeypatch.setattr(DualRidge, "sums", version)
        found.append(run(design, Averages(design, cond=x, uncond=x + other), values, statistic))
    share = np.mean(np.concatenate([np.ravel(one) for one in asked]))
    assert 0.1 < share < 0.9, share
    pd.testing.assert_frame_equal(found[0].table, found[1].table)
    pd.testing.assert_frame_equal(found[0].null, found[1].null)


def test_rotation_shift_and_units_change_nothing():
    design, rng = make_design(), np.random.default_rng(2)
    x = rng.normal(size=(design.n_samples, 8))
    values = np.c_[x[:, 0] + rng.normal(size=design.n_samples), rng.normal(size=design.n_samples)]
    rotation = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    first = run(design, Averages(design, cond=x), values).table
    second = run(design, Averages(design, cond=5 * x @ rotation + 2), 1000 * values - 3).table
    np.testing.assert_allclose(first["estimate"], second["estimate"], atol=1e-3)
    np.testing.assert_allclose(first["p"], second["p"], atol=0.021)


@pytest.mark.parametrize("within", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("templates", [True, False])
def test_false_positive_rate_on_null_data(within, templates):
    """Features and states each cluster by prompt, and have nothing to do with each other."""
    rng, rejected, n = np.random.default_rng([int(10 * within), templates]), 0, 0
    design = make_design(n_templates=4, templates=templates)
    for _ in range(20):
        gram = Averages(design, cond=clustered(design, (6,), within, rng))
        table = run(design, gram, clustered(design, (10,), within, rng)).table
        rejected, n = rejected + int((table["p"] <= 0.05).sum()), n + len(table)
    low, high = binom.interval(0.99, n, 0.05)
    assert low <= rejected <= high, rejected / n


def test_permuting_samples_instead_would_find_effects_in_noise():
    """The null test above can fail: with samples as units the same data give false findings."""
    rng, rejected = np.random.default_rng(3), []
    design = make_design(n_templates=4, n_seeds=4)
    ids = design.samples["sample_id"]
    alone = Design(design.samples.assign(prompt_id=ids, seed=0, template=""))
    for _ in range(8):
        gram = Averages(design, cond=clustered(design, (6,), 0.9, rng))
        rejected.append(run(alone, gram, clustered(design, (10,), 0.9, rng)).table["p"] <= 0.05)
    assert np.mean(rejected) > 0.15


def test_max_t_keeps_the_family_wise_rate():
    rng, found, n = np.random.default_rng(4), 0, 40
    design = make_design(n_templates=4)
    for _ in range(n):
        gram = Averages(
            design, cond=clustered(design, (6,), 0.5, rng), uncond=clustered(design, (6,), 0.5, rng)
        )
        found += bool(
            (run(design, gram, clustered(design, (8,), 0.5, rng)).table["p_corrected"] <= 0.05).any()
        )
    assert found <= binom.ppf(0.995, n, 0.05)


def test_missing_values_have_consequences_and_reasons():
    design, rng = make_design(), np.random.default_rng(5)
    x = rng.normal(size=(design.n_samples, 6))
    values = np.repeat((x @ rng.normal(size=6))[:, None], 5, axis=1)
    values[3, 1] = np.nan  # one seed: filled for the fit, not scored
    values[design.rows[2], 2] = np.nan  # a whole prompt
    values[design.rows[:6, 0], 3] = np.nan  # too many
    values[:, 4] = 7.0
    table = run(design, Averages(design, cond=x), values).table.set_index("feature")
    assert table.loc["f1", "estimate"] > 0.9
    assert table.loc["f1", "n_valid"] == design.n_samples - 1
    assert table.loc[["f2", "f3", "f4"], ["estimate", "p"]].isna().to_numpy().all()
    assert design.prompts[2] in table.loc["f2", "null"]
    assert "silent" in table.loc["f2", "null"]
    assert "6 of 40 samples" in table.loc["f3", "null"]
    assert "one value" in table.loc["f4", "null"]


def test_without_folds_the_reason_is_given():
    design = make_design(n_templates=1)
    x = np.random.default_rng(6).normal(size=(design.n_samples, 4))
    result = run(design, Averages(design, cond=x), x[:, :2])
    assert result.table[["estimate", "p"]].isna().to_numpy().all()
    assert result.table["null"].str.contains("no folds").all()
    assert layer_map(sound, [result.table], [result.null])["p_corrected"].isna().all()


def test_without_permutations_nothing_is_tested():
    design, x = make_design(), np.random.default_rng(6).normal(size=(40, 4))
    table = run(design, Averages(design, cond=x), x[:, :2], n_permutations=0).table
    assert table["estimate"].notna().all()
    assert table[["p", "p_corrected", "min_p"]].isna().all(axis=None)
    assert (table["n_perm"] == 0).all()
    assert (table["null"] == "none: no permutations were asked for").all()


def test_a_branch_without_variance_predicts_nothing():
    design, x = make_design(), np.random.default_rng(6).normal(size=(40, 4))
    result = run(design, Averages(design, cond=x, uncond=np.ones_like(x)), x[:, :2])
    table = result.table.set_index("branch")
    assert table.loc["uncond", ["estimate", "ci_lo", "p", "p_corrected", "min_p"]].isna().all(axis=None)
    assert (table.loc["uncond", "n_perm"] == 0).all()
    assert table.loc["uncond", "null"].str.contains("deterministic").all()
    assert table.loc["cond", ["estimate", "ci_lo", "p"]].notna().all(axis=None)
    assert (table.loc["cond", "n_perm"] == 99).all()


def test_map_over_layers_is_stricter_than_one_layer():
    design, rng = make_design(), np.random.default_rng(7)
    grams = [Averages(design, cond=rng.normal(size=(design.n_samples, 6))) for _ in range(3)]
    values = rng.normal(size=(design.n_samples, 4))
    results = [run(design, gram, values) for gram in grams]
    joined = layer_map(sound, [r.table for r in results], [r.null for r in results])
    alone = pd.concat([r.table for r in results], ignore_index=True)
    assert (joined["p_corrected"] >= alone["p_corrected"]).all()
    assert (joined["p_corrected"] > alone["p_corrected"]).any()
    assert joined["family"].str.contains("layers").all()


def test_clips_that_lack_a_sample_are_refused():
    design = make_design()
    x = np.random.default_rng(8).normal(size=(design.n_samples, 4))
    clips = clip_table(design, x)
    with pytest.raises(InputError, match="'t0-happy/seed-0' has 'f0' twice"):
        twice = pd.concat([clips, clips.iloc[:1]])
        analysed(sound, Averages(design, cond=x), design, clips=twice)
    clips = clips.iloc[4:]
    with pytest.raises(InputError, match="'t0-happy/seed-0' has no clip features"):
        analysed(sound, Averages(design, cond=x), design, clips=clips)


def test_what_goes_beyond_the_label_is_told_from_what_the_label_brings():
    """Feature 0 follows the label, which the states know; feature 1 follows the states within a label."""
    design, rng = make_design(n_seeds=3), np.random.default_rng(9)
    own = rng.normal(size=(design.n_samples, 4))
    states = np.c_[3 * np.eye(4)[codes_of(design.labels)], own]
    noise = 0.3 * rng.normal(size=(design.n_samples, 2))
    values = np.c_[codes_of(design.labels), own[:, 0] + 0.5 * codes_of(design.labels)] + noise
    gram = Averages(design, cond=states)
    plain, beyond = (run(design, gram, values, statistic).table for statistic in (HELD_OUT, BEYOND))
    assert (plain["estimate"] > 0.7).all()
    assert (plain["p_corrected"] <= 0.05).all()
    assert beyond["estimate"][0] < 0.02
    assert beyond["p"][0] > 0.05
    assert beyond["estimate"][1] > 0.4
    assert beyond["p_corrected"][1] <= 0.05
    assert beyond["null"].str.startswith("residuals of acoustics from labels permuted").all()


def test_false_positive_rate_beyond_the_label():
    """Sound and states both follow the label, and have nothing else to do with each other."""
    rng, rejected, n = np.random.default_rng(10), 0, 0
    design = make_design(n_templates=4)
    for _ in range(20):
        shared = rng.normal(size=(4, 6))[codes_of(design.labels)]
        gram = Averages(design, cond=shared + clustered(design, (6,), 0.5, rng))
        values = rng.normal(size=(4, 10))[codes_of(design.labels)] + clustered(design, (10,), 0.5, rng)
        table = run(design, gram, values, BEYOND).table
        rejected, n = rejected + int((table["p"] <= 0.05).sum()), n + len(table)
    low, high = binom.interval(0.99, n, 0.05)
    assert low <= rejected <= high, rejected / n


def test_every_window_of_the_file_is_scored():
    design, rng = make_design(), np.random.default_rng(11)
    first, second = rng.normal(size=(2, design.n_samples, 4))
    gram = Averages(design, ("whole", "last_10"), cond=np.stack([first, second]))
    table = run(design, gram, np.c_[first[:, 0], second[:, 0]]).table.set_index(["window", "feature"])
    assert set(table.index.unique("window")) == {"whole", "last_10"}
    own = table.loc[[("whole", "f0"), ("last_10", "f1")], "estimate"]
    others = table.loc[[("whole", "f1"), ("last_10", "f0")], "estimate"]
    assert own.min() > 0.9 > 0.3 > others.max()
