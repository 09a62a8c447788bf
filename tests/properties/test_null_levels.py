"""Null simulations of the p-values that no other test file counts, and effects of text or history alone.

No effect, prompts that resemble themselves by .2, .5 or .8: every p must be small as rarely as it says.
"""

import numpy as np
import pandas as pd
import pytest
from fake_clips import clip_table
from fakes import EMOTIONS, Measured, analysed, clustered, codes_of, make_design, rows, sized, stored_products
from scipy.stats import binom

from innerear.acoustics.followed import followed
from innerear.analyses import discriminability, generalisation, similarity, sound, sound_and_label
from innerear.analyses.audio_check import ANOVA, SLOPE, audio_check
from innerear.analyses.best_layers import best_layers
from innerear.analyses.discriminability import CONCORDANCE, DISTANCE, EVIDENCE
from innerear.analyses.lags import of_states
from innerear.analyses.similarity import RATING_OTHER_SEED
from innerear.analyses.sound import BEYOND
from innerear.analyses.sound_and_label import BEYOND_LABEL, LABEL, SOUND
from innerear.statistics.design import Design
from innerear.statistics.label_distance import Distance, kernel_of_prompts
from innerear.timeline import Timeline

RATINGS = dict(zip(EMOTIONS, ((0.8, 0.5), (-0.7, -0.5), (0.5, -0.7), (0.4, 0.9)), strict=True))

pytestmark = pytest.mark.parametrize("within", [0.2, 0.5, 0.8])


def assert_level(p, *, below=True):
    """As many p ≤ .05 as independent tests of level .05 give; not too few either, where `below`."""
    p = np.asarray(p, float)
    assert np.isfinite(p).all()
    low, high = binom.interval(0.999, p.size, 0.05)
    rejected = int((p <= 0.05).sum())
    assert rejected <= high, (rejected, p.size)
    assert rejected >= low or not below, (rejected, p.size)


def test_a_rating_in_similarity_and_discriminability(within):
    """Steps are independent data: one call tests 200 null studies."""
    n, design = 200, make_design(5, 2, ratings=RATINGS, label="valence")
    x = clustered(design, (2, n, 6), within, np.random.default_rng(int(10 * within)))
    gram = Measured(x.astype(np.float32), design)
    table = analysed(similarity, gram, design, n_bootstraps=2).table
    where = {"statistic": RATING_OTHER_SEED, "over": "steps", "measure": "centred", "branch": "cond"}
    assert_level(rows(table, **where)["p"])
    table = analysed(discriminability, gram, design, n_bootstraps=2).table
    for statistic in (DISTANCE, EVIDENCE):
        assert_level(rows(table, statistic=statistic, over="steps", branch="cond")["p"])
    deciles = table[table["window"].str.startswith("decile") & (table["branch"] != "delta")]
    assert_level(rows(deciles, statistic=CONCORDANCE)["p"], below=False)


def test_the_best_of_many_layers(within):
    design, found = make_design(4), []
    relabelings = np.vstack([np.arange(design.n_prompts), design.prompt_permutations(99)])
    for k in range(30):
        x = clustered(design, (5, 5), within, np.random.default_rng(k)).swapaxes(0, 1)  # [L, N, D]
        kernels = kernel_of_prompts(x @ x.swapaxes(1, 2), design)
        layers = {
            i: stored_products(Distance(design).fold_products(one[None], relabelings)[..., 0])
            for i, one in enumerate(kernels)
        }
        found.append(rows(best_layers(layers, design, model="m"), layer=-1)["p"].item())
    assert_level(found)


def test_transfer_between_branches(within):
    """Tenths are independent data, the two directions are not."""
    design, found = make_design(4), []
    for k in range(8):
        x = clustered(design, (2, 20, 5), within, np.random.default_rng(k)).astype(np.float32)
        table = analysed(generalisation, Measured(x, design, n_bins=2), design, n_bootstraps=2).table
        table = rows(table, branch="cond → uncond", statistic=EVIDENCE)
        found += table[table["train"].str.startswith("decile")]["p"].tolist()
    assert_level(found)


