"""Whole pages of findings: of shuffled labels, and of many studies where labels differ in spread alone."""

from functools import cache
from pkgutil import iter_modules

import numpy as np
from fake_clips import clip_table
from fake_replays import Likelihoods, Replayed, likelihoods, network
from fakes import EMOTIONS, Measured, Stored, analysed, clustered, codes_of, make_design, sized
from scipy.stats import binom

from innerear import analyses
from innerear.acoustics.followed import followed
from innerear.analyses import (
    affect,
    alignment,
    components,
    dimensions,
    discriminability,
    emergence,
    generalisation,
    lags,
    similarity,
    sound,
    sound_and_label,
)
from innerear.analyses.audio_check import audio_check
from innerear.analyses.best_layers import best_layers
from innerear.analyses.layer import complete
from innerear.analyses.text_or_history import decomposition, likelihood
from innerear.pages.findings import Asked, collected, findings
from innerear.statistics.claims import ESTABLISHED, NOT_ESTABLISHED, NOT_TESTED, SENTENCES
from innerear.statistics.design import Design
from innerear.statistics.design.flips import flipped_sums
from innerear.statistics.finding import Finding
from innerear.statistics.label_distance import Distance, permuted_sums
from innerear.statistics.table import blank, layer_map, record, record_flips
from innerear.study.questions import QUESTIONS, words_for
from innerear.timeline import Timeline

DESIGN = make_design(8, 2)
MAPS = (discriminability, similarity, emergence, generalisation, dimensions)
SIZES = {"n_permutations": 99, "n_bootstraps": 40}
CLIP = Timeline(60, 4, 50.0)
#: Questions whose answers hold whatever the labels are called. Within a template, texts are told apart by
#: what they do, and so are its clips; sound and states are paired clip by clip.
WITHOUT_LABELS = {
    *(QUESTIONS[key].format(**words_for("emotion")) for key in ("text", "history", "tokens")),
    "Can the sound of held-out clips be predicted from the states?",
    "Do the states say anything about the sound beyond the emotion?",
    "Does the sound explain the states of held-out clips?",
    "Does the sound explain anything of the states beyond the emotion?",
    "Do the states go with the sound from moment to moment, beyond what clips of a prompt share?",
}
PRIMARY = ("sound", "uncond", "text")
#: UMAP takes long; the other two do not read states, and their tests have studies without an effect as well.
WITH_A_TEST_OF_THEIR_OWN = {"embedding", "features", "interventions"}


@cache
def studied(size, seed):
    """Two layers, and the clips' features: labels differ by so much in both branches and in sound."""
    rng, codes = np.random.default_rng(seed), codes_of(DESIGN.labels)
    layers = []
    for _ in range(2):
        x = clustered(DESIGN, (2, 12, 10), 0.3, rng)
        x += size * rng.normal(size=(4, 2, 1, 10))[codes]
        layers.append(Measured(x, DESIGN))
    return layers, clustered(DESIGN, (5,), 0.3, rng) + size * rng.normal(size=(4, 5))[codes]


def page(size, seed, design, further=None):
    """The answers of the analyses of labels, run on such a study with the labels of a design."""
    layers, sounds = studied(size, seed)
    tables, folds = further or {}, {}
    for analysis in MAPS:
        found = [analysed(analysis, gram, design, layer=layer, **SIZES) for layer, gram in enumerate(layers)]
        name = analysis.__name__.rpartition(".")[-1]
        tables[name] = layer_map(analysis, [one.table for one in found], [one.null for one in found])
        if analysis is discriminability:
            folds = {layer: Stored(one.arrays, one.coords) for layer, one in enumerate(found)}
    tables["best_layers"] = best_layers(folds, sized(design, **SIZES), model="nano")
    checked = audio_check(clip_table(DESIGN, sounds), sized(design, **SIZES), model="nano")
    tables |= {"audio_check": checked.effects, "audio_verdict": checked.verdict}
    asked = Asked(primary=PRIMARY, n_labels=4, n_templates=8)
    return findings(tables, asked=asked).set_index("question")


