"""Valence and arousal: what cannot fail is refused, what was planted is found, emotions are not enough."""

from functools import partial

import fakes
import numpy as np
import pytest
from fakes import analysed, rows, sheet
from scipy.stats import binom
from sklearn.metrics import roc_auc_score

from innerear.analyses import affect
from innerear.analyses.affect import CROSSED, GRADED, SCALES, Pairing, pairings, why_not_graded
from innerear.errors import InputError
from innerear.statistics.design import Design
from innerear.statistics.table import layer_map

S, D = 4, 40
RATINGS = {"happy": (0.8, 0.5), "sad": (-0.7, -0.5), "calm": (0.5, -0.7), "energetic": (0.4, 0.9)}
Measured = partial(fakes.Measured, n_bins=0)


def make_design(n_templates=5, n_seeds=2, emotions=RATINGS, spread=0.0, seed=0, rated=True):
    rng = np.random.default_rng(seed)
    table = sheet(n_templates, n_seeds, emotions, ratings=emotions)
    # One draw per prompt, alike for its seeds.
    noise = np.repeat(spread * rng.normal(size=(len(table) // n_seeds, 2)), n_seeds, axis=0)
    table[list(SCALES)] += noise
    return Design(table if rated else table.drop(columns=list(SCALES)))


def data(design, seed=0, emotion=0.0, within=0.5, **scales):
    """[N, 2, S, D]: emotion centroids in random places, and directions for the ratings given."""
    rng = np.random.default_rng(seed)
    x = np.sqrt(within) * rng.normal(size=(design.n_prompts, 2, 1, D))[design.prompt_of]
    x = x + np.sqrt(1 - within) * rng.normal(size=(design.n_samples, 2, 1, D)) + np.zeros((S, 1))
    names, codes = np.unique(design.labels, return_inverse=True)
    x += emotion * rng.normal(size=(len(names), D))[codes][:, None, None]
    for name, size in scales.items():
        direction = rng.normal(size=D)
        x += size * design.samples[name].to_numpy()[:, None, None, None] * direction
    return x


def found(x, design, **options):
    return analysed(affect, Measured(x, design), design, **options)


def test_one_rating_per_emotion_is_refused_however_well_it_would_fit():
    design = make_design()
    result = found(data(design, emotion=5, valence=5, arousal=5), design)
    graded = rows(result.table, statistic=GRADED)
    assert set(graded["target"]) == set(SCALES)
    assert graded[["estimate", "p", "p_corrected", "min_p"]].isna().all(axis=None)
    assert graded["null"].str.contains("4 centroids span 3 dimensions").all()
    assert graded["null"].str.startswith("none: ").all()
    assert set(result.null["statistic"]) == {CROSSED}


def test_graded_ratings_are_recovered():
    design = make_design(spread=0.5)
    table = found(data(design, emotion=1, arousal=4), design).table
    itself = rows(table, statistic=GRADED, branch="uncond", target="arousal")
    assert itself["p_corrected"].item() <= 0.05
    assert "ratings permuted" in itself["null"].item()
    assert itself["estimate"].item() > 0.8


def test_ratings_that_are_not_in_the_states_are_not_predicted():
    n, found_in_noise = 10, 0
    for seed in range(n):
        design = make_design(4, spread=0.5, seed=seed)
        table = found(data(design, seed, within=0.8), design, n_permutations=39, n_bootstraps=2).table
        found_in_noise += rows(table, target="arousal", statistic=GRADED, branch="cond")["p"].item() <= 0.05
    assert found_in_noise <= binom.ppf(0.999, n, 0.05)


def test_pairs_are_chosen_from_the_ratings():
    design = make_design()
    ratings = {scale: design.samples[scale].to_numpy()[design.rows[:, 0]] for scale in SCALES}
    assert [str(one) for one in pairings(ratings, "arousal", design)] in (
        ["happy/calm ↔ energetic/sad"],
        ["energetic/sad ↔ happy/calm"],
    )
    assert pairings(ratings, "valence", design) == []
    table = found(data(design), design).table
    valence = rows(table, statistic=CROSSED, target="valence")
    assert valence["null"].str.contains("no four emotions make two pairs").all()
    arousal = rows(table, statistic=CROSSED, target="arousal")
    assert arousal["other_scale"].str.contains("valence").all()


def test_auc_equals_scikit_learns_on_held_out_templates():
    design = make_design()
    x = data(design, emotion=0.5, arousal=0.3)
    table = found(x, design).table
    means, labels = x[:, 1].mean(axis=1), design.labels
    aucs = []
    for (a, b), (c, d) in (
        (("happy", "calm"), ("energetic", "sad")),
        (("energetic", "sad"), ("happy", "calm")),
    ):
        for fold in design.folds():
            train, test = means[fold.train], means[fold.test]
            name, tried = labels[fold.train], labels[fold.test]
            direction = train[name == a].mean(axis=0) - train[name == b].mean(axis=0)
            keep = np.isin(tried, [c, d])
            aucs.append(roc_auc_score(tried[keep] == c, test[keep] @ direction))
    own = rows(table, statistic=CROSSED, target="arousal", branch="uncond")["estimate"].item()
    assert own == pytest.approx(np.mean(aucs))


def test_strong_emotions_without_an_axis_do_not_pass_for_one():
    """Permuting labels alone would find arousal in many such models."""
    n, by_labels, by_names = 20, 0, 0
    design = make_design(n_templates=5, n_seeds=1)
    for seed in range(n):
        table = found(data(design, seed, emotion=8), design, n_bootstraps=2).table
        one = rows(table, statistic=CROSSED, target="arousal", branch="cond").iloc[0]
        by_labels += one["p_labels"] <= 0.05
        by_names += one["p"] <= 0.05
    assert by_labels > binom.ppf(0.999, n, 0.05)
    assert not by_names


@pytest.mark.parametrize("within", [0.2, 0.5, 0.8])
def test_false_positive_rate_of_the_labels_on_null_data(within):
    n, rejected, design = 30, 0, make_design(4)
    for seed in range(n):
        table = found(data(design, seed, within=within), design, n_bootstraps=2).table
        rejected += rows(table, statistic=CROSSED, target="arousal", branch="cond")["p_labels"].item() <= 0.05
    low, high = binom.interval(0.999, n, 0.05)
    assert low <= rejected <= high, rejected


def test_four_emotions_can_be_paired_in_six_ways_only():
    design = make_design()
    result = found(data(design, arousal=5), design)
    joined = layer_map(affect, [result.table], [result.null])
    row = rows(joined, statistic=CROSSED, target="arousal", branch="cond")
    assert row["p_labels"].item() <= 0.05
    assert row["min_p"].item() == pytest.approx(1 / 6)
    assert row["p"].item() >= 1 / 6
    assert row["p_corrected"].item() >= row["p"].item()


def test_what_cannot_be_tested_says_why():
    unrated = found(data(make_design(rated=False)), make_design(rated=False)).table
    assert unrated[["estimate", "p"]].isna().all(axis=None)
    assert unrated["null"].str.contains("has no rating").all()
    design = make_design()
    x = data(design)
    x[:, 1] = x[0, 1]
    dead = rows(found(x, design).table, branch="uncond", statistic=CROSSED, target="arousal")
    assert dead["null"].str.contains("deterministic").all()
    single = make_design(n_templates=1)
    assert found(data(single), single).table["p"].isna().all()
    ratings = np.array([0.1, np.nan, 0.3, 0.4])
    assert "has no rating" in why_not_graded(ratings, make_design(n_templates=1))
    assert str(Pairing(("a", "b"), ("c", "d"))) == "a/b ↔ c/d"


def test_another_order_of_samples_is_refused():
    design = make_design(2)
    gram = Measured(data(design), design)
    gram.axes["sample"] = gram.axes["sample"][::-1]
    with pytest.raises(InputError, match="stands where"):
        analysed(affect, gram, design)
