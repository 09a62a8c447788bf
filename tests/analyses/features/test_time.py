"""Features over time: a feature that follows the sound of its own clip is found, a shared course is not."""

import numpy as np
import pytest
from fakes import make_design, sized

from innerear.acoustics.followed import followed
from innerear.analyses.features.time import FeatureSteps, time_rows

N_STEPS, N_LATENTS = 40, 8


def smooth(rng, *shape):
    """Series that drift, as sound and activations do."""
    return np.cumsum(rng.normal(size=(*shape, N_STEPS)), axis=-1)


def study(design, sound, activations):
    """Activations [N, S, F], all of which fire, beside one frame feature."""
    n = design.n_samples
    latents = np.broadcast_to(np.arange(N_LATENTS, dtype=np.uint16), (n, N_STEPS, N_LATENTS))
    series = {name: (name,) for name in sound}
    # Two frames come before the first whole one.
    frames = {name: np.pad(one, ((0, 0), (2, 0)), mode="edge") for name, one in sound.items()}
    return FeatureSteps(latents, activations, followed(frames, series), np.arange(N_STEPS) + 2)


def drawn(design, seed):
    rng = np.random.default_rng(seed)
    sound = {name: smooth(rng, design.n_samples) for name in ("rms", "flux")}
    # Above 0: a latent with value 0 does not fire.
    return rng, sound, smooth(rng, design.n_samples, N_LATENTS).swapaxes(1, 2) + 1000


def correlated(design, sound, activations):
    steps = study(design, sound, activations.astype(np.float32))
    return time_rows(steps, np.ones((design.n_samples, N_LATENTS)), sized(design, 199))[0].set_index("sound")


def test_a_feature_that_follows_its_clip_is_found():
    design = make_design(6, own_seeds=True)
    _, sound, activations = drawn(design, 0)
    activations[..., 5] = 1000 - sound["rms"]
    table = correlated(design, sound, activations)
    assert table.loc["rms", "feature"] == 5
    assert table.loc["rms", "estimate"] == pytest.approx(-1, abs=1e-3)
    assert table.loc["rms", ["p_corrected", "p_flip_corrected"]].max() <= 0.05
    assert table.loc["rms", "ci_lo"] <= -0.99 and table.loc["rms", "k"] == 6
    assert table.loc["flux", "p"] > 0.05


def test_a_course_that_prompts_share_is_not_found():
    design = make_design(6, own_seeds=True)
    rng, sound, activations = drawn(design, 1)
    course = 50 * smooth(rng, design.n_prompts)[design.prompt_of]
    sound["rms"] = sound["rms"] + course
    activations[..., 5] += course
    table = correlated(design, sound, activations)
    assert abs(table.loc["rms", "estimate"]) < 0.7 and table.loc["rms", "p"] > 0.05


def test_smooth_series_keep_the_error():
    design, wrong, n = make_design(4, own_seeds=True), 0, 60
    for seed in range(n):
        _, sound, activations = drawn(design, 100 + seed)
        wrong += correlated(design, {"rms": sound["rms"]}, activations)["p"].item() <= 0.05
    assert wrong <= 9  # of 60 at .05: ten or more in 1 of 1,000


def test_one_seed_says_why():
    design = make_design(6, 1)
    _, sound, activations = drawn(design, 2)
    table = correlated(design, sound, activations)
    assert table["p"].isna().all() and table["null"].str.contains("one seed").all()


def test_places_that_are_not_used_do_not_fire():
    latents = np.array([[[2, 0], [1, 0]]], np.uint16)
    values = np.array([[[4.0, 0.0], [2.0, 0.0]]], np.float16)
    steps = FeatureSteps(latents, values, followed({}, {}), np.arange(2))
    assert steps.of(np.array([0]), 3).tolist() == [[[0, -1, 2], [0, 1, -2]]]
