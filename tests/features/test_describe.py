"""What single features do: planted neighbours and codes are found, and taking a feature out costs."""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from innerear.features.activations import CODE, NEAR, WITHOUT
from innerear.features.describe import describe, frequent_codes, nearest, without
from innerear.features.dictionary import Dictionary, unit_rows
from innerear.features.files import save
from innerear.stacks.stack import StackWriter


def drawn(d_model=8, n_latents=12, k=3):
    decoder = unit_rows(torch.randn(n_latents, d_model, generator=torch.Generator().manual_seed(0)))
    return Dictionary(decoder.T.contiguous(), torch.zeros(n_latents), decoder, torch.zeros(d_model), k)


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


def test_features_of_a_study_are_described(tiny_model, tmp_path):
    timeline, rng = tiny_model.timeline(0.4), np.random.default_rng(0)
    d_model, paths = tiny_model.d_model, []
    for i in range(3):
        codes = rng.integers(0, 16, (4, timeline.n_frames))
        paths.append(str(tmp_path / f"{i}.h5"))
        with StackWriter(paths[-1], {}, codes, timeline) as stack:
            stack.write("residual", 0, np.zeros((2, timeline.n_steps, d_model)))
    found = drawn(d_model)
    # Feature 3 fires at every step; feature 4 nowhere.
    found = replace(found, encoder_bias=torch.tensor([0.0] * 3 + [1e3, -1e3] + [0.0] * 7))
    save(found, tmp_path / "dictionaries/uncond/layer_00/seed-0")
    samples = pd.DataFrame(
        {"stack": paths, "content_sha256": None, "text": ["a", "b", "c"], "prompt_id": ["a", "b", "b"]}
    )
    n_steps = int(timeline.complete.sum())
    activations = np.full((3, n_steps, 2), 3, np.uint16), np.ones((3, n_steps, 2), np.float16)
    chosen = pd.DataFrame({"layer": [0, 0], "feature": [3, 4]})
    where = {"folder": tmp_path / "dictionaries", "site": "residual", "guidance": 3.0}
    table = describe(tiny_model, samples, chosen, {0: activations}, **where)
    costs = table[table["about"] == WITHOUT].set_index(["feature", "codebook"])
    assert (costs["which"] == 2).all()  # clips, each of another prompt
    assert (costs.loc[3, "value"].abs() > 1e-3).all() and (costs.loc[4, "value"].abs() < 1e-5).all()
    assert (table[table["about"] == NEAR].groupby("feature").size() == 3).all()
    assert CODE not in set(table.loc[table["feature"] == 4, "about"])
