"""Whole pages of findings: of shuffled labels, and of many studies where labels differ in spread alone."""

from functools import cache

import numpy as np
import pandas as pd
from fakes import Measured, Stored, analysed, clustered, make_design, sized
from scipy.stats import binom

from innerear.analyses import dimensions, discriminability, emergence, generalisation, similarity
from innerear.analyses.audio_check import audio_check
from innerear.analyses.best_layers import best_layers
from innerear.pages.findings import Asked, findings
from innerear.statistics.claims import ESTABLISHED, NOT_ESTABLISHED, SENTENCES
from innerear.statistics.finding import Finding
from innerear.statistics.flips import flipped_sums
from innerear.statistics.label_distance import Distance, permuted_sums
from innerear.statistics.table import blank, layer_map, record, record_flips

DESIGN = make_design(8, 2)
MAPS = (discriminability, similarity, emergence, generalisation, dimensions)
PRIMARY = ("sound", "uncond", "text")


@cache
def studied(size, seed):
    """Two layers, and the clips' features: labels differ by so much in both branches and in sound."""
    rng, codes = np.random.default_rng(seed), np.unique(DESIGN.labels, return_inverse=True)[1]
    layers = []
    for _ in range(2):
        x = clustered(DESIGN, (2, 12, 10), 0.3, rng)
        x += size * rng.normal(size=(4, 2, 1, 10))[codes]
        layers.append(Measured(x, DESIGN))
    return layers, clustered(DESIGN, (5,), 0.3, rng) + size * rng.normal(size=(4, 5))[codes]


def page(size, seed, design):
    """The answers of the analyses of labels, run on such a study with the labels of a design."""
    layers, sounds = studied(size, seed)
    how, tables, folds = {"n_permutations": 99, "n_bootstraps": 40}, {}, {}
    for analysis in MAPS:
        found = [analysed(analysis, gram, design, layer=layer, **how) for layer, gram in enumerate(layers)]
        name = analysis.__name__.rpartition(".")[-1]
        tables[name] = layer_map(analysis, [one.table for one in found], [one.null for one in found])
        if analysis is discriminability:
            folds = {layer: Stored(one.arrays, one.coords) for layer, one in enumerate(found)}
    tables["best_layers"] = best_layers(folds, sized(design, 99, 40), model="nano")
    long = [
        {"sample_id": DESIGN.samples["sample_id"], "feature": f"f{k}", "unit": "", "value": one, "reason": ""}
        for k, one in enumerate(sounds.T)
    ]
    clips = pd.concat(map(pd.DataFrame, long))
    tables["audio_check"] = audio_check(clips, sized(design, 99, 40), model="nano").effects
    asked = Asked(primary=PRIMARY, n_labels=4, n_templates=8)
    return findings(tables, asked=asked).set_index("question")


def test_a_study_with_shuffled_labels_establishes_nothing():
    """Not even for these sentences, where the same study with its own labels establishes much."""
    own, shuffled = (page(1.0, 0, design)["established"] for design in (DESIGN, DESIGN.shuffled()))
    assert (shuffled == NOT_ESTABLISHED).all(), shuffled
    assert own["Do the states differ between emotions in uncond, which reads no text?"] == ESTABLISHED
    assert (own == ESTABLISHED).sum() >= 4, own
    assert own.isin([ESTABLISHED, SENTENCES]).sum() >= 6, own


def test_a_study_without_any_effect_says_so_with_bounds():
    answers = page(0.0, 1, DESIGN)
    assert (answers["established"] == NOT_ESTABLISHED).all(), answers["established"]
    uncond = answers.loc["Do the states differ between emotions in uncond, which reads no text?"]
    assert uncond["estimate"] < uncond["upper"] < 0.5
    assert "An effect is at most" in uncond["answer"]


ENTRY = Finding("Anywhere?", "Yes: {effect}.", table="map", unit="distance", choices=("branch",))


def answered(design, spread, shift, rng):
    """How sure an answer over 2 branches × 5 cells is: labels with so many times the spread, and a shift."""
    codes = np.unique(design.prompt_labels, return_inverse=True)[1]
    x = rng.normal(size=(10, design.n_prompts, 8)) * np.array(spread)[codes, None]
    x += rng.normal(size=(10, design.n_blocks, 8))[:, design.block_of]
    x[:5] += shift * rng.normal(size=(4, 8))[codes]
    distance = Distance(design)
    x -= x.mean(axis=1, keepdims=True)
    kernel = x @ x.swapaxes(1, 2) / np.mean(x**2)
    contrasts = distance.contrasts(kernel)
    everyone = np.ones((1, design.n_templates), np.int8)
    table = blank({"branch": np.repeat(["cond", "uncond"], 5)}, design)
    table["estimate"] = flipped_sums(contrasts, everyone)[0]
    null = permuted_sums(distance.weights, kernel, design.prompt_permutations())
    for rows in np.arange(10).reshape(2, 5):
        observed = table["estimate"].to_numpy()[rows]
        record(table, rows, design, observed, null[:, rows], family="branch")
        record_flips(table, rows, design, contrasts[rows])
    return findings({"map": table}, [ENTRY])["established"][0]


def levels(spread, shift, n):
    design, rng = sized(make_design(8, 1), 199, 2), np.random.default_rng(0)
    design.use_table(design.permutations())
    return [answered(design, spread, shift, rng) for _ in range(n)]


def test_labels_that_differ_in_spread_alone_are_not_established():
    """As often as one in twenty; permutations alone would say it several times as often."""
    found = levels((1, 1, 1, 3), 0, 200)
    assert found.count(ESTABLISHED) <= binom.ppf(0.999, 200, 0.05)
    assert found.count(SENTENCES) + found.count(ESTABLISHED) > binom.ppf(0.999, 200, 0.05)


def test_labels_that_differ_in_mean_are():
    assert levels((1, 1, 1, 1), 0.8, 20).count(ESTABLISHED) >= 18
    assert levels((1, 1, 1, 2), 1.2, 20).count(ESTABLISHED) >= 18
