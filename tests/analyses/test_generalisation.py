"""Temporal generalisation and transfer: equal to MNE and scikit-learn, and at their level on null data."""

from functools import partial

import fakes
import numpy as np
import pytest
from fakes import analysed, codes_of
from mne.decoding import GeneralizingEstimator
from scipy.stats import binom
from sklearn.linear_model import Ridge

from innerear.analyses import generalisation
from innerear.analyses.generalisation import AUC, EVIDENCE
from innerear.statistics.ridge.probes import Ranking, held_out_operators
from innerear.statistics.table import layer_map

Measured = partial(fakes.Measured, n_bins=5)
make_design = partial(fakes.make_design, n_templates=4)


def data(design, *, n_steps=20, d=10, within=0.5, emotion=0.0, turn=True, seed=0):
    """Emotion in both branches, with another code in the second half where `turn`; steps drift apart."""
    rng = np.random.default_rng(seed)
    x = np.sqrt(within) * rng.normal(size=(design.n_prompts, 2, n_steps, d))[design.prompt_of]
    x += np.sqrt(1 - within) * rng.normal(size=(design.n_samples, 2, n_steps, d))
    codes = codes_of(design.labels)
    first, second = emotion * rng.normal(size=(2, 4, d))
    x[:, :, : n_steps // 2] += first[codes][:, None, None]
    x[:, :, n_steps // 2 :] += (second if turn else first)[codes][:, None, None]
    return (x + 3 * rng.normal(size=(2, n_steps, d))).astype(np.float32)


def measure(design, n_permutations=99, n_bins=5, **options):
    gram = Measured(data(design, **options), design, n_bins=n_bins)
    return analysed(generalisation, gram, design, n_permutations=n_permutations, n_bootstraps=30)


def square(table, column, statistic=EVIDENCE, branch="uncond"):
    mine = table[(table["statistic"] == statistic) & (table["branch"] == branch)]
    return mine.pivot(index="train", columns="test", values=column).to_numpy(float)


def test_scores_equal_mne_generalizing_estimator():
    """MNE fits one scikit-learn estimator per training bin and judges it in every bin, fold by fold."""
    design = make_design()
    x = data(design, emotion=1)[:, 1].reshape(design.n_samples, 5, 4, -1).mean(axis=2).swapaxes(1, 2)
    centred = (x - x.mean(axis=0)).astype(float)  # [N, D, bins]
    kernel = np.einsum("ndt,mdt->tnm", centred, centred)
    across = np.einsum("ndu,mdt->tunm", centred, centred)
    targets = design.targets[design.prompt_of]
    got = held_out_operators(kernel, design, across) @ targets  # [train, test, N, Q]

    class Centred(Ridge):
        """Ridge with our penalty, whose scores are relative to the training mean."""

        def fit(self, x, y):
            self.alpha = ((x - x.mean(axis=0)) ** 2).sum() / len(x)
            self.mean_ = y.mean(axis=0)
            return super().fit(x, y)

        def predict(self, x):
            return super().predict(x) - self.mean_

    expected = np.empty_like(got)
    for fold in design.folds():
        estimator = GeneralizingEstimator(Centred(), n_jobs=1, verbose="error")
        # MNE hands targets on as they are; columns are fitted apart, which ridge does anyway.
        for q in range(targets.shape[1]):
            estimator.fit(centred[fold.train], targets[fold.train, q])
            expected[:, :, fold.test, q] = estimator.predict(centred[fold.test]).transpose(1, 2, 0)
    np.testing.assert_allclose(got, expected, atol=1e-8)


def test_transfer_between_branches_equals_ridge_on_features():
    design = make_design()
    x = data(design, emotion=0.5)
    result = analysed(generalisation, Measured(x, design), design, n_permutations=9, n_bootstraps=9)
    cond, uncond = x.astype(float).mean(axis=2).swapaxes(0, 1)
    targets, scores = design.targets[design.prompt_of], np.empty((design.n_samples, 4))
    for fold in design.folds():
        train = cond[fold.train]
        # Both branches are centred on all samples of the study, which moves all scores of a label alike.
        ridge = Ridge(alpha=((train - train.mean(axis=0)) ** 2).sum() / len(train))
        ridge.fit(train - cond.mean(axis=0), targets[fold.train])
        scores[fold.test] = ridge.predict(uncond[fold.test] - uncond.mean(axis=0))
    expected = Ranking(design).share(scores[:, None], targets[:, None])[0]
    table = result.table
    mine = table[
        (table["branch"] == "cond → uncond") & (table["train"] == "whole") & (table["statistic"] == AUC)
    ]
    assert mine["estimate"].item() == pytest.approx(expected, abs=1e-6)
    assert mine["test"].item() == "whole"


def test_bins_have_their_seconds_and_windows_have_none():
    table = measure(make_design()).table
    bins = table[table["over"] == "bins"]
    for side in ("train", "test"):
        # 20 steps in five bins: the middle of four steps of 1/50 s each.
        middles = dict(zip(bins[side], bins[f"{side}_seconds"], strict=True))
        assert middles == pytest.approx({f"bin_{b}": (4 * b + 1.5) / 50 for b in range(5)})
        assert table[table["over"] == "windows"][f"{side}_seconds"].isna().all()


def test_a_changing_code_is_a_diagonal_and_a_stable_one_a_square():
    design = make_design(n_templates=5)
    p = square(measure(design, 199, n_bins=4, emotion=1.2).table, "p_corrected")
    assert (p[:2, :2] <= 0.05).all()
    assert (p[2:, 2:] <= 0.05).all()
    assert (p[:2, 2:] > 0.05).all()
    assert (p[2:, :2] > 0.05).all()
    stable = measure(design, 199, n_bins=4, emotion=1.2, turn=False).table
    assert (square(stable, "p_corrected") <= 0.05).all()
    assert (square(stable, "estimate", AUC) > 0.7).all()


def test_flips_tell_a_stable_code_from_a_changing_one():
    design = make_design(n_templates=8)
    changing = square(measure(design, 199, n_bins=4, emotion=1).table, "p_flip_corrected") <= 0.05
    assert changing[:2, :2].all() and changing[2:, 2:].all()
    assert not (changing[:2, 2:].any() or changing[2:, :2].any())
    stable = measure(design, 199, n_bins=4, emotion=1, turn=False).table
    assert (square(stable, "p_flip_corrected") <= 0.05).all()
    crossed = stable[(stable["over"] == "windows") & (stable["statistic"] == EVIDENCE)]
    assert (crossed["p_flip"] <= 0.05).all()  # one code for both branches


def test_flips_keep_their_level_where_spread_is_unlike():
    design, n_bins = make_design(n_templates=8), 60
    codes = codes_of(design.labels)
    x = data(design, n_steps=n_bins, d=5, within=0.8)
    x = (x - x.mean(axis=0)) * np.array([1, 1, 1, 3])[codes, None, None, None]
    table = analysed(
        generalisation, Measured(x, design, n_bins=n_bins), design, n_permutations=199, n_bootstraps=2
    )
    mine = fakes.rows(table.table, statistic=EVIDENCE, over="bins")
    mine = mine[(mine["train"] == mine["test"]) & (mine["branch"] != "delta")]
    assert (mine["p_flip"] <= 0.05).sum() <= binom.ppf(0.999, len(mine), 0.05)


@pytest.mark.parametrize("within", [0.2, 0.5, 0.8])
def test_false_positive_rate_on_null_data(within):
    """Only cells of different train and test bins share data, so cells of the diagonal are counted."""
    design, n_bins = make_design(), 100
    table = measure(design, 99, n_bins=n_bins, n_steps=n_bins, within=within, d=5).table
    mine = table[
        (table["statistic"] == EVIDENCE) & (table["train"] == table["test"]) & (table["over"] == "bins")
    ]
    mine = mine[mine["branch"] != "delta"]
    rejected = int((mine["p"] <= 0.05).sum())
    low, high = binom.interval(0.999, len(mine), 0.05)
    assert len(mine) == 200
    assert low <= rejected <= high
    crossed = table[(table["over"] == "windows") & (table["statistic"] == EVIDENCE)]
    assert (crossed["p"] <= 0.05).mean() < 0.3


def test_max_t_keeps_the_family_wise_rate():
    design, found, n = make_design(), 0, 40
    for k in range(n):
        table = measure(design, d=5, n_steps=10, within=0.8, seed=k).table
        mine = table[(table["statistic"] == EVIDENCE) & (table["branch"] == "uncond")]
        found += bool((mine["p_corrected"] <= 0.05).any())
    assert found <= binom.ppf(0.999, n, 0.05)


def test_the_map_is_corrected_over_layers():
    design = make_design()
    results = [measure(design, emotion=0.4, seed=k) for k in range(2)]
    table = layer_map(generalisation, [r.table for r in results], [r.null for r in results])
    tested = table[table["p"].notna()]
    assert (tested["p_corrected"] >= tested["p"]).all()
    assert set(tested["family"]) == {"layers × windows of a branch"}
    assert set(tested["statistic"]) == {EVIDENCE}


def test_without_templates_probes_are_fitted_anew():
    design = make_design(templates=False)
    table = measure(design, emotion=1, n_permutations=39, n_bins=3).table
    mine = table[(table["statistic"] == EVIDENCE) & (table["branch"] == "uncond")]
    same = mine["train"] == mine["test"]
    assert (mine[same]["p_corrected"] <= 0.05).all()
    assert table[table["statistic"] == EVIDENCE]["p"].notna().all()
    noise = measure(design, within=0.8, n_permutations=39, n_bins=12, n_steps=12, d=5).table
    noise = noise[
        (noise["statistic"] == EVIDENCE) & (noise["train"] == noise["test"]) & (noise["over"] == "bins")
    ]
    rejected = int((noise[noise["branch"] != "delta"]["p"] <= 0.05).sum())
    assert rejected <= binom.ppf(0.999, 24, 0.05)


def test_one_prompt_per_emotion_gives_a_reason_and_no_estimate():
    table = measure(make_design(n_templates=1)).table
    assert table["estimate"].isna().all()
    assert table["null"].str.contains("no folds are possible").all()
