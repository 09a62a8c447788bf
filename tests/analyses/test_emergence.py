"""Emergence: planted onsets and shapes are recovered, null data have none, interactions keep their level."""

from functools import partial

import fakes
import numpy as np
import pytest
import ruptures
from fakes import codes_of, make_design, rows
from scipy.stats import binom

from innerear.analyses import emergence
from innerear.analyses.emergence import (
    AFTER,
    BEFORE,
    INTERACTION,
    ONSET,
    RISE,
    RISE_TIME,
    fit_shape,
    logistic_shapes,
    onsets,
    step_shapes,
)
from innerear.errors import InputError
from innerear.statistics.design import Design
from innerear.statistics.label_distance import Distance, flipped_fold_products
from innerear.statistics.table import layer_map

S, PADS = 66, 3
STEP = np.arange(S)
Measured = partial(fakes.Measured, pads=PADS)


def data(design, strength, *, d=12, within=0.5, seed=0, n_steps=S, smooth=1, turn=False):
    """Noise of a share `within` per prompt, and emotion in uncond as strong as `strength` [S].

    `smooth` averages the noise over so many steps; `turn` gives the emotion another direction in the
    second half.
    """
    rng = np.random.default_rng(seed)

    def noise(n):
        white = rng.normal(size=(n, 2, n_steps + smooth - 1, d))
        return np.sqrt(smooth) * np.lib.stride_tricks.sliding_window_view(white, smooth, axis=2).mean(axis=-1)

    x = np.sqrt(within) * noise(design.n_prompts)[design.prompt_of]
    x += np.sqrt(1 - within) * noise(design.n_samples)
    codes = codes_of(design.labels)
    first, second = rng.normal(size=(2, 4, d))
    late = (np.arange(n_steps) >= n_steps / 2)[:, None] & turn
    pattern = np.where(late, second[:, None], first[:, None])  # [4, S, D]
    x[:, 1] += (np.asarray(strength)[:, None] * pattern)[codes]
    return x.astype(np.float32)


def analysed(strength, design=None, m=49, steps_per_matrix=1, **options):
    design = design or make_design()
    gram = Measured(data(design, strength, **options), design, steps_per_matrix=steps_per_matrix)
    return fakes.analysed(emergence, gram, design, n_permutations=m, n_bootstraps=200)


def one(table, statistic, branch="uncond", **where):
    return rows(table, statistic=statistic, branch=branch, **where).iloc[0]


@pytest.fixture(scope="module")
def sudden():
    return analysed(1.5 * (STEP >= 30)).table


@pytest.fixture(scope="module")
def gradual():
    return analysed(1.5 / (1 + np.exp(-(STEP - 33) / 5))).table


def test_a_sudden_onset_is_recovered_with_its_interval(sudden):
    onset = one(sudden, ONSET, unit="step")
    assert onset["estimate"] == pytest.approx(30, abs=1)
    assert onset["ci_lo"] <= 30 <= onset["ci_hi"]
    assert onset["ci_hi"] - onset["ci_lo"] <= 8
    assert one(sudden, ONSET, unit="s")["estimate"] == pytest.approx(onset["estimate"] / 50)
    assert one(sudden, RISE)["ci_lo"] > 0
    assert one(sudden, RISE)["p"] <= 0.02
    assert one(sudden, BEFORE)["ci_hi"] < 0.1 < one(sudden, AFTER)["ci_lo"]
    step = one(sudden, "held-out error, step")
    assert step["estimate"] < 0.8
    assert step["p"] <= 0.02


def test_sudden_and_gradual_are_told_apart(sudden, gradual):
    assert one(sudden, "held-out error, step")["preferred"] > 0.5
    assert one(gradual, "held-out error, step")["preferred"] < 0.1
    assert (
        one(gradual, "held-out error, logistic")["estimate"]
        < one(gradual, "held-out error, step")["estimate"]
    )
    assert one(sudden, RISE_TIME)["estimate"] < 5
    # A logistic of scale 5 rises in 2 ln 9 × 5 = 22 steps; the share of variance saturates, so it rises
    # faster.
    assert 8 <= one(gradual, RISE_TIME)["estimate"] <= 30
    shares = sudden[sudden["statistic"].str.startswith("held-out error") & (sudden["branch"] == "uncond")]
    assert shares["preferred"].sum() == pytest.approx(1)