def rated(design):
    """The same with ratings, which go with the emotions but not for each prompt alike."""
    rng, codes = np.random.default_rng(7), codes_of(design.labels)
    of = np.array([(0.5, -0.7), (0.4, 0.9), (0.8, 0.5), (-0.7, -0.5)])  # of the emotions by name
    values = of[codes] + 0.2 * rng.normal(size=(design.n_prompts, 2))[design.prompt_of]
    return Design(design.samples.assign(valence=values[:, 0], arousal=values[:, 1]), "emotion")


def the_rest(size, seed, design):
    """The tables of all other analyses that a page has answers from, but those that are tested elsewhere."""
    layers, sounds = studied(size, seed)
    rng, sizes, grams = np.random.default_rng(seed), sized(design, **SIZES), dict(enumerate(layers))
    states = layers[0].read("window_mean", branch="uncond", window="whole")[:, :2]
    clips, tables = clip_table(DESIGN, np.c_[sounds, states]), {}
    for analysis, options in ((affect, {}), (sound, {"clips": clips}), (sound_and_label, {"clips": clips})):
        found = analysed(analysis, layers[0], design, **SIZES, **options)
        tables[analysis.__name__.rpartition(".")[-1]] = layer_map(analysis, [found.table], [found.null])
    tables["components"] = analysed(components, layers[0], design, **SIZES, n_shuffles=19).table
    tables["alignment"] = alignment.alignment(grams, sizes, model="nano")
    heard = rng.normal(size=(DESIGN.n_samples, CLIP.n_frames))  # white noise: the moment alone is shared
    states = rng.normal(size=(DESIGN.n_samples, 1, CLIP.n_steps, 6))
    states[:, 0, 3:, 0] += 2 * heard
    series = followed({"rms": heard}, {"rms": ("rms",)})
    found = complete(
        lags, lags.of_states(lambda i: states[i], series, CLIP, sizes, ["uncond"]), sizes, model="", layer=0
    )
    tables["lags"] = layer_map(lags, [found.table], [found.null])
    effects = {"text": 0.6 * size, "history": 0.4 * size, "general": True, "seed": seed}
    replayed = {
        f"t{t}": Replayed(x, EMOTIONS, list(DESIGN.seeds), f"t{t}")
        for t, x in enumerate(network(DESIGN, **effects))
    }
    how = {"model": "nano", "weights": "trained"}
    found = decomposition.of_layer(replayed, sizes, layer=0, **how)
    tables["decomposition"] = layer_map(decomposition, [found.table], [found.null])
    costs = likelihoods(DESIGN, 0.3 * size, seed)
    files = {f"t{t}": Likelihoods(nll, f"t{t}") for t, nll in enumerate(costs)}
    tables["likelihood"] = likelihood.likelihood_table(files, sizes, **how)
    return tables


def test_shuffled_labels_leave_only_what_does_not_depend_on_them():
    """Not even for these sentences, where the same study with its own labels establishes much."""
    design = rated(DESIGN)
    own, shuffled = (page(1.0, 0, one, the_rest(1.0, 0, one)) for one in (design, design.shuffled()))
    packages = analyses.__path__, analyses.text_or_history.__path__
    names = {one.name for path in packages for one in iter_modules(path)} - WITH_A_TEST_OF_THEIR_OWN
    assert set(shuffled.index) == {one.question.format(**words_for("emotion")) for one in collected(names)}
    of_labels = shuffled[~shuffled.index.isin(WITHOUT_LABELS)]
    assert set(of_labels["established"]) <= {NOT_ESTABLISHED, NOT_TESTED}, of_labels["established"]
    assert set(shuffled.index) > WITHOUT_LABELS
    for question in WITHOUT_LABELS:
        assert own.loc[question, "established"] == shuffled.loc[question, "established"], question
    assert (own.loc[list(WITHOUT_LABELS), "established"] == ESTABLISHED).sum() >= 4
    own = own.loc[of_labels.index, "established"]
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
    codes = codes_of(design.prompt_labels)
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
