"""States and sound over time: planted lags are found where they are, drifting series find nothing."""

import numpy as np
import pytest
from fakes import codes_of, make_design, sized
from scipy.stats import binom

from innerear.acoustics.followed import followed
from innerear.analyses import lags
from innerear.analyses.lags import HISTORY, MOMENT, PLANNING, moment, of_stacks, of_states
from innerear.analyses.layer import complete
from innerear.analyses.seed_differences import (
    between_prompts,
    between_seeds,
    contrasts_of_seeds,
    pair_products,
    template_means,
    template_products,
)
from innerear.errors import InputError
from innerear.stacks import StackWriter
from innerear.statistics.table import layer_map
from innerear.timeline import Timeline

K, T = 4, 90
CLIP = Timeline(T, K, 50.0)


def smooth(rng, *shape, n=T):
    """Series [..., n] whose neighbours are alike."""
    noise = rng.normal(size=(*shape, n + 8))
    return sum(noise[..., k : k + n] for k in range(9)) / 3


def run(design, states, sound, groups=None, branches=("uncond",), **sizes):
    design, groups = sized(design, **sizes), groups or {name: (name,) for name in sound}
    found = of_states(lambda i: states[i], followed(sound, groups), CLIP, design, branches)
    return complete(lags, found, design, model="nano", layer=0)


def states_of(rng, design, signal, d_model=6):
    """States [N, 1, S, D] that hold a series by frame [N, T], each frame where it is complete."""
    states = 0.3 * rng.normal(size=(design.n_samples, 1, CLIP.n_steps, d_model))
    states[:, 0, K - 1 :] += signal[..., None] * rng.normal(size=d_model)
    return states.astype(np.float16)


@pytest.mark.parametrize("lag", [-9, 0, 7])
def test_a_planted_lag_is_recovered(lag):
    """The sound at frame f + lag follows the states at the step after which frame f is whole."""
    design, rng = make_design(4), np.random.default_rng(lag + 20)
    series = smooth(rng, design.n_samples, n=T + 40)
    states = states_of(rng, design, series[:, 20 : 20 + T])
    sound = series[:, 20 - lag : 20 - lag + T] + 0.3 * rng.normal(size=(design.n_samples, T))
    result = run(design, states, {"rms": sound, "flux": smooth(rng, design.n_samples)})
    table = result.table[result.table["feature"] == "rms"].set_index("lag")
    best = table["estimate"].idxmax()
    assert best == lag
    assert table.loc[best, "estimate"] > 0.7
    assert table.loc[best, "ci_lo"] < table.loc[best, "estimate"] < table.loc[best, "ci_hi"]
    assert table.loc[best, "p_corrected"] <= 0.05
    assert np.isnan(table.loc[best, "p_flip"])  # five templates
    assert table.loc[best, "seconds"] == lag / 50
    # Nine frames on, none of the smoothed noise is shared.
    assert table["estimate"].drop(range(best - 9, best + 10), errors="ignore").abs().max() < 0.3
    others = result.table[result.table["feature"] == "flux"]
    assert (others["p_corrected"] > 0.05).all()


def walks(rng, *shape):
    return np.cumsum(rng.normal(size=(*shape, T)), axis=-1)


def course(rng, design, shared):
    """Random walks of each clip, beside one that an emotion, prompt or seed shares; or unlike spread."""
    codes = codes_of(design.labels)
    own = walks(rng, design.n_samples)
    if shared == "spread":
        return own * np.array([1, 1, 1, 3])[codes, None]
    number = {"": None, "emotion": codes, "prompt": design.prompt_of, "seed": design.seed_of}[shared]
    return own if number is None else own + 2 * walks(rng, number.max() + 1)[number]


def null_studies(shared, n, both=False, n_seeds=2):
    """Count p and p_flip of lag 0, and the least corrected ones, of n null studies; and p of the old null.

    With `both`, the shared course is the same in states and sound.
    """
    design, found = make_design(6, n_seeds), []
    for k in range(n):
        rng = np.random.default_rng(k)
        x, y = course(rng, design, shared), course(rng, design, shared)
        if both:
            number = {"emotion": codes_of(design.labels), "prompt": design.prompt_of}[shared]
            same = 4 * walks(rng, number.max() + 1)[number]
            x, y = x + same, y + same
        states = states_of(rng, design, x, d_model=3).astype(np.float32)
        table = run(design, states, {"rms": y}, n_permutations=59, n_bootstraps=2).table
        names = ["p", "p_flip"]
        at_0 = table.loc[table["lag"] == 0, names].to_numpy(float)[0]
        least = table[[f"{name}_corrected" for name in names]].min().to_numpy(float)
        about = [one - one.mean(axis=0) for one in (x, y)]
        about = [one - one.mean(axis=1, keepdims=True) for one in about]
        null = np.array([(about[0] * about[1][row]).sum() for row in design.permutations(59)])
        old = (1 + (null >= (about[0] * about[1]).sum()).sum()) / 60
        found.append([*at_0, *least, old])
    return (np.array(found) <= 0.05).sum(axis=0)


