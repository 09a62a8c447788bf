"""Discriminability: textbook values from features, planted effects found, null data at their level."""

import numpy as np
import pandas as pd
import pytest
from fakes import Measured, rows
from scipy.stats import binom, f_oneway
from sklearn.linear_model import Ridge
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from innerear.analyses.discriminability import (
    ACCURACY,
    AUC,
    CONCORDANCE,
    DISPERSION,
    DISTANCE,
    EVERYWHERE,
    EVIDENCE,
    OMEGA,
    best_layers,
    discriminability_map,
    layer_discriminability,
)
from innerear.errors import InputError
from innerear.statistics.design import Design
from innerear.statistics.label_distance import Distance, Explained, permuted_sums, prompt_means
from innerear.statistics.probes import (
    Ranking,
    balanced_accuracy,
    centred_targets,
    evidence,
    evidence_null,
    held_out_operators,
    hits,
)

EMOTIONS = ("happy", "sad", "calm", "energetic")
RATING = dict(zip(EMOTIONS, (0.8, -0.7, 0.5, 0.4), strict=True))


class Stored(Measured):
    """`LayerDiscriminability.arrays` as `GramFile` would give them back."""

    def __init__(self, result):
        self.arrays, self.axes = result.arrays, result.coords


def make_design(n_templates=4, n_seeds=2, label="emotion", templates=True):
    rows = [
        (f"t{t}-{e}/seed-{seed}", f"t{t}-{e}", f"t{t}" if templates else "", e, seed, RATING[e])
        for e in EMOTIONS
        for t in range(n_templates)
        for seed in range(n_seeds)
    ]
    columns = ["sample_id", "prompt_id", "template", "emotion", "seed", "valence"]
    return Design(pd.DataFrame(rows, columns=columns), label)


def data(design, *, d=8, n_steps=20, within=0.5, emotion=0.0, onset=0, seed=0):
    """[N, 2, S, D]: template effects, a share `within` per prompt, emotion in uncond from `onset`."""
    rng = np.random.default_rng(seed)
    prompt = rng.normal(size=(design.n_prompts, 2, n_steps, d))
    noise = rng.normal(size=(design.n_samples, 2, n_steps, d))
    template = rng.normal(size=(design.n_blocks, 2, n_steps, d))[design.block_of]
    x = (np.sqrt(within) * prompt + template)[design.prompt_of] + np.sqrt(1 - within) * noise
    codes = np.unique(design.samples["emotion"], return_inverse=True)[1]
    x[:, 1, onset:] += emotion * rng.normal(size=(4, d))[codes][:, None]
    return x.astype(np.float32)


def centred(x):
    return x - x.mean(axis=0)


@pytest.fixture(scope="module")
def features():
    """Features [N, D] with an effect, their design, and their kernel [1, N, N]."""
    design = make_design()
    x = data(design, emotion=0.8, n_steps=1)[:, 1, 0].astype(float)
    return design, x, (centred(x) @ centred(x).T)[None]


# ---- the textbook ----------------------------------------------------------------------------------


def test_distance_equals_the_products_of_fold_differences(features):
    design, x, kernel = features
    means = {
        (t, e): x[(design.samples["template"] == f"t{t}") & (design.labels == e)].mean(axis=0)
        for t in range(4)
        for e in EMOTIONS
    }
    products = [
        (means[f, a] - means[f, b]) @ (means[g, a] - means[g, b])
        for a in EMOTIONS
        for b in EMOTIONS
        if a < b
        for f in range(4)
        for g in range(4)
        if f != g
    ]
    distance = Distance(design)
    prompts = prompt_means(kernel, design)
    assert (distance.weights * prompts[0]).sum() == pytest.approx(np.mean(products))
    folds = distance.fold_products(prompts[0], np.arange(design.n_prompts)[None])[0]
    assert folds[~np.eye(4, dtype=bool)].mean() == pytest.approx(np.mean(products))


def test_distance_of_a_rating_is_the_squared_slope(features):
    _, x, kernel = features
    design = make_design(label="valence")
    means = np.array([x[design.prompt_of == p].mean(axis=0) for p in range(design.n_prompts)])
    rating = design.targets[:, 0]
    slopes = [np.polyfit(rating[design.block_of == t], means[design.block_of == t], 1)[0] for t in range(4)]
    expected = np.mean([slopes[f] @ slopes[g] for f in range(4) for g in range(4) if f != g])
    assert (Distance(design).weights * prompt_means(kernel, design)[0]).sum() == pytest.approx(expected)


