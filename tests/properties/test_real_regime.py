"""What float16 stacks keep of the states of MusicGen large, as others published them.

The states are no part of this repository. `INNEREAR_REAL_STATES` names the folder that holds them; by default
it is `../shared/real` beside the repository. `musicgen_large_last_step.npz` has `states` of the last step,
[N = 4 prompts, L = 5, C, D = 2048], and their `layers`.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from innerear.capture.hooks import capture
from innerear.models import Pass
from innerear.stacks import Stack, StackWriter
from innerear.timeline import Timeline

FOLDER = Path(os.environ.get("INNEREAR_REAL_STATES", Path(__file__).parents[3] / "shared" / "real"))
STATES = FOLDER / "musicgen_large_last_step.npz"
TIMELINE = Timeline(1, 4, 50.0)
#: layer → ‖cond − uncond‖ ÷ ‖cond‖, both without their mean over units; mean over prompts
EFFECT_SIZES = {0: 0.0064, 6: 0.176, 12: 0.258, 18: 0.247, 24: 0.218}

pytestmark = pytest.mark.skipif(
    not STATES.is_file(),
    reason=f"{STATES} is not there; set INNEREAR_REAL_STATES to the folder of the published states",
)


@pytest.fixture(scope="module")
def published():
    """The states by layer, float64 [N, C, D]."""
    stored = np.load(STATES)
    return dict(zip(stored["layers"].tolist(), stored["states"].swapaxes(0, 1).astype(float), strict=True))


@pytest.fixture(scope="module")
def stacks(published, tmp_path_factory):
    """A float16 stack of each prompt, recorded by the hooks: every step has the published state."""
    blocks = [nn.Identity() for _ in range(max(published) + 1)]
    n_samples, n_branches, d_model = published[0].shape
    passes = [Pass(1, ("cond", "uncond"))] * TIMELINE.n_steps
    sizes = {"n_steps": TIMELINE.n_steps}
    with (
        capture({"residual": blocks}, layers=list(published), pre_norm=True, **sizes) as recording,
        recording.run(range(n_samples), passes),
    ):
        for _ in passes:
            for layer, states in published.items():
                rows = states.swapaxes(0, 1).reshape(n_samples * n_branches, 1, d_model)  # cond first
                blocks[layer](torch.tensor(rows, dtype=torch.float32))
    folder, paths = tmp_path_factory.mktemp("stacks"), []
    for sample in range(n_samples):
        paths.append(folder / f"{sample}.h5")
        with StackWriter(paths[-1], {}, np.zeros((4, 1), int), TIMELINE) as writer:
            for layer in published:
                states, levels = recording.sample("residual", layer, sample)
                writer.write("residual", layer, states.numpy(), levels.numpy())
    return paths


def without_mean(states):
    return states - states.mean(axis=-1, keepdims=True)


def in_float16(states):
    return states.astype(np.float16).astype(float)


def delta(states):
    """Return cond − uncond [N, D] of states [N, C, D]."""
    return states[:, 0] - states[:, 1]


def stored(stacks, layer, **how):
    """Return the first step of a layer of every stack, float64 [N, C, D]."""
    states = []
    for path in stacks:
        with Stack(path) as stack:
            states.append(stack.read(layer, **how)[:, 0].astype(float))
    return np.stack(states)


@pytest.mark.parametrize("layer", EFFECT_SIZES)
def test_a_float16_stack_keeps_the_effect_of_the_text(published, stacks, layer):
    true = delta(without_mean(published[layer]))
    lost = ((delta(stored(stacks, layer)) - true) ** 2).sum() / (true**2).sum()
    assert lost <= (3e-3 if layer == 0 else 1e-5)


@pytest.mark.parametrize("layer", EFFECT_SIZES)
def test_float16_would_lose_it_if_the_mean_over_units_stayed(published, layer):
    true = delta(without_mean(published[layer]))
    lost = ((delta(without_mean(in_float16(published[layer]))) - true) ** 2).sum() / (true**2).sum()
    assert lost > (0.4 if layer == 0 else 0.005)


@pytest.mark.parametrize(("layer", "size"), EFFECT_SIZES.items())
def test_the_effect_of_the_text_has_its_size_beside_the_state(stacks, layer, size):
    states = stored(stacks, layer)
    found = np.linalg.norm(delta(states), axis=-1) / np.linalg.norm(states[:, 0], axis=-1)
    assert found.mean() == pytest.approx(size, rel=0.01)


@pytest.mark.parametrize("layer", EFFECT_SIZES)
def test_few_units_become_equal_in_both_branches(published, stacks, layer):
    if_the_mean_stayed = (delta(in_float16(published[layer])) == 0).mean()
    assert if_the_mean_stayed > 0.07
    assert (delta(stored(stacks, layer)) == 0).mean() < 0.1 * if_the_mean_stayed


@pytest.mark.parametrize("layer", EFFECT_SIZES)
def test_raw_states_come_back_from_state_and_level(published, stacks, layer):
    spread = without_mean(published[layer]).std()
    raw = stored(stacks, layer, raw=True)
    assert np.sqrt(((raw - published[layer]) ** 2).mean()) <= 3e-4 * spread
    np.testing.assert_allclose(raw.mean(axis=-1), published[layer].mean(axis=-1), rtol=1e-6)