@pytest.mark.parametrize("shared", ["", "spread"])
def test_unrelated_series_of_any_spread_are_found_at_the_level(shared):
    n = 100
    rejected = null_studies(shared, n)[:4]
    assert (rejected <= binom.ppf(0.995, n, 0.05)).all(), rejected
    assert rejected[:2].sum() > 0


@pytest.mark.parametrize("shared", ["emotion", "prompt"])
def test_a_course_that_an_emotion_or_a_prompt_has_is_no_coupling(shared):
    """A null of other prompts calls it one in most studies."""
    n = 60
    *rejected, old = null_studies(shared, n, both=True)
    assert old >= 0.74 * n
    assert max(rejected) <= binom.ppf(0.995, n, 0.05), rejected


def test_what_a_seed_does_to_all_prompts_passes_the_exchange_but_not_the_flips():
    n = 60
    p, p_flip, p_corrected, p_flip_corrected, _ = null_studies("seed", n)
    assert p > binom.ppf(0.995, n, 0.05)
    assert max(p_flip, p_flip_corrected) <= binom.ppf(0.995, n, 0.05)
    assert p_corrected > p_flip_corrected


def test_a_planted_coupling_passes_both():
    design, rng = make_design(8), np.random.default_rng(3)
    series = smooth(rng, design.n_samples)
    shared = walks(rng, design.n_prompts)[design.prompt_of]  # far larger than the coupling
    states = states_of(rng, design, series + shared)
    result = run(design, states, {"rms": series + smooth(rng, design.n_samples) + shared}, n_permutations=199)
    table = result.table.set_index("lag")
    assert table.loc[0, "estimate"] > 0.5
    assert table.loc[0, "p_corrected"] <= 0.05
    assert table.loc[0, "p_flip_corrected"] <= 0.05
    assert table.loc[0, "null"] == "states of one seed with the sound of another seed of the same prompt"


def test_what_lies_between_is_neither_planned_nor_history():
    assert [moment("rms", lag, CLIP) for lag in (-3, -2, K - 1, K + 1, K + 2)] == [
        HISTORY,
        MOMENT,
        MOMENT,
        MOMENT,
        PLANNING,
    ]
    # A window of .25 s to either side holds 12.5 frames.
    assert [moment("chroma", lag, CLIP) for lag in (-13, -12, K + 11, K + 12)] == [
        HISTORY,
        MOMENT,
        MOMENT,
        PLANNING,
    ]
    stereo = Timeline(100, 8, 50.0, delays=(0, 0, 1, 1, 2, 2, 3, 3))
    assert moment("rms", 6, stereo) == PLANNING


def test_one_seed_is_not_tested():
    design, rng = make_design(6, 1), np.random.default_rng(4)
    series = smooth(rng, design.n_samples)
    table = run(design, states_of(rng, design, series), {"rms": series}).table
    assert table[["estimate", "p"]].isna().all(axis=None)
    assert table["null"].str.contains("there is one seed").all()


def test_the_null_is_the_same_pipeline_with_other_pairs():
    design, rng = make_design(4, 3), np.random.default_rng(3)
    series = smooth(rng, design.n_samples)
    states, m = states_of(rng, design, smooth(rng, design.n_samples) + 0.3 * series), 9
    found = run(design, states, {"rms": series}, n_permutations=m).table
    assert (design.prompt_of[design.seed_permutations(m)] == design.prompt_of).all()
    moved = [
        run(design, states, {"rms": series[row]}, n_permutations=1).table
        for row in design.seed_permutations(m)
    ]
    null = np.array([table["estimate"] for table in moved])
    expected = (1 + (null >= found["estimate"].to_numpy()).sum(axis=0)) / (m + 1)
    assert len(set(expected)) > 2
    np.testing.assert_allclose(found["p"], expected)


@pytest.mark.parametrize("options", [{}, {"templates": False}])
def test_products_of_templates_are_those_without_the_mean_over_prompts(options):
    design, rng = make_design(4, 3, **options), np.random.default_rng(5)
    states, sound = (between_seeds(rng.normal(size=(design.n_samples, 20, n)), design) for n in (2, 6))
    contrasts = [contrasts_of_seeds(one, design) for one in (states, sound)]
    of_pairs = pair_products(contrasts[0].swapaxes(2, 3), contrasts[1])
    means = [template_means(one, design) for one in (states, sound)]
    found = template_products(of_pairs, *means, design)
    alone = [between_prompts(one, design)[design.rows] for one in (states, sound)]  # [P, R, frames, ...]
    for members, one in zip(design.members(), found, strict=True):
        expected = np.einsum("prfk,prfc->kc", *(both[members] for both in alone))
        np.testing.assert_allclose(one, expected, atol=1e-5)