def test_bootstrap_of_the_distance_equals_resampling_by_hand(features):
    design, _, kernel = features
    got = Distance(design).bootstrap(kernel, 30)[:, 0]
    boots = design.bootstraps(30)
    block = design.block_of[design.prompt_of]
    for k in (0, 7, 29):
        u, w = boots.units[k], boots.seeds[k]
        if (u > 0).sum() < 2:
            continue
        numerator, total = 0.0, 0.0
        for f in range(4):
            for g in range(4):
                if f == g:
                    continue
                for r in range(2):
                    for s in range(2):
                        weight = u[f] * u[g] * (w[r] if r == s else w[r] * w[s])
                        first, second = (
                            {
                                e: np.flatnonzero(
                                    (block == t) & (design.labels == e) & (design.seed_of == q)
                                )[0]
                                for e in EMOTIONS
                            }
                            for t, q in ((f, r), (g, s))
                        )
                        value = np.mean([
                            kernel[0, first[a], second[a]] + kernel[0, first[b], second[b]]
                            - kernel[0, first[a], second[b]] - kernel[0, first[b], second[a]]
                            for a in EMOTIONS for b in EMOTIONS if a < b
                        ])  # fmt: skip
                        numerator, total = numerator + weight * value, total + weight
        assert got[k] == pytest.approx(numerator / total, rel=1e-4)


def test_permuted_sums_equal_relabelling_by_hand(features):
    design, _, kernel = features
    prompts = prompt_means(kernel, design)
    null = permuted_sums(Distance(design).weights, prompts, design.prompt_permutations(5))[:, 0]
    for value, row in zip(null, design.permutations(5), strict=True):
        moved = Design(design.samples.assign(emotion=design.labels[row]))
        assert value == pytest.approx((Distance(moved).weights * prompts[0]).sum())


def test_omega_squared_without_templates_equals_the_anova_of_prompt_means():
    design = make_design(n_templates=5, templates=False)
    x = data(design, d=1, emotion=1, n_steps=1)[:, 1, 0].astype(float)
    means = x[design.rows].mean(axis=1)  # [P, 1]
    f = f_oneway(*(means[design.prompt_labels == e, 0] for e in EMOTIONS)).statistic
    expected = 3 * (f - 1) / (3 * (f - 1) + 20)
    model, kernel = Explained.of(design), prompt_means((centred(x) @ centred(x).T)[None], design)
    explained = np.einsum("pq,cpq->c", model.label, kernel)
    assert (model.between, model.within) == (3, 16)
    assert model.omega_squared(explained, kernel)[0] == pytest.approx(expected)
    # Dispersion: the one-way F of the distances to each label's mean.
    centres = np.array([means[design.prompt_labels == e].mean() for e in design.prompt_labels])
    z = np.abs(means[:, 0] - centres)
    got = model.dispersion_f(kernel, np.arange(design.n_prompts)[None])[0, 0]
    assert got == pytest.approx(f_oneway(*(z[design.prompt_labels == e] for e in EMOTIONS)).statistic)


def test_permuted_dispersion_equals_permuting_residuals_by_hand(features):
    design, x, kernel = features
    model = Explained.of(design)
    rest = model.remove - model.label
    residual = rest @ x[design.rows].mean(axis=1)
    for row, got in zip(
        design.prompt_permutations(4),
        model.dispersion_f(prompt_means(kernel, design), design.prompt_permutations(4))[:, 0],
        strict=True,
    ):
        z = model.remove @ np.linalg.norm(rest @ residual[row], axis=1)
        between = z @ model.label @ z
        assert got == pytest.approx(between / 3 / ((z @ z - between) / 9))


def test_omega_squared_with_templates_equals_nested_least_squares(features):
    design, x, kernel = features
    means = x[design.rows].mean(axis=1)
    blocks = np.equal.outer(design.block_of, np.arange(4)).astype(float)

    def residual(regressors):
        return ((means - regressors @ np.linalg.lstsq(regressors, means, rcond=None)[0]) ** 2).sum()

    total, rest = residual(blocks), residual(np.hstack([blocks, design.targets]))
    mean_square = rest / 9
    model, prompts = Explained.of(design), prompt_means(kernel, design)
    assert (model.between, model.within) == (3, 9)
    got = model.omega_squared(np.einsum("pq,cpq->c", model.label, prompts), prompts)[0]
    assert got == pytest.approx((total - rest - 3 * mean_square) / (total + mean_square))