def test_steps_taken_together_leave_onset_and_rise_time_in_steps(sudden, gradual):
    together = analysed(1.5 * (STEP >= 30), steps_per_matrix=3)
    onset = one(together.table, ONSET, unit="step")
    assert onset["estimate"] == pytest.approx(30, abs=3)
    assert one(together.table, ONSET, unit="s")["estimate"] == pytest.approx(onset["estimate"] / 50)
    slow = analysed(1.5 / (1 + np.exp(-(STEP - 33) / 5)), steps_per_matrix=3).table
    times = [one(table, RISE_TIME)["estimate"] for table in (gradual, slow)]
    assert times[1] == pytest.approx(times[0], rel=0.35)


@pytest.mark.parametrize("within", [0.2, 0.5, 0.8])
def test_the_rise_keeps_its_level_on_smooth_null_data(within):
    """Smooth noise drifts by itself, in all folds together: only relabeling knows how far."""
    design, found, n = make_design(n_templates=4, n_seeds=2), 0, 35
    for k in range(n):
        gram = Measured(data(design, np.zeros(40), d=6, seed=k, n_steps=40, smooth=12, within=within), design)
        options = {"n_permutations": 99, "n_bootstraps": 2}
        table = fakes.analysed(emergence, gram, design, branches=("uncond",), **options).table
        found += bool(one(table, RISE)["p"] <= 0.05)
    assert found <= binom.ppf(0.999, n, 0.05), found


def test_without_templates_the_rise_is_tested_as_well():
    table, found, n = Design(make_design(n_templates=3).samples.assign(template="")), 0, 20
    for k in range(n):
        gram = Measured(
            data(table, np.zeros(16), d=6, seed=k, n_steps=16, smooth=6, within=0.8), table, pads=0
        )
        options = {"n_permutations": 39, "n_bootstraps": 2}
        result = fakes.analysed(emergence, gram, table, branches=("uncond",), **options).table
        found += bool(one(result, RISE)["p"] <= 0.05)
    assert found <= binom.ppf(0.999, n, 0.05), found
    planted = analysed(1.5 * (np.arange(24) >= 12), table, m=39, n_steps=24).table
    assert one(planted, RISE)["p"] <= 0.05
    assert abs(one(planted, ONSET, unit="step")["estimate"] - 12) <= 1


def joined(x, design, **options):
    """The map over one layer in uncond."""
    sizes = {"n_permutations": 99, "n_bootstraps": 20} | options
    result = fakes.analysed(emergence, Measured(x, design), design, branches=("uncond",), **sizes)
    return layer_map(emergence, [result.table], [result.null])


@pytest.mark.parametrize("n_templates", [4, 8])
def test_an_effect_that_is_there_from_the_start_has_no_onset_and_no_change(n_templates):
    """A constant effect in smooth noise: no label emerges, and changes are shown as rarely as they should."""
    design, changed, n = make_design(n_templates=n_templates, n_seeds=2), 0, 30
    for k in range(n):
        x = data(design, np.ones(40), d=6, seed=k, n_steps=40, smooth=12, within=0.8)
        table = joined(x, design)
        answer = one(table, RISE)["answer"]
        assert "emerges" not in answer
        assert np.isnan(one(table, ONSET, unit="step")["estimate"])
        changed += "rises" in answer or "falls" in answer
        assert one(table, RISE)["p_corrected"] >= one(table, RISE)["p_folds"]
    assert changed <= binom.ppf(0.999, n, 0.05), changed


def test_a_change_in_one_of_many_layers_is_corrected_over_them():
    """Of a constant effect the test of the folds alone says that nothing changes, in each layer anew."""
    design, n_layers, n, changed = make_design(n_templates=6, n_seeds=1), 6, 25, 0
    sizes = {"n_permutations": 39, "n_bootstraps": 2, "branches": ("uncond",)}
    for k in range(n):
        x = (data(design, np.full(16, 0.7), d=4, seed=100 * k + i, n_steps=16) for i in range(n_layers))
        found = [
            fakes.analysed(emergence, Measured(one, design, pads=0), design, layer=i, **sizes)
            for i, one in enumerate(x)
        ]
        table = rows(layer_map(emergence, [r.table for r in found], [r.null for r in found]), statistic=RISE)
        p, of_folds = (np.sort(table[name].to_numpy(float)) for name in ("p_corrected", "p_folds"))
        assert p[0] >= min(n_layers * of_folds[0], 1)
        changed += p[0] <= 0.05
    assert changed <= binom.ppf(0.999, n, 0.05), changed