def test_what_clips_of_a_prompt_share_and_what_a_clip_keeps_does_not_count():
    design, rng = make_design(4), np.random.default_rng(4)
    series = smooth(rng, design.n_samples)
    states = states_of(rng, design, series)
    sound = {"rms": series + 0.5 * smooth(rng, design.n_samples)}
    plain = run(design, states, sound).table["estimate"]
    common, level = (
        3 * walks(rng, design.n_prompts)[design.prompt_of],
        9 * rng.normal(size=(design.n_samples, 1)),
    )
    shifted = states.astype(np.float32)
    shifted[:, 0, K - 1 :] += 5 * common[..., None] + level[..., None]
    with_both = run(design, shifted, {"rms": 3 * sound["rms"] + common + level}).table["estimate"]
    np.testing.assert_allclose(with_both, plain, atol=2e-3)


def test_columns_of_a_feature_are_scored_together_and_gaps_as_their_mean():
    design, rng = make_design(4), np.random.default_rng(5)
    series = smooth(rng, 2, design.n_samples)
    states = states_of(rng, design, series[0])
    series[0, 3, :40] = np.nan
    columns = {"a": series[0], "b": series[1], "silent": np.full((design.n_samples, T), np.nan)}
    table = run(design, states, columns, {"both": ("a", "b"), "a": ("a",), "silent": ("silent",)}).table
    at = table[table["lag"] == 0].set_index("feature")
    assert at.loc["a", "estimate"] > 0.8
    # Of two columns of equal variance one is predicted, and r² is the share.
    assert at.loc["both", "estimate"] == pytest.approx(at.loc["a", "estimate"] / np.sqrt(2), abs=0.05)
    assert at.loc["silent", "null"] == "none: 100% of frames have no value"
    assert np.isnan(at.loc["silent", "estimate"])


def test_delta_and_a_branch_without_variance():
    design, rng = make_design(4), np.random.default_rng(6)
    series = smooth(rng, design.n_samples)
    cond = states_of(rng, design, series)
    states = np.concatenate([cond, np.ones_like(cond)], axis=1)
    result = run(design, states, {"rms": series}, branches=["cond", "uncond"])
    at = result.table[result.table["lag"] == 0].set_index("branch")
    assert at.loc["delta", "estimate"] == pytest.approx(at.loc["cond", "estimate"], abs=1e-3)
    assert "deterministic" in at.loc["uncond", "null"]
    joined = layer_map(lags, [result.table, result.table.assign(layer=1)], [result.null, result.null])
    assert joined["family"][0] == "layers × branches × features × lags"


def test_what_does_not_fit_is_refused_or_said():
    design, rng = make_design(4), np.random.default_rng(7)
    series = smooth(rng, design.n_samples)
    states = states_of(rng, design, series)
    with pytest.raises(InputError, match="were sound and states made together"):
        run(design, states[:, :, :-1], {"rms": series})
    with pytest.raises(InputError, match="lack 'flux'"):
        followed({"rms": series}, {"flux": ("flux",)})
    with pytest.raises(InputError, match=r"generation\.duration"):
        of_states(
            lambda i: states[i],
            followed({"rms": series[:, :6]}, {"rms": ("rms",)}),
            Timeline(6, K, 50.0),
            design,
        )
    single = make_design(n_templates=1)
    table = run(single, states[:8], {"rms": series[:8]}).table
    assert table["estimate"].isna().all()
    assert table["null"].str.contains("no folds").all()


@pytest.mark.parametrize("sites", [["mlp"], ["mlp", "residual"]])
def test_stacks_are_read_at_the_site_asked_for(tmp_path, sites):
    """The sound follows the states of mlp; those of residual, where there are any, are noise."""
    design, rng = make_design(4), np.random.default_rng(8)
    series = smooth(rng, design.n_samples)
    states, noise = states_of(rng, design, series), rng.normal(size=(design.n_samples, 2, CLIP.n_steps, 6))
    paths = [tmp_path / f"{i}.h5" for i in range(design.n_samples)]
    for i, path in enumerate(paths):
        with StackWriter(path, {}, np.zeros((K, T), int), CLIP) as stack:
            for site in sites:
                stack.write(site, 0, np.repeat(states[i], 2, axis=0) if site == "mlp" else noise[i])
    design = sized(design, 1, 2)
    sound = followed({"rms": series}, {"rms": ("rms",)})
    table = of_stacks(paths, sound, design, layer=0, site="mlp").table
    at = table[table["lag"] == 0].set_index("branch")
    assert (at.loc[["cond", "uncond"], "estimate"] > 0.7).all()
    if "residual" not in sites:
        with pytest.raises(InputError, match="residual"):
            of_stacks(paths, sound, design, layer=0, site="residual")