def test_probe_equals_scikit_learn_ridge_on_features(features):
    design, x, kernel = features
    targets = design.targets[design.prompt_of]
    expected = np.empty((design.n_samples, 4))
    aucs = []
    for fold in design.folds():
        train = x[fold.train]
        ridge = Ridge(alpha=((train - train.mean(axis=0)) ** 2).sum() / len(train))
        ridge.fit(train, targets[fold.train])
        expected[fold.test] = ridge.predict(x[fold.test]) - targets[fold.train].mean(axis=0)
        aucs += [roc_auc_score(targets[fold.test, q], expected[fold.test, q]) for q in range(4)]
    scores = (held_out_operators(kernel, design)[0] @ targets)[:, None]  # [N, 1, Q]
    np.testing.assert_allclose(scores[:, 0], expected, atol=1e-8)
    got = balanced_accuracy(hits(scores, targets[:, None]), targets[:, None])[0]
    assert got == pytest.approx(balanced_accuracy_score(targets.argmax(axis=1), expected.argmax(axis=1)))
    assert Ranking(design).share(scores, targets[:, None])[0] == pytest.approx(np.mean(aucs))


def test_null_evidence_equals_relabelling_by_hand(features):
    design, _, kernel = features
    operators = held_out_operators(kernel, design)
    null = evidence_null(operators, design, 5)[:, 0]
    for value, row in zip(null, design.permutations(5), strict=True):
        moved = Design(design.samples.assign(emotion=design.labels[row]))
        assert value == pytest.approx(evidence(operators, moved).mean())
    targets = centred_targets(design)
    assert (targets**2).sum(axis=1).mean() == pytest.approx(1)


def test_probes_do_not_mind_where_the_origin_is(features):
    design, x, _ = features
    shifted = x + 100
    operators = held_out_operators(np.stack([x @ x.T, shifted @ shifted.T]), design)
    np.testing.assert_allclose(operators[0], operators[1], atol=1e-6)


# ---- planted effects and null data -------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted():
    design = make_design(n_templates=5)
    results = []
    for layer, emotion in enumerate((0.0, 1.2, 0.5)):
        gram = Measured(data(design, emotion=emotion, onset=10, seed=layer), design)
        results.append(
            layer_discriminability(gram, design, model="m", layer=layer, n_permutations=199, n_bootstraps=100)
        )
    return design, results


@pytest.mark.parametrize("statistic", [DISTANCE, OMEGA, EVIDENCE])
def test_a_planted_emotion_is_found_in_its_layer_branch_and_steps(planted, statistic):
    _, results = planted
    table = discriminability_map([r.table for r in results], [r.null for r in results])
    table = rows(table, statistic=statistic, over="steps")
    found = rows(table, branch="uncond", layer=1).set_index("step")
    assert (found.loc[10:, "p_corrected"] <= 0.05).all()
    assert (found.loc[:9, "p_corrected"] > 0.05).all()
    assert (rows(table, layer=0)["p_corrected"] > 0.05).all()
    assert (rows(table, branch="cond")["p_corrected"] > 0.05).all()
    assert table["family"].unique().tolist() == ["layers × steps of a branch"]


def test_the_planted_layer_is_best_and_confirmed_elsewhere_than_where_it_was_chosen(planted):
    design, results = planted
    best = best_layers({i: Stored(r) for i, r in enumerate(results)}, design, model="m")
    uncond = rows(best, branch="uncond")
    assert rows(uncond, layer=1)["estimate"].item() == 1
    assert rows(uncond, layer=1)["ci_hi"].item() == 1
    held_out = rows(uncond, layer=-1).iloc[0]
    assert held_out["chosen"] == "1, 1, 1, 1, 1"
    assert held_out["p_corrected"] <= 0.01
    assert rows(best, branch="cond", layer=-1)["p_corrected"].item() > 0.05