def test_what_is_there_and_falls_is_said_to_fall():
    design = make_design(n_templates=8)
    table = joined(data(design, np.where(STEP < 33, 1.5, 0.7), d=12, seed=3), design)
    rise = one(table, RISE)
    assert rise["ci_hi"] < 0
    assert rise["p"] <= 0.02
    assert rise["p_flip"] <= 0.02
    falls = one(table, AFTER)["estimate"] - one(table, BEFORE)["estimate"]
    assert rise["answer"] == f"there from the first complete step, and then falls by {-rise['estimate']:.2f}"
    assert rise["estimate"] == pytest.approx(falls, abs=0.05)
    assert one(table, ONSET, unit="step")["interval"] == f"none: {rise['answer']}"


def test_emerges_is_said_only_where_absence_before_is_shown(monkeypatch):
    design = make_design(n_templates=8, n_seeds=2)
    x = data(design, 1.5 * (STEP >= 30), d=12, seed=1)
    table = joined(x, design)
    assert one(table, RISE)["answer"] == "emerges"
    assert one(table, ONSET, unit="step")["estimate"] == pytest.approx(30, abs=1)
    monkeypatch.setattr(emergence, "SMALLEST", -1)
    table = joined(x, design)
    assert "not shown" in one(table, RISE)["answer"]
    assert np.isnan(one(table, ONSET, unit="step")["estimate"])


def test_no_shape_is_told_of_a_constant_effect_in_smooth_noise():
    """A shape fits better than the constant by chance; it must do so by more than under relabeling."""
    design, found, n = make_design(n_templates=6, n_seeds=1), np.zeros(3), 30
    names = ["held-out error, step", "held-out error, logistic", "held-out error, linear"]
    for k in range(n):
        x = data(design, np.ones(40), d=6, seed=k, n_steps=40, smooth=12, within=0.8)
        table = joined(x, design)
        found += [one(table, name)["p"] <= 0.05 for name in names]
    assert (found <= binom.ppf(0.999, n, 0.05)).all(), found


def test_the_curves_of_folds_average_to_the_distance():
    design, rng = make_design(n_templates=6), np.random.default_rng(0)
    kernel = np.einsum("spd,sqd->spq", *[rng.normal(size=(5, design.n_prompts, 4))] * 2)
    distance = Distance(design)
    products = distance.fold_products(kernel, np.arange(design.n_prompts)[None])
    own, rest = emergence._curves(products)
    expected = np.einsum("pq,spq->s", distance.weights, kernel)
    np.testing.assert_allclose(own[0].mean(axis=0), expected)
    np.testing.assert_allclose(
        rest[0, 2], np.nanmean(np.delete(np.delete(products[0], 2, 0), 2, 1), axis=(0, 1))
    )
    flipped = flipped_fold_products(distance.contrasts(kernel), design)
    np.testing.assert_allclose(flipped[0], products[0])


def test_emergence_in_cond_is_refused_and_never_reported(sudden):
    design = make_design()
    gram = Measured(data(design, np.zeros(S)), design)
    with pytest.raises(InputError, match="reads the text from step 0"):
        fakes.analysed(emergence, gram, design, branches=("cond", "delta"))
    assert set(rows(sudden, branch="cond")["statistic"]) == {
        INTERACTION,
        "distance",
        "difference of distances",
    }


def test_onsets_equal_binary_segmentation():
    rng = np.random.default_rng(0)
    curves = rng.normal(size=(30, 50)) + np.linspace(0, 3, 30)[:, None] * (np.arange(50) >= 17)
    expected = [
        ruptures.Binseg(model="l2", min_size=2, jump=1).fit(curve[:, None]).predict(n_bkps=1)[0]
        for curve in curves
    ]
    assert onsets(curves).tolist() == expected


def test_a_shape_is_fitted_by_least_squares():
    rng = np.random.default_rng(1)
    curve, shapes = rng.normal(size=40), step_shapes(40)
    chosen, height = fit_shape(curve[None], shapes)
    errors = []
    for shape in shapes:
        basis = np.stack([np.ones(40), shape], axis=1)
        solution, error = np.linalg.lstsq(basis, curve, rcond=None)[:2]
        errors.append((error[0], solution[1]))
    assert min(errors) == (pytest.approx(errors[chosen[0]][0]), pytest.approx(height[0]))


