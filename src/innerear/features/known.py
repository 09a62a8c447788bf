"""The positive control: the input of layer 0 is a sum of code embeddings, which is a known dictionary."""

from typing import Any

import numpy as np
import torch

from innerear.errors import InputError
from innerear.features.dictionary import unit_rows
from innerear.features.measures import SAME
from innerear.models.base import MusicModel
from innerear.timeline import Timeline

# Codes that occur less often than this in the tokens cannot be learned.
_OFTEN = 30


def code_embeddings(model: MusicModel) -> np.ndarray:
    """Return the embedding of each code, float32 [K, card, D], without its mean over units.

    Raises
    ------
    InputError: a model whose embeddings are not found.
    """
    network: Any = model.network
    found = getattr(network, "emb", None)
    if found is None:
        lists: list[Any] = [list(one) for one in network.modules() if isinstance(one, torch.nn.ModuleList)]
        found = next((one for one in lists if one and isinstance(one[0], torch.nn.Embedding)), None)
    if found is None:
        raise InputError(f"model {model.name!r}: no code embeddings were found")
    tables: list[Any] = list(found)
    weights = torch.stack([one.weight[: model.card] for one in tables]).detach().float().cpu()
    return (weights - weights.mean(dim=-1, keepdim=True)).numpy()


def summed_embeddings(
    codes: np.ndarray, embeddings: np.ndarray, timeline: Timeline
) -> tuple[np.ndarray, np.ndarray]:
    """Return the input of layer 0, without the position, at steps with all K codes known.

    Parameters
    ----------
    codes : [N, K, T].
    embeddings : [K, card, D].

    Returns
    -------
    Tokens float32 [N, S', D] and their codes [N, S', K]: step s reads the codes that step s − 1 wrote.
    """
    frames = timeline.frames[timeline.complete]  # [S', K]
    read = np.stack([codes[:, k, frames[:, k]] for k in range(codes.shape[1])], axis=-1)  # [N, S', K]
    tokens = sum(embeddings[k][read[..., k]] for k in range(codes.shape[1]))
    return np.asarray(tokens, np.float32), read


def recovered_atoms(decoder: torch.Tensor, embeddings: np.ndarray, read: np.ndarray) -> np.ndarray:
    """Return the share of each codebook's used embeddings that are a direction of the decoder, [K].

    Parameters
    ----------
    decoder : [F, D] of a dictionary of these tokens.
    read : codes [N, S', K] of the tokens. A code is used if it occurs `_OFTEN` times.

    Notes
    -----
    An embedding is taken less the mean of its codebook's over the tokens: what is common to all tokens is the
    dictionary's bias.
    """
    shares = []
    for k, table in enumerate(embeddings):
        counts = np.bincount(read[..., k].ravel(), minlength=len(table))
        used = counts >= _OFTEN
        atoms = table[used] - (counts @ table) / counts.sum()
        cosines = unit_rows(decoder.float()) @ unit_rows(torch.from_numpy(atoms.astype(np.float32))).T
        shares.append(float((cosines.amax(dim=0) > SAME).float().mean()) if used.any() else np.nan)
    return np.array(shares)