def test_only_windows_test_decisions_and_every_row_says_how(planted):
    table = planted[1][1].table
    decided = table[table["statistic"].isin([AUC, ACCURACY])]
    assert decided[decided["over"] == "steps"]["p"].isna().all()
    assert decided[decided["over"] == "windows"]["p"].notna().all()
    assert (decided[decided["over"] == "steps"]["null"] == "none: an estimate: tested in windows").all()
    tested = table[table["p"].notna()]
    assert tested["null"].str.contains(planted[0].permutation_hash(199)).all()
    assert set(tested["statistic"]) == {*EVERYWHERE, AUC, ACCURACY}


@pytest.mark.parametrize("within", [0.2, 0.5, 0.8])
def test_false_positive_rate_on_null_data(within):
    """Steps and deciles are independent data here, so one call tests hundreds of null studies."""
    n, design = 250, make_design(n_templates=5)
    gram = Measured(data(design, d=6, within=within, n_steps=n, seed=int(10 * within)), design)
    result = layer_discriminability(gram, design, model="0", layer=0, n_permutations=199, n_bootstraps=2)
    for statistic in EVERYWHERE:
        table = rows(result.table, over="steps", statistic=statistic)
        for branch in ("cond", "uncond"):
            rejected = int((rows(table, branch=branch)["p"] <= 0.05).sum())
            low, high = binom.interval(0.999, n, 0.05)
            assert low <= rejected <= high, (statistic, rejected)
    deciles = result.table[
        result.table["window"].str.startswith("decile") & (result.table["branch"] != "delta")
    ]
    for statistic in (AUC, ACCURACY):
        rejected = int((rows(deciles, statistic=statistic)["p"] <= 0.05).sum())
        assert rejected <= binom.ppf(0.999, 20, 0.05)


def test_probes_keep_their_level_over_many_null_studies():
    """Accuracy and AUC are tested in windows only: here each study has one step, so one window."""
    design, found, n = make_design(n_templates=4), np.zeros(2), 120
    targets = design.targets[design.prompt_of]
    ranking = Ranking(design)
    x = data(design, d=6, within=0.8, n_steps=n, seed=3)[:, 1].swapaxes(0, 1).astype(float)  # [S, N, D]
    operators = held_out_operators(x @ x.swapaxes(1, 2), design)
    moved = np.ascontiguousarray(
        design.targets[design.prompt_permutations(99)][:, design.prompt_of].swapaxes(0, 1)
    )
    for one in operators:
        scores = (one @ moved.reshape(len(moved), -1)).reshape(moved.shape)
        observed = (one @ targets)[:, None]
        null = ranking.share(scores, moved), balanced_accuracy(hits(scores, moved), moved)
        own = (
            ranking.share(observed, targets[:, None])[0],
            balanced_accuracy(hits(observed, targets[:, None]), targets[:, None])[0],
        )
        found += [(1 + (null[k] >= own[k] - 1e-9).sum()) / 100 <= 0.05 for k in range(2)]
    assert (found <= binom.ppf(0.999, n, 0.05)).all(), found
    assert found[0] >= binom.ppf(0.001, n, 0.05)


def test_max_t_keeps_the_family_wise_rate():
    design, found, n = make_design(n_templates=4), np.zeros(len(EVERYWHERE)), 25
    for k in range(n):
        gram = Measured(data(design, d=5, n_steps=9, seed=100 + k, within=0.8), design)
        table = layer_discriminability(
            gram, design, model="0", layer=0, n_permutations=99, n_bootstraps=2
        ).table
        steps = rows(table, over="steps", branch="uncond")
        found += [(rows(steps, statistic=name)["p_corrected"] <= 0.05).any() for name in EVERYWHERE]
    assert (found <= binom.ppf(0.999, n, 0.05)).all(), found


def test_choosing_the_best_of_many_null_layers_is_not_confirmed():
    design, found, n = make_design(n_templates=4), 0, 40
    for k in range(n):
        distance, layers = Distance(design), {}
        relabelings = np.vstack([np.arange(design.n_prompts), design.prompt_permutations(99)])
        for layer in range(6):
            x = data(design, d=5, n_steps=1, within=0.8, seed=1000 * k + layer)[:, 1, 0]
            products = distance.fold_products(prompt_means((x @ x.T)[None], design)[0], relabelings)
            layers[layer] = FoldProducts(products)
        best = best_layers(layers, design, model="0")
        found += bool(rows(best, layer=-1)["p"].item() <= 0.05)
    assert found <= binom.ppf(0.999, n, 0.05)


