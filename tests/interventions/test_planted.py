"""A model whose logits read one direction: it is recovered and alone steers; what guidance does to errors."""

import numpy as np
import pytest
import torch

from innerear import ActivationExtractor, intervene
from innerear.interventions import Add, Replace
from innerear.interventions.directions import between, random_directions
from innerear.models import load_model

TEXTS = ["happy music"] * 8
D, TOKEN, LAST = 32, 5, 2
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def planted(tiny_checkpoint):
    """A model whose first codebook has one token more often the further states lie along w, and w [D]."""
    model = load_model(tiny_checkpoint, device="cpu")
    w = RNG.normal(size=D)
    w -= w.mean()
    w /= np.linalg.norm(w)
    with torch.no_grad():
        heads = model.network.linears[0].weight
        heads.zero_()
        heads[TOKEN] = torch.from_numpy(w).float() * 3
    return model, w


def share(model, direction, alpha):
    """How often the token is drawn when the states are moved along a direction."""
    with intervene(model, Add(direction, alpha, layers=LAST)):
        codes = model.generate(TEXTS, range(8), 0.6, guidance=1.0).codes
    return float((codes[:, 0] == TOKEN).float().mean())


def moved_means(model, w):
    """Mean states [P, C, D] of clips of two labels, of which one was moved along w in one layer before."""
    extractor, means = ActivationExtractor(model, layers=[LAST]), []
    for alpha in (-1.0, 1.0) * 3:
        with intervene(model, Add(w * 3, alpha, layers=LAST)):
            extractor.generate(TEXTS[:2], seeds=[0, 1], duration=0.3)
        means.append(extractor.get_activations()["layer_2"].mean(dim=(0, 2)).numpy())
    return np.stack(means)


@pytest.mark.parametrize("source", ["means", "probe"])
def test_what_the_logits_read_is_recovered_and_steers(planted, source):
    model, w = planted
    found = between(moved_means(model, w), ["low", "high"] * 3, ("low", "high"), layer=LAST, source=source)
    size = np.linalg.norm(found.vector)
    assert found.vector @ w / size > 0.95
    high, low = share(model, found, 0.5), share(model, found, -0.5)
    assert high > low + 0.3
    effects = [
        abs(share(model, one, 0.5) - share(model, one, -0.5))
        for one in random_directions(np.eye(D) - 1 / D, size, 9, seed=1)
    ]
    assert high - low > 1.5 * max(effects)


def guided_change(model, codes, change):
    """Root mean square change of the guided logits, guidance 3."""
    seen = []
    handle = model.network.register_forward_hook(lambda module, inputs, output: seen.append(output))
    try:
        for edit in (lambda states: states, change):
            with intervene(model, Replace(edit, layers=LAST)):
                model.replay(codes, TEXTS[:4], model.timeline(0.6))
    finally:
        handle.remove()
    cond, uncond = (seen[1] - seen[0]).chunk(2)
    return float((uncond + 3 * (cond - uncond)).square().mean().sqrt())


def test_an_error_that_branches_share_is_not_amplified_and_an_independent_one_is(tiny_model):
    codes = tiny_model.generate(TEXTS[:4], range(4), 0.6).codes
    shape = (2, 4, tiny_model.timeline(0.6).n_steps, D)
    noise = 0.01 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    shared = guided_change(tiny_model, codes, lambda states: states + noise[:1])
    independent = guided_change(tiny_model, codes, lambda states: states + noise)
    assert independent / shared == pytest.approx(np.sqrt(3**2 + 2**2), rel=0.1)
