"""What single features do: planted neighbours and codes are found, and taking a feature out costs."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from fake_dictionaries import drawn

from innerear.features.activations import CODE, NEAR, WITHOUT
from innerear.features.describe import describe, frequent_codes, nearest, without
from innerear.features.files import save
from innerear.features.splice import spliced
from innerear.stacks.stack import StackWriter


def test_the_nearest_direction_is_found_and_never_the_feature_itself():
    decoder = drawn().decoder.clone()
    decoder[7] = 2 * decoder[2] + 0.01 * decoder[5]
    (other, cosine), *_ = nearest(decoder, 2)
    assert other == 7 and cosine > 0.99
    assert 2 not in [number for number, _ in nearest(decoder, 2)]


def test_a_code_that_goes_with_firing_is_found_in_its_codebook():
    rng = np.random.default_rng(0)
    read = rng.integers(0, 10, (5, 200, 3))
    fires = (read[..., 1] == 4) & (rng.random(read.shape[:2]) < 0.5)
    (codebook, code, ratio), *others = frequent_codes(fires, read, 10)
    assert (codebook, code) == (1, 4) and abs(ratio - 10) < 2
    assert all(one[2] < 3 for one in others)
    assert frequent_codes(np.zeros_like(fires), read, 10) == []
    assert frequent_codes(fires, np.full_like(read, -1), 10) == []


def test_without_a_feature_states_lose_what_it_writes_and_no_more():
    one, x = drawn(), torch.randn(20, 8, generator=torch.Generator().manual_seed(1))
    indices, values = one.encode(x)
    cond, uncond = without(one, 4)(x, 2 * x)
    own = torch.where(indices == 4, values, 0).sum(dim=1)
    assert 0 < (own > 0).sum() < 20
    torch.testing.assert_close(x - cond, own[:, None] * one.decoder[4])
    torch.testing.assert_close(2 * x - uncond, 2 * own[:, None] * one.decoder[4])


@pytest.fixture
def study(tiny_model, tmp_path):
    """Three clips of two prompts, of which code 5 is often in codebook 2, and a dictionary of layer 0.

    Its feature 3 fires at every step, and its feature 4 nowhere.
    """
    timeline, rng = tiny_model.timeline(0.4), np.random.default_rng(0)
    codes = rng.integers(0, 16, (3, 4, timeline.n_frames))
    codes[:, 2][rng.random((3, timeline.n_frames)) < 0.3] = 5
    paths = [str(tmp_path / f"{number}.h5") for number in range(3)]
    for path, own in zip(paths, codes, strict=True):
        with StackWriter(path, {}, own, timeline) as stack:
            stack.write("residual", 0, np.zeros((2, timeline.n_steps, tiny_model.d_model)))
    one = drawn(tiny_model.d_model)
    one = replace(one, encoder_bias=torch.tensor([0.0] * 3 + [1e3, -1e3] + [0.0] * 7))
    save(one, tmp_path / "dictionaries/uncond/layer_00/seed-0")
    samples = pd.DataFrame(
        {"stack": paths, "content_sha256": None, "text": ["a", "b", "c"], "prompt_id": ["a", "b", "b"]}
    )
    return samples, codes, timeline, one


def described(model, folder, samples, fires):
    """The description of features 3 and 4 of layer 0, of which 3 fires so much [N, S'] and 4 nowhere."""
    activations = np.full((*fires.shape, 2), 3, np.uint16), np.repeat(fires[..., None], 2, axis=2)
    chosen = pd.DataFrame({"layer": [0, 0], "feature": [3, 4]})
    where = {"folder": folder / "dictionaries", "site": "residual", "guidance": 3.0}
    return describe(model, samples, chosen, {0: activations}, **where)


def test_features_of_a_study_are_described(tiny_model, tmp_path, study):
    samples, codes, timeline, one = study
    fires = np.ones((3, timeline.complete.sum()))
    fires[2] *= 2
    table = described(tiny_model, tmp_path, samples, fires)
    costs = table[table["about"] == WITHOUT].set_index(["feature", "codebook"])
    assert (costs["which"] == 2).all()  # clips, each of another prompt
    # Most active: the third clip, and the first, which is of another prompt.
    own, texts, nats = torch.from_numpy(codes)[[2, 0]], ["c", "a"], []
    for edit in (lambda cond, uncond: (cond, uncond), without(one, 3)):
        with spliced(tiny_model, 0, edit, timeline) as observe:
            found = tiny_model.replay(own, texts, timeline, guidance=3.0, observe=observe)
        nats.append(found[:, 2].mean(dim=(0, 2)))
    cost = (nats[1] - nats[0]).numpy()
    assert np.abs(cost).min() > 1e-3
    assert costs.loc[3, "value"].to_numpy() == pytest.approx(cost, abs=1e-4)
    assert (costs.loc[4, "value"].abs() < 1e-5).all()
    assert (table[table["about"] == NEAR].groupby("feature").size() == 3).all()
    assert CODE not in set(table.loc[table["feature"] == 4, "about"])


def test_a_feature_that_fires_where_a_code_was_read_is_described_by_that_code(tiny_model, tmp_path, study):
    samples, codes, timeline, _ = study
    # A step reads what the step before it wrote: of codebook 2, which is 2 steps late, the frame 3 before.
    read = codes[:, 2, np.flatnonzero(timeline.complete) - 3]
    table = described(tiny_model, tmp_path, samples, (read == 5).astype(float))
    first = table[(table["feature"] == 3) & (table["about"] == CODE)].iloc[0]
    assert (first["codebook"], first["which"]) == (2, 5)
    assert first["value"] == pytest.approx(read.size / (read == 5).sum())