class FoldProducts:
    """What `best_layers` reads of one layer and one branch."""

    def __init__(self, products):
        self.values = {"fold_products": products[None], "bootstraps": np.zeros((1, 2))}

    def read(self, name):
        return self.values[name]

    def coords(self, axis):
        return np.array(["uncond"])


# ---- other designs -----------------------------------------------------------------------------------


def measured(design, **options):
    gram = Measured(data(design, n_steps=11, **options), design)
    return layer_discriminability(gram, design, model="m", layer=0, n_permutations=99, n_bootstraps=60).table


def test_a_rating_is_ranked_not_classified():
    table = measured(make_design(n_templates=5, label="valence"), emotion=2.0)
    assert set(table["statistic"]) == {*EVERYWHERE, CONCORDANCE}
    whole = rows(table, window="whole", branch="uncond").set_index("statistic")
    assert (whole.loc[[DISTANCE, EVIDENCE, CONCORDANCE], "p"] <= 0.05).all()
    assert whole.loc[CONCORDANCE, "estimate"] > 0.7


def test_without_templates_probes_are_fitted_anew_for_windows():
    table = measured(make_design(n_templates=4, templates=False), emotion=2.0)
    probed = [EVIDENCE, AUC, ACCURACY]
    whole = rows(table, window="whole", branch="uncond").set_index("statistic")
    assert (whole.loc[[DISTANCE, OMEGA, *probed], "p_corrected"] <= 0.05).all()
    assert whole.loc[DISTANCE, "ci_lo"] > 0
    assert whole.loc[EVIDENCE, "estimate"] > 0.3
    steps = table[(table["over"] == "steps") & table["statistic"].isin(probed)]
    assert steps["p"].isna().all()
    assert steps["null"].str.contains("tested in windows").all()


@pytest.mark.parametrize("within", [0.2, 0.5, 0.8])
def test_false_positive_rate_of_probes_without_templates(within):
    design, found, n = make_design(n_templates=3, templates=False), np.zeros(3), 0
    for k in range(4):
        gram = Measured(data(design, d=6, within=within, n_steps=30, seed=k), design)
        table = layer_discriminability(
            gram, design, model="m", layer=0, n_permutations=59, n_bootstraps=2
        ).table
        deciles = table[table["window"].str.startswith("decile") & (table["branch"] != "delta")]
        n += 20
        found += [
            int((rows(deciles, statistic=name)["p"] <= 0.05).sum()) for name in (EVIDENCE, AUC, ACCURACY)
        ]
    low, high = binom.interval(0.999, n, 0.05)
    assert (found <= high).all(), found
    assert found[0] >= low


def test_one_prompt_per_emotion_gives_no_p_and_says_why():
    table = measured(make_design(n_templates=1))
    assert table["p"].isna().all()
    assert table["null"].str.contains("one prompt per emotion|too few prompts").all()


def test_cells_without_variance_are_not_tested():
    design = make_design()
    x = data(design)
    x[:, 1, 3] = x[0, 1, 3]
    result = layer_discriminability(
        Measured(x, design), design, model="m", layer=0, n_permutations=49, n_bootstraps=20
    )
    table = rows(result.table, branch="uncond", over="steps").set_index("step")
    assert table.loc[3, ["estimate", "p"]].isna().all(axis=None)
    assert table.loc[3, "null"].str.contains("deterministic").all()
    assert rows(table, statistic=DISTANCE).loc[4, "p"] > 0


def test_another_order_of_samples_is_refused():
    design = make_design()
    gram = Measured(data(design), design)
    gram.axes["sample"] = gram.axes["sample"][::-1]
    with pytest.raises(InputError, match="stands where"):
        layer_discriminability(gram, design, model="m", layer=0)


def test_dispersion_is_found_as_such():
    """One label spreads more: the dispersion test sees it."""
    design = make_design(n_templates=8)
    rng = np.random.default_rng(0)
    means = rng.normal(size=(design.n_prompts, 20)) * np.where(design.prompt_labels == "sad", 4, 1)[:, None]
    x = means[design.prompt_of][:, None, None].repeat(2, axis=1).repeat(2, axis=2)
    result = layer_discriminability(
        Measured(x.astype(np.float32), design), design, model="m", layer=0, n_permutations=199, n_bootstraps=2
    )
    assert rows(result.table, statistic=DISPERSION, branch="uncond", window="whole")["p"].item() <= 0.01
