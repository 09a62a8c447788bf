"""Describe single features: near directions, codes that they read, and the likelihood without them."""

from collections.abc import Mapping, Sequence
from os import PathLike

import numpy as np
import pandas as pd
import torch

from innerear.features.activations import CODE, NEAR, WITHOUT, activation_of
from innerear.features.clips import UNCOND
from innerear.features.dictionary import Dictionary, unit_rows
from innerear.features.layer_job import load_layer
from innerear.features.model_job import tokens_of
from innerear.features.splice import Edit, spliced
from innerear.models.base import DISTRIBUTIONS, MusicModel
from innerear.timeline import Timeline

# Near directions and codes a feature; clips that are replayed without it, each of another prompt.
_SHOWN, _CLIPS = 3, 4
# A code must occur so often while a feature fires.
_OFTEN = 10
_AT_ONCE = 12


def describe(
    model: MusicModel,
    samples: pd.DataFrame,
    chosen: pd.DataFrame,
    activations: Mapping[int, tuple[np.ndarray, np.ndarray]],
    *,
    folder: str | PathLike,
    site: str,
    guidance: float | None,
) -> pd.DataFrame:
    """Describe some features of uncond.

    Parameters
    ----------
    chosen : ``layer`` and ``feature`` of each.
    activations : layer → sparse activations [N, S', k] of all samples.
    folder : of the study's dictionaries.

    Returns
    -------
    Rows of ``layer``, ``feature``, ``about``, ``codebook``, ``which`` and ``value``:

    - *near direction*: ``which`` latent of the same dictionary, and the cosine of the two;
    - *code*: ``which`` code of ``codebook``, and how many times as often it was read while the feature fires;
    - *cost without it*: rise of a token's negative log-likelihood under guidance in nats, while the feature
      is taken out of both branches, over the clips that use it most.
    """
    rows = []
    codes, read, timeline = _codes(samples)
    texts, prompts = samples["text"].tolist(), samples["prompt_id"].tolist()
    clean: dict[int, np.ndarray] = {}

    def nats(clips: Sequence[int], observe=None) -> np.ndarray:
        """Return the mean nats [B, K] of a token under guidance."""
        own = [texts[clip] for clip in clips]
        options = {"guidance": guidance or 1.0, "observe": observe}
        found = model.replay(codes[list(clips)], own, timeline, **options).numpy()
        return np.nanmean(found[:, DISTRIBUTIONS.index("guided")], axis=-1)

    wanted = []
    for layer, feature in zip(chosen["layer"].astype(int), chosen["feature"].astype(int), strict=True):
        fires = activation_of(activations[layer], feature)
        wanted.append((layer, feature, fires, most_active(fires, prompts, _CLIPS)))
    every = sorted({clip for *_, clips in wanted for clip in clips})
    for start in range(0, len(every), _AT_ONCE):
        some = every[start : start + _AT_ONCE]
        clean |= dict(zip(some, nats(some), strict=True))
    dictionaries = {
        layer: load_layer(folder, layer, [UNCOND], own=True)[UNCOND][0].to(model.device)
        for layer in sorted({one[0] for one in wanted})
    }
    for layer, feature, fires, clips in wanted:
        own = {"layer": layer, "feature": feature}
        for other, cosine in nearest(dictionaries[layer].decoder, feature):
            rows.append(own | {"about": NEAR, "which": other, "value": cosine})
        for codebook, code, ratio in frequent_codes(fires > 0, read, model.card):
            rows.append(own | {"about": CODE, "codebook": codebook, "which": code, "value": ratio})
        with spliced(model, layer, without(dictionaries[layer], feature), timeline, site) as observe:
            costs = nats(clips, observe) - np.stack([clean[clip] for clip in clips])
        for codebook, cost in enumerate(costs.mean(axis=0)):
            rows.append(own | {"about": WITHOUT, "codebook": codebook, "which": len(clips), "value": cost})
    columns = ["layer", "feature", "about", "codebook", "which", "value"]
    return pd.DataFrame(rows, columns=columns).assign(model=model.name)


def most_active(fires: np.ndarray, prompts: Sequence[str], n: int) -> list[int]:
    """Return the clips with the largest mean of activations [N, S'], each of another prompt.

    Examples
    --------
    >>> most_active(np.array([[3.0], [2.0], [1.0]]), ["a", "a", "b"], 2)
    [0, 2]
    """
    found: dict[str, int] = {}
    for clip in map(int, np.argsort(-fires.mean(axis=1), kind="stable")):
        found.setdefault(prompts[clip], clip)
    return list(found.values())[:n]


def nearest(decoder: torch.Tensor, feature: int) -> list[tuple[int, float]]:
    """Return the latents with directions [F, D] nearest to a feature's, and their cosines."""
    directions = unit_rows(decoder)
    cosines = directions @ directions[feature]
    cosines[feature] = -torch.inf
    values, indices = cosines.topk(min(_SHOWN, len(decoder) - 1))
    return list(zip(indices.tolist(), values.tolist(), strict=True))


def frequent_codes(fires: np.ndarray, read: np.ndarray, card: int) -> list[tuple[int, int, float]]:
    """Return (codebook, code, ratio) of codes that are read more often while a feature fires.

    Parameters
    ----------
    fires : bool [N, S'].
    read : codes [N, S', K] that each step read; −1 where one is unknown.

    Examples
    --------
    >>> read = np.tile(np.arange(4), 20).reshape(1, 80, 1)
    >>> frequent_codes(read[..., 0] == 2, read, 4)
    [(0, 2, 4.0)]
    """
    found = []
    for codebook in range(read.shape[-1]):
        own = read[..., codebook]
        known = own >= 0
        every, some = (np.bincount(own[where], minlength=card) for where in (known, known & fires))
        share = some * every.sum() / (np.maximum(every, 1) * max(some.sum(), 1))
        found += [(codebook, int(code), float(share[code])) for code in np.flatnonzero(some >= _OFTEN)]
    return sorted((one for one in found if one[2] > 1), key=lambda one: -one[2])[:_SHOWN]


def without(dictionary: Dictionary, feature: int) -> Edit:
    """Return the edit that takes what a feature writes out of both branches, where it fires."""

    def less(states: torch.Tensor) -> torch.Tensor:
        indices, values = dictionary.encode(states)
        own = torch.where(indices == feature, values, 0).sum(dim=-1, keepdim=True)
        return states - own * dictionary.decoder[feature]

    return lambda cond, uncond: (less(cond), less(uncond))


def _codes(samples: pd.DataFrame) -> tuple[torch.Tensor, np.ndarray, Timeline]:
    """Return the codes int64 [N, K, T] of clips, and those [N, S', K] that complete steps read."""
    codes, timeline = tokens_of(samples)
    frames = timeline.frames[np.flatnonzero(timeline.complete) - 1]  # [S', K] of the step before
    read = np.stack([codes.numpy()[:, k, frames[:, k]] for k in range(codes.shape[1])], axis=-1)
    return codes, np.where(frames >= 0, read, -1), timeline
