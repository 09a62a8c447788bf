"""Adding a constant to all units changes no token, and no state without its mean over units."""

import pytest
import torch
from offset_twin import write_offset_twin

from innerear import load_model
from innerear.models import nano_directory

TEXTS = ["a happy solo piano piece", "a sad solo piano piece"] * 2
SEEDS = [0, 0, 1, 1]
#: constant → what the raw cosine of two prompts exceeds. The spread over units is 0.7 in nano and 0.14 in
#: MusicGen-large: −53 is in nano what −9.8 is there.
RAW_COSINES = {-9.8: 0.99, 3.1: 0.95, -53.0: 0.9995}


def generated(directory):
    """Return codes [B, K, T] and raw states [L, C·B, S, D] in float64."""
    model = load_model(directory, device="cpu")
    calls = [[] for _ in range(model.n_layers)]
    hooks = [
        block.register_forward_hook(lambda block, given, made, calls=calls[layer]: calls.append(made))
        for layer, block in enumerate(model.modules("residual"))
    ]
    codes = model.generate(TEXTS, SEEDS, duration=0.5).codes
    for hook in hooks:
        hook.remove()
    return codes, torch.stack([torch.cat(steps, dim=1) for steps in calls]).double()


def without_mean(states):
    return states - states.mean(dim=-1, keepdim=True)


def happy_and_sad(states):
    """Return the mean over steps of the cosine of two prompts, by layer and branch of one seed."""
    rows = states.unflatten(1, (2, len(SEEDS)))  # [L, C·B, S, D] -> [L, C, B, S, D]
    return torch.cosine_similarity(rows[:, :, 0], rows[:, :, 1], dim=-1).mean(dim=-1)


@pytest.fixture(scope="module")
def plain():
    return generated(nano_directory())


@pytest.fixture(scope="module", params=RAW_COSINES)
def twin(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("twin") / "nano-offset"
    return request.param, *generated(write_offset_twin(nano_directory(), directory, request.param))


def test_weights_in_float32_without_a_constant_are_the_same_model(plain, tmp_path):
    codes, states = generated(write_offset_twin(nano_directory(), tmp_path / "twin", 0.0))
    assert torch.equal(codes, plain[0])
    assert torch.equal(states, plain[1])


def test_tokens_are_equal(plain, twin):
    assert torch.equal(twin[1], plain[0])


def test_states_differ_by_the_constant_and_by_rounding(plain, twin):
    constant, _, states = twin
    # Each addition rounds a number x by at most |x|·2⁻²⁴: one for each codebook, one for the position, three
    # in each block.
    additions = 4 + 1 + 3 * len(states)
    tolerance = additions * 2.0**-24 * states.abs().max()
    levels, expected = states.mean(dim=-1), plain[1].mean(dim=-1) + constant
    torch.testing.assert_close(levels, expected, rtol=0, atol=tolerance.item())
    error = without_mean(states) - without_mean(plain[1])
    assert error.square().mean(dim=(1, 2, 3)).sqrt().max() <= tolerance
    assert tolerance <= 2e-4 * without_mean(states).std()


def test_raw_cosines_are_those_of_the_constant(plain, twin):
    constant, _, states = twin
    raw, removed = happy_and_sad(states), happy_and_sad(without_mean(states))
    torch.testing.assert_close(removed, happy_and_sad(without_mean(plain[1])), rtol=0, atol=1e-5)
    assert removed[:, 0].max() < 0.7
    # Two vectors of level c and spread σ: 1 − cosine is (σ ÷ c)² at most, times 1 − their cosine without c.
    spread = without_mean(states).square().mean(dim=-1).max()
    level = states.mean(dim=-1).abs().min()
    assert (1 - raw).max() <= spread / level**2 * (1 - removed.min())
    assert raw.min() > RAW_COSINES[constant]