def test_a_logistic_rises_from_10_to_90_percent_in_2_ln_9_scales():
    shapes, scales = logistic_shapes(400)
    # Rises that begin and end well inside the clip, so that both crossings are there.
    inside = (shapes[:, 0] < 0.01) & (shapes[:, -1] > 0.99)
    assert len(np.unique(scales[inside])) > 5
    for shape, scale in zip(shapes[inside], scales[inside], strict=True):
        lo, hi = np.interp([0.1, 0.9], shape, np.arange(400))
        assert hi - lo == pytest.approx(2 * np.log(9) * scale, rel=0.02)


@pytest.mark.parametrize("scale", [2.0, 4.0])
def test_the_rise_time_of_a_planted_logistic_is_reported(scale):
    """The distance is the square of the effect; a weak one hardly adds to the variance it is divided by."""
    rise = 1 / (1 + np.exp(-(STEP - 33) / scale))
    row = one(analysed(0.6 * np.sqrt(rise), d=300, m=9).table, RISE_TIME)
    # Scales are tried in ratios of 1.26.
    assert row["estimate"] == pytest.approx(2 * np.log(9) * scale, rel=0.26)
    assert row["unit"] == "step"


# ---- early and late ----------------------------------------------------------------------------------


def test_another_code_late_is_an_interaction_and_the_same_code_is_not():
    turned = analysed(np.full(S, 1.0), m=199, turn=True).table
    assert one(turned, INTERACTION)["p"] <= 0.01
    assert one(turned, INTERACTION)["ci_lo"] > 0
    more = one(turned, "difference of distances")
    assert more["ci_lo"] < 0 < more["ci_hi"]
    same = analysed(np.full(S, 1.0), m=199, seed=2).table
    assert one(same, INTERACTION)["p"] > 0.05
    assert one(same, "distance", window="last_10")["ci_lo"] > 0


def test_more_of_the_same_is_a_difference_of_distances(sudden):
    more = one(sudden, "difference of distances")
    assert more["ci_lo"] > 0
    expected = (
        one(sudden, "distance", window="last_10")["estimate"]
        - one(sudden, "distance", window="first_10")["estimate"]
    )
    assert more["estimate"] == pytest.approx(expected)


@pytest.mark.parametrize("within", [0.2, 0.5, 0.8])
def test_the_interaction_keeps_its_level_under_a_constant_effect(within):
    """A strong main effect of emotion, the same at all times, is no interaction."""
    design, found, n = make_design(n_templates=4), 0, 50
    for k in range(n):
        x = data(design, np.full(20, 2.0), d=5, within=within, seed=k, n_steps=20)
        gram = Measured(x, design, pads=0)
        options = {"n_permutations": 99, "n_bootstraps": 2}
        table = fakes.analysed(emergence, gram, design, branches=(), **options).table
        found += bool(one(table, INTERACTION)["p"] <= 0.05)
    assert found <= binom.ppf(0.999, n, 0.05), found


def test_the_map_corrects_the_interaction_over_layers():
    design = make_design()
    results = [
        fakes.analysed(
            emergence,
            Measured(data(design, np.full(S, 1.0), turn=layer == 1, seed=layer), design),
            design,
            layer=layer,
            n_permutations=99,
            n_bootstraps=20,
        )
        for layer in range(2)
    ]
    table = layer_map(emergence, [r.table for r in results], [r.null for r in results])
    tested = rows(table, statistic=INTERACTION)
    assert (tested["p_corrected"] >= tested["p"]).all()
    assert (tested["family"] == "layers of a branch").all()
    shapes = table["statistic"].str.startswith("held-out error") & ~table["statistic"].str.contains(
        "constant"
    )
    untested = table[~table["statistic"].isin([INTERACTION, RISE]) & ~shapes]
    assert untested["p"].isna().all()
    assert untested["null"].str.startswith("none: ").all()


def test_a_clip_too_short_for_windows_says_so():
    design = make_design()
    x = data(design, np.zeros(9), n_steps=9)
    table = fakes.analysed(
        emergence, Measured(x, design, pads=0), design, n_permutations=9, n_bootstraps=20
    ).table
    assert (rows(table, statistic=INTERACTION)["null"].str.contains("too few complete steps")).all()
