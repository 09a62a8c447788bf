"""An effect of the released models' size is found beside their constant, from the hooks to the table.

MusicGen-large: every unit stands near −9.8, states spread by 0.13 over units, and cond − uncond is 0.0064 of
that spread in layer 0.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from fakes import Measured, analysed, codes_of, make_design, sheet
from torch import nn

from innerear.analyses import discriminability, similarity
from innerear.capture.hooks import capture
from innerear.gram.reading import cosine
from innerear.models.base import Pass

N_STEPS, D_MODEL = 12, 512
CONSTANT, SPREAD, DELTA = -9.8, 0.13, 0.0064


def raw_states(samples, constant, seed=0):
    """Raw states [S, C, N, D]: music of each sample, and a small effect of its text."""
    rng = np.random.default_rng(seed)
    n = len(samples)
    music = SPREAD * rng.normal(size=(N_STEPS, n, D_MODEL))
    shared, of_label = rng.normal(size=D_MODEL), rng.normal(size=(4, D_MODEL))
    codes = codes_of(samples["emotion"])
    text = shared + 0.5 * of_label[codes] + rng.normal(size=(n, D_MODEL))
    effect = DELTA * SPREAD * text / np.sqrt(2.25)
    return (np.stack([music + effect, music], axis=1) + constant).astype(np.float32)


def stored(raw):
    """What a float16 stack keeps of raw states: [N, C, S, D]."""
    n_samples = raw.shape[2]
    block = nn.Identity()
    with capture({"residual": [block]}, n_steps=N_STEPS, pre_norm=True) as recording:
        passes = [Pass(1, ("cond", "uncond"))] * N_STEPS
        with recording.run(range(n_samples), passes):
            for step in torch.from_numpy(raw):
                block(step.reshape(-1, 1, D_MODEL))
        return recording.all("residual", 0).permute(2, 1, 0, 3).numpy().astype(np.float16)


@pytest.fixture(scope="module")
def found():
    """By constant: stored states, their open Gram file, and what is tested in delta over the clip."""
    design, by_constant = make_design(5, 4), {}
    for constant in (0.0, CONSTANT):
        states = stored(raw_states(design.samples, constant))
        gram = Measured(states, design)
        tables = [
            analysed(analysis, gram, design, n_permutations=199).table
            for analysis in (similarity, discriminability)
        ]
        table = pd.concat(tables).query("branch == 'delta' and window == 'whole' and p == p")
        names = table["measure"].fillna("") + table["statistic"]
        by_constant[constant] = states, gram, table.set_index(names)
    return by_constant


def test_an_effect_of_real_size_in_delta_is_found_beside_the_constant(found):
    plain, beside = (table for _, _, table in found.values())
    assert list(plain.index) == list(beside.index)
    np.testing.assert_allclose(beside["estimate"], plain["estimate"], atol=0.02)
    headline = [f"centred{similarity.OTHER_SEED}", discriminability.DISTANCE]
    assert (beside.loc[headline, "p"] <= 0.01).all()


def test_no_step_is_called_deterministic_and_no_dimension_is_dropped(found):
    for states, gram, _ in found.values():
        assert not gram.read("deterministic").any()
        delta = states[:, 0].astype(float) - states[:, 1].astype(float)  # [N, S, D]
        scored = (delta - delta.mean(axis=0)) / delta.std(axis=0)
        exact = cosine(np.einsum("nsd,msd->snm", scored, scored))
        np.testing.assert_allclose(gram.read("standardised", branch="delta"), exact, atol=1e-4)


def test_storage_keeps_the_difference_of_the_branches():
    raw = raw_states(sheet(5, 4), CONSTANT).astype(float)
    true = raw[:, 0] - raw[:, 1]
    true -= true.mean(axis=-1, keepdims=True)
    kept = stored(raw.astype(np.float32)).astype(float)
    lost = (kept[:, 0] - kept[:, 1]).swapaxes(0, 1) - true
    assert np.square(lost).sum() / np.square(true).sum() < 0.003
    rounded = raw.astype(np.float16).astype(float)
    lost = (rounded[:, 0] - rounded[:, 1]) - (raw[:, 0] - raw[:, 1])
    assert np.square(lost).sum() / np.square(true).sum() > 0.4  # what the mean would cost if it were kept
