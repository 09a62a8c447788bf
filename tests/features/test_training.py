"""Dictionaries find what was planted, nothing in noise, and refuse what cannot be learned from."""

import logging
from itertools import cycle

import numpy as np
import pytest
import torch
from fake_tokens import atoms, superposed

from innerear.errors import InputError
from innerear.features.measures import agreement
from innerear.features.training import _loss_gradients, _Weights, train

SETTINGS = {"steps": 1500, "batch": 1024, "lr": 1.5e-2}


def test_planted_atoms_are_found_by_two_seeds():
    known = atoms()
    tokens = superposed(known, 30_000)
    found = [train(tokens, 64, 3, seed=seed, **SETTINGS) for seed in (0, 1)]
    for one in found:
        assert ((one.decoder.numpy() @ known.T).max(axis=0) > 0.9).mean() >= 0.95
    assert agreement(found[0].decoder, found[1].decoder) >= 0.8


def test_batchtopk_keeps_k_on_average():
    tokens = superposed(atoms(), 10_000)
    found = train(tokens, 64, 3, kind="batchtopk", steps=400, batch=1024, lr=1.5e-2)
    values = found.encode(torch.from_numpy(tokens))[1]
    assert (values > 0).sum(dim=1).float().mean().item() == pytest.approx(3, abs=0.7)
    assert len(set((values > 0).sum(dim=1).tolist())) > 1


class Repeated:
    """Batches of tokens that are known, over and over."""

    def __init__(self, batches):
        self._batches, every = batches, torch.cat(batches)
        self.n_tokens, self.mean, self.scale = len(every), every.mean(dim=0), 2.0

    def batches(self, size, generator):
        return cycle(self._batches)


def test_the_threshold_is_the_moving_average_of_the_least_value_that_each_batch_keeps():
    generator = torch.Generator().manual_seed(0)
    batches = [size * torch.randn(40, 8, generator=generator) for size in (1, 30, 200)]
    source = Repeated(batches)
    found = train(source, 12, 3, kind="batchtopk", steps=4, lr=0.0)  # learns nothing
    latents = [((batch - source.mean) @ found.encoder).numpy() for batch in (*batches, batches[0])]
    least = [np.sort(one, axis=None)[-3 * 40] for one in latents]
    average = least[0]
    for one in least[1:]:
        average += (one - average) / 100
    assert found.threshold.numpy() == pytest.approx(np.full(12, average), rel=1e-4)
    assert train(source, 12, 3, kind="topk", steps=4, lr=0.0).threshold is None


def test_in_gaussian_noise_two_seeds_find_different_directions():
    tokens = np.random.default_rng(0).normal(size=(10_000, 32)).astype(np.float32)
    one, other = (train(tokens, 64, 3, seed=seed, steps=200, batch=1024) for seed in (0, 1))
    assert agreement(one.decoder, other.decoder) <= 0.02


@pytest.mark.parametrize("kind", ["topk", "batchtopk"])
def test_the_same_seed_gives_the_same_bits(kind):
    tokens = superposed(atoms(), 2000)
    one, again = (train(tokens, 64, 3, kind=kind, steps=20, seed=5) for _ in range(2))
    for part in ("encoder", "encoder_bias", "decoder", "bias"):
        assert torch.equal(getattr(one, part), getattr(again, part))
    assert not torch.equal(one.decoder, train(tokens, 64, 3, kind=kind, steps=20, seed=6).decoder)


def test_scale_and_offset_of_the_tokens_change_nothing_else():
    tokens = superposed(atoms(), 4000).astype(np.float64)
    moved = 7 * tokens + 100
    one, other = (train(x.astype(np.float32), 64, 3, steps=30) for x in (tokens, moved))
    torch.testing.assert_close(one.decoder, other.decoder, atol=2e-2, rtol=0)
    written = other.reconstruct(torch.from_numpy(moved.astype(np.float32))).numpy()
    expected = 7 * one.reconstruct(torch.from_numpy(tokens.astype(np.float32))).numpy() + 100
    assert np.abs(written - expected).mean() < 0.05 * moved.std()


def test_a_frozen_decoder_does_not_move():
    tokens = superposed(atoms(), 2000)
    first, last = (train(tokens, 64, 3, steps=n, freeze_decoder=True) for n in (1, 50))
    assert torch.equal(first.decoder, last.decoder)
    assert not torch.equal(first.encoder, last.encoder)


def test_decoder_directions_have_length_one():
    found = train(superposed(atoms(), 2000), 64, 3, steps=20)
    torch.testing.assert_close(found.decoder.norm(dim=1), torch.ones(64))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"k": 64}, "features.k: 64 of 64"),
        ({"k": 0}, "features.k: 0"),
        ({"n_latents": 500}, "2500 tokens"),
        ({"kind": "gated"}, "features.kind: 'gated'"),
    ],
)
def test_settings_that_cannot_be(change, message):
    settings = {"n_latents": 64, "k": 3} | change
    with pytest.raises(InputError, match=message):
        train(superposed(atoms(), 1000), steps=1, **settings)


@pytest.mark.parametrize("n, advice", [(3, "train"), (15, "train"), (20, "ask for at most 4, or train")])
def test_no_number_of_latents_is_advised_that_k_does_not_fit(n, advice):
    with pytest.raises(InputError, match=f"there are {n}; {advice} on more clips"):
        train(superposed(atoms(), n), 64, 3, steps=1)


def test_few_tokens_are_warned_about(caplog):
    with caplog.at_level(logging.WARNING):
        train(superposed(atoms(), 1000), 64, 3, steps=1)
    assert "1920 tokens would do" in caplog.text


@pytest.mark.parametrize("value, message", [(np.nan, "NaN"), (3.0, "do not vary")])
def test_broken_and_constant_layers_are_refused(value, message):
    with pytest.raises(InputError, match=message):
        train(np.full((1000, 8), value, np.float32), 16, 2, steps=1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_training_runs_on_a_gpu():
    tokens = torch.from_numpy(superposed(atoms(), 4000)).cuda()
    assert train(tokens, 64, 3, steps=20).decoder.is_cuda


@pytest.mark.parametrize("kind", ["topk", "batchtopk"])
def test_gradients_are_those_of_automatic_differentiation(kind):
    generator = torch.Generator().manual_seed(0)
    x, k, n = torch.randn(50, 8, generator=generator), 3, 50
    weights = _Weights.drawn(8, 24, generator, torch.device("cpu"))
    for one in (weights.encoder, weights.encoder_bias, weights.bias):
        one += 0.1 * torch.randn(one.shape, generator=generator)
    silent = torch.arange(24) < 5
    found, *_ = _loss_gradients(x, weights, k, kind, silent)
    for one in weights.all():
        one.requires_grad_()
    latents = (x - weights.bias) @ weights.encoder.T + weights.encoder_bias
    rows = latents if kind == "topk" else latents.reshape(1, -1)
    least = rows.topk(k if kind == "topk" else k * n).values[:, -1:]
    error = x - weights.bias - torch.where(latents >= least, latents, 0).relu() @ weights.decoder
    left = error.detach() - latents[:, :5].relu() @ weights.decoder[:5]
    loss = error.square().sum(dim=1).mean() + left.square().sum(dim=1).mean() / 32
    expected = list(torch.autograd.grad(loss, weights.all()))
    # Less what would only change the length of the decoder's directions.
    along = (expected[2] * weights.decoder).sum(dim=1, keepdim=True)
    expected[2] = (expected[2] - along * weights.decoder).detach()
    for gradient, one in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, one, atol=1e-5, rtol=1e-4)
