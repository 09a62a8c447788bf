"""The published comparison and its repair: what is planted is found, and each is told from the other."""

import numpy as np
import pandas as pd
import pytest

from innerear.analyses.replication import (
    FLATTENED,
    PAIRS,
    PUBLISHED,
    layer_curves,
    layer_table,
    of_branch,
    of_stacks,
    raw_comparison,
)
from innerear.errors import InputError
from innerear.stacks import Stack, StackWriter
from innerear.timeline import Timeline

B, S, D = 5, 11, 64
COMPLETE = np.arange(S) % (S - 1) > 0


def clips(effect=0.0, shared=0.0, seed=0):
    """Clips of two emotions: what all share, noise of each clip, and an effect of emotion in cond alone."""
    rng = np.random.default_rng(seed)
    both = shared * rng.normal(size=D) + rng.normal(size=(2, B, 2, S, D))
    both[0, :, 0] += effect * rng.normal(size=D)
    return both


def table(one, other):
    named = {"model": "nano", "layer": 3}
    curves = layer_curves(one, other, **named)
    return layer_table(one, other, curves, COMPLETE, **named).set_index(["branch", "statistic"])


def test_equal_clips_have_cosine_one_and_no_difference():
    states = clips()[0, 0, 0]
    values = raw_comparison(states, states)
    assert values["cosine, mean over steps"] == pytest.approx(1)
    assert values["cosine, standard deviation over steps"] == pytest.approx(0, abs=1e-9)
    assert values["largest difference of a dimension"] == 0


def test_raw_statistics_are_what_their_names_say():
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=(2, S, D))
    values = raw_comparison(one, other)
    cosine = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(one, other, strict=True)]
    difference = abs(one.mean(0) - other.mean(0))
    assert values["cosine at the first step"] == pytest.approx(cosine[0])
    assert values["cosine at the last step"] == values["cosine of the last step only"]
    assert values["cosine at the last step"] == pytest.approx(cosine[-1])
    assert values["cosine, mean over steps"] == pytest.approx(np.mean(cosine))
    whole = (one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum())
    assert values["cosine of all steps as one vector"] == pytest.approx(whole)
    assert values["cosine, standard deviation over steps"] == pytest.approx(np.std(cosine))
    assert values["share of dimensions that differ by more than 0.1"] == np.mean(difference > 0.1)
    assert difference[int(values["dimension that differs most"])] == difference.max()


def test_flattening_puts_cond_before_uncond():
    states = clips()[0]
    flat = of_branch(states, FLATTENED)
    assert flat.shape == (B, S, 2 * D)
    np.testing.assert_array_equal(flat[..., D:], states[:, 1])
    np.testing.assert_array_equal(of_branch(states, "delta"), flat[..., :D] - flat[..., D:])


def test_one_unit_seen_in_both_branches_is_what_two_dimensions_were():
    both = clips()
    both[0, ..., 9] += 20
    found = table(*both)
    most = found.loc[(FLATTENED, "dimension that differs most")]
    second = found.loc[(FLATTENED, "dimension that differs second most")]
    assert {most["estimate"], second["estimate"]} == {9, D + 9}
    assert {most["note"], second["note"]} == {"unit 9 of cond", "unit 9 of uncond"}


def test_a_mean_that_all_share_makes_raw_cosines_near_one_and_changes_no_centred_one():
    plain, shifted = table(*clips(effect=1.0)), table(*clips(effect=1.0) + 30)
    assert shifted.loc[(FLATTENED, "cosine, mean over steps"), "estimate"] > 0.99
    rows = [key for key in plain.index if key[1].startswith("centred")]
    assert len(rows) == 9
    np.testing.assert_allclose(plain.loc[rows, "estimate"], shifted.loc[rows, "estimate"], atol=1e-9)


def test_a_level_of_each_state_makes_raw_cosines_near_one_and_changes_no_centred_one():
    both = clips(effect=1.0)
    level = 30 + np.random.default_rng(3).normal(size=(*both.shape[:-1], 1))
    plain, shifted = table(*both), table(*both + level)
    assert shifted.loc[(FLATTENED, "cosine of all steps as one vector"), "estimate"] > 0.99
    rows = [key for key in plain.index if key[1].startswith("centred")]
    np.testing.assert_allclose(plain.loc[rows, "estimate"], shifted.loc[rows, "estimate"], atol=1e-9)


def test_an_effect_in_cond_is_found_there_and_not_in_uncond():
    found = table(*clips(effect=1.0))["estimate"].xs(
        "centred cosine, one emotion − two, other seed", level="statistic"
    )
    assert found["cond"] > 0.2
    assert found["delta"] > 0.2
    assert abs(found["uncond"]) < 0.1


def test_pairs_of_one_seed_are_kept_apart_from_those_of_two():
    both = clips()
    both[1] = both[0]
    curves = layer_curves(*both, model="nano", layer=3)
    raw = curves[(curves["measure"] == "raw") & (curves["branch"] == "cond")].groupby("pairs")["estimate"]
    means = raw.mean()
    assert means[PAIRS[0]] == pytest.approx(1)
    assert abs(means[PAIRS[1]]) < 0.1
    assert means[PAIRS[1]] == pytest.approx(means[PAIRS[2]])


def test_every_published_figure_stands_beside_ours():
    found = table(*clips())
    published = found["published"].dropna()
    assert {name: published[(FLATTENED, name)] for name in PUBLISHED} == dict(PUBLISHED)
    assert len(published) == len(PUBLISHED)
    assert "MusicGen large" in found.loc[(FLATTENED, "cosine of the last step only"), "note"]
    assert found.loc[(FLATTENED, "steps captured"), "estimate"] == S


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        (clips()[0][:1], clips()[1][:1], "two seeds or more"),
        (clips()[0], clips()[1][:, :, :-1], "give every prompt the same seeds"),
    ],
)
def test_what_cannot_be_compared_is_refused(one, other, message):
    with pytest.raises(InputError, match=message):
        layer_curves(one, other, model="nano", layer=3)


@pytest.mark.parametrize("sites", [["mlp"], ["mlp", "residual"]])
def test_stacks_are_paired_by_seed_whatever_their_order(tmp_path, sites):
    """Clips of one seed are alike at mlp; at residual, where it is stored, no two are."""
    rng, rows = np.random.default_rng(2), []
    for emotion, seeds in (("happy", (3, 1)), ("sad", (1, 3))):
        for seed in seeds:
            path = tmp_path / f"{emotion}-{seed}.h5"
            noise = np.random.default_rng(seed).normal(size=(2, 13, 8))
            with StackWriter(path, {}, np.zeros((4, 10), int), Timeline(10, 4, 50.0)) as stack:
                for site in sites:
                    own = rng.normal(size=noise.shape)
                    stack.write(site, 0, noise + 1e-3 * own if site == "mlp" else own)
            with Stack(path) as stack:
                rows.append((f"music-{emotion}", emotion, seed, str(path), stack.attrs["content_sha256"]))
    samples = pd.DataFrame(rows, columns=["prompt_id", "emotion", "seed", "stack", "content_sha256"])
    found, curves = of_stacks(samples, [0], model="nano", site="mlp")
    same_seed = found[found["statistic"] == "cosine, mean over steps"].set_index("branch")
    assert same_seed.loc[FLATTENED, "lowest"] > 0.99
    assert set(curves["step"]) == set(range(13))
    with pytest.raises(InputError, match="two prompts of two emotions"):
        of_stacks(samples[samples["emotion"] == "sad"], [0], model="nano", site="mlp")
