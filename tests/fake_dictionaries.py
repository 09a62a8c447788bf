"""Dictionaries of random directions, and what a file of activations holds of a clip."""

import torch

from innerear.features.activations import dense
from innerear.features.dictionary import Dictionary, unit_rows


def drawn(d_model=8, n_latents=12, k=3, *, seed=0, tied=True, **fields):
    """A dictionary of k of F random directions; the same seed gives the same one.

    If `tied`, its encoder is its decoder and its biases are 0; else they are drawn, too.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator)

    decoder = unit_rows(normal(n_latents, d_model))
    if tied:
        return Dictionary(
            decoder.T.contiguous(), torch.zeros(n_latents), decoder, torch.zeros(d_model), k, **fields
        )
    return Dictionary(normal(d_model, n_latents), normal(n_latents), decoder, normal(d_model), k, **fields)


def dense_of(file, branch, sample):
    """The activations of all latents of one clip of an open file, float32 [S', F]."""
    indices, values = (one[sample] for one in file.sparse(branch))
    return dense(indices, values, file.attrs.whole(f"n_latents_{branch}"))