def test_label_and_sound_in_nested_models(within):
    design, rng, found = make_design(4), np.random.default_rng(int(10 * within)), []
    for _ in range(10):
        x = clustered(design, (2, 4, 5), within, rng).astype(np.float32)
        gram, clips = Measured(x, design, n_bins=0), clip_table(design, clustered(design, (3,), within, rng))
        table = analysed(sound_and_label, gram, design, clips=clips, windows=["whole"], n_bootstraps=2).table
        found.append(table[table["branch"] != "delta"])
    table = pd.concat(found)
    for statistic in (LABEL, SOUND, BEYOND_LABEL):
        assert_level(rows(table, statistic=statistic)["p"], below=False)


def test_sound_beyond_the_label(within):
    """Sound and states both follow the label, and have nothing else to do with each other."""
    design, rng, found = make_design(4), np.random.default_rng(int(10 * within)), []
    codes = codes_of(design.labels)
    for _ in range(8):
        x = clustered(design, (2, 4, 5), within, rng) + rng.normal(size=(4, 1, 1, 5))[codes]
        values = clustered(design, (8,), within, rng) + rng.normal(size=(4, 8))[codes]
        gram, clips = Measured(x, design, n_bins=0), clip_table(design, values)
        table = analysed(sound, gram, design, clips=clips, windows=["whole"], n_bootstraps=2).table
        found.append(rows(table, statistic=BEYOND, branch="cond")["p"])
    assert_level(np.concatenate(found))


def test_the_sound_of_emotions_and_of_a_rating(within):
    rng, by = (
        np.random.default_rng(int(10 * within)),
        {ANOVA: [], "Hedges g": [], "accuracy": [], SLOPE: []},
    )
    design = make_design(4, 2, ratings=RATINGS)
    for _ in range(12):
        clips = clip_table(design, clustered(design, (6,), within, rng))
        both = (sized(one, 99, 2) for one in (design, Design(design.samples, "arousal")))
        named, found = (audio_check(clips, one, model="m") for one in both)
        by[ANOVA] += rows(named.effects, statistic=ANOVA)["p"].tolist()
        pair = rows(named.effects, statistic="Hedges g", label_1="happy", label_2="sad")
        by["Hedges g"] += pair["p"].tolist()
        by["accuracy"].append(named.classification["p"][0])
        by[SLOPE] += rows(found.effects, statistic=SLOPE)["p"].tolist()
    for name in (ANOVA, SLOPE):
        assert_level(by[name])
    assert_level(by["accuracy"], below=False)
    # Four templates give a pair 8 relabelings: no p can be below 1 / 8.
    smallest = int((np.array(by["Hedges g"]) < 0.13).sum())
    assert smallest <= binom.ppf(0.999, len(by["Hedges g"]), 1 / 8)


def test_states_and_sound_frame_by_frame(within):
    """Random walks of the prompt and of the clip: as smooth as music, and unrelated."""
    design, rng, found = make_design(3), np.random.default_rng(int(10 * within)), []
    timeline = Timeline(40, 4, 50.0)
    for _ in range(16):
        states, series = (
            clustered(design, (timeline.n_steps, 2), within, rng).cumsum(axis=1) for _ in range(2)
        )
        states = states[:, None].astype(np.float32)
        sound = followed({"rms": series[:, : timeline.n_frames, 0]}, {"rms": ("rms",)})
        quick = sized(design, 99, 2)
        table = of_states(lambda i, x=states: x[i], sound, timeline, quick, ["cond"]).table
        found.append(rows(table, lag=0)["p"].item())
    assert_level(found, below=False)


def test_text_alone_is_in_delta_and_history_alone_in_uncond(within):
    """The map of delta shows what only the text tells, that of uncond what the music so far tells."""
    design, rng = make_design(5), np.random.default_rng(3)
    codes = codes_of(design.labels)
    shared = clustered(design, (1, 12, 6), within, rng)  # what both branches read: the same tokens
    emotion = 2.5 * rng.normal(size=(4, 6))[codes][:, None]
    for planted, seen, unseen in (("text", "delta", "uncond"), ("history", "uncond", "delta")):
        x = shared + 0.3 * clustered(design, (2, 12, 6), within, rng)
        x[:, 0] += emotion
        if planted == "history":
            x[:, 1] += emotion
        result = analysed(
            discriminability, Measured(x.astype(np.float32), design), design, n_bootstraps=2
        ).table
        steps = rows(result, over="steps", statistic=DISTANCE)
        assert (rows(steps, branch=seen)["p_corrected"] <= 0.05).all(), planted
        assert (rows(steps, branch="cond")["p_corrected"] <= 0.05).all(), planted
        assert (rows(steps, branch=unseen)["p_corrected"] > 0.05).all(), planted
