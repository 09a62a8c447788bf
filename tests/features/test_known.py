"""The positive control: sums of known atoms, whose atoms training finds."""

import numpy as np
import torch

from innerear.features.known import code_embeddings, recovered_atoms, summed_embeddings
from innerear.features.model_job import KNOWN
from innerear.features.training import train


def test_embeddings_sum_to_what_layer_0_reads(tiny_model):
    timeline = tiny_model.timeline(0.4)
    codes = torch.from_numpy(np.random.default_rng(0).integers(0, 16, (2, 4, timeline.n_frames)))
    seen = []
    first = tiny_model.modules("input")[0]
    handle = first.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    tiny_model.replay(codes, ["a", "a"], timeline)
    handle.remove()
    states = seen[0][:2] - seen[0][:2].mean(dim=-1, keepdim=True)
    tokens, _ = summed_embeddings(codes.numpy(), code_embeddings(tiny_model), timeline)
    read = states[:, 1:][:, timeline.complete[:-1]]
    # Positions are common to all clips.
    expected = (read[0] - read[1]).numpy()
    np.testing.assert_allclose((tokens[0] - tokens[1])[: len(expected)], expected, atol=1e-4)


def test_training_finds_the_embeddings_that_occur():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(2, 20, 32)).astype(np.float32)
    read = rng.integers(0, 15, (1, 6000, 2))
    tokens = sum(embeddings[k][read[..., k]] for k in range(2))
    found = train(tokens.reshape(-1, 32), 40, 2, steps=600, batch=512, lr=1e-2)
    shares = recovered_atoms(found.decoder, embeddings, read)
    assert shares.mean() >= 0.85
    random = recovered_atoms(torch.from_numpy(rng.normal(size=(40, 32))), embeddings, read)
    assert (random < 0.1).all()


def test_the_control_trains_for_long_enough_to_find_short_embeddings():
    rng = np.random.default_rng(1)
    lengths = np.array([2.0, 1.0])[:, None, None]
    embeddings = rng.normal(size=(2, 40, 32))
    embeddings *= lengths / np.linalg.norm(embeddings, axis=-1, keepdims=True)
    read = rng.integers(0, 40, (1, 6000, 2))
    tokens = sum(embeddings[k][read[..., k]] for k in range(2)).astype(np.float32)[0]
    early, late = (
        recovered_atoms(train(tokens, 160, 3, **how).decoder, embeddings, read)
        for how in ({"steps": 100, "batch": 512}, KNOWN)
    )
    assert early[1] < 0.95 <= late.min()
