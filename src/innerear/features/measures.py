"""Measure dictionaries: reconstruction error and agreement between seeds, with controls."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from innerear.errors import InputError
from innerear.features.dictionary import Dictionary, unit_rows

#: cosine of two decoder directions above which they are one feature
SAME = 0.7
# Tokens that are taken to double precision at a time.
_ROWS = 2**16
#: states [n, D] -> states as something writes them
Writer = Callable[[torch.Tensor], torch.Tensor]


def fvu(states: np.ndarray, written: np.ndarray) -> float:
    """Return the fraction of variance unexplained of states [..., D] about their mean.

    Examples
    --------
    >>> states = np.array([[0.0, 1.0], [2.0, 3.0]])
    >>> fvu(states, states), fvu(states, np.broadcast_to(states.mean(axis=0), states.shape))
    (0.0, 1.0)
    """
    flat = states.reshape(-1, states.shape[-1])
    return _share(states - written, flat - flat.mean(axis=0))


def fvu_within_steps(states: np.ndarray, written: np.ndarray) -> float:
    """Return the fraction unexplained of what differs between clips: states [N, S, D] about each step's mean.

    What all clips have in common at a step is position, which an untrained model has, too.
    """
    return _share(states - written, states - states.mean(axis=0, keepdims=True))


def _share(error: np.ndarray, spread: np.ndarray) -> float:
    total = float(np.square(spread, dtype=float).sum())
    return float(np.square(error, dtype=float).sum()) / total if total > 0 else float("nan")


def write_with(writer: Writer, states: np.ndarray) -> np.ndarray:
    """Return states [..., D] as something writes them."""
    return writer(_flat(states)).numpy().reshape(states.shape)


def written_and_firing(dictionary: Dictionary, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return states [..., D] as a dictionary writes them, and the share in which each latent fires, [F]."""
    flat = _flat(states)
    indices, values = dictionary.encode(flat)
    counts = torch.bincount(indices[values > 0], minlength=dictionary.n_latents)
    return dictionary.decode(indices, values).numpy().reshape(states.shape), counts.numpy() / len(flat)


def _flat(states: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(states.reshape(-1, states.shape[-1])))


class Components:
    """The k largest principal components of tokens [..., D], as a `Writer`: what k dense directions can do.

    Raises
    ------
    InputError: k is not within 1 … D.
    """

    def __init__(self, tokens: np.ndarray, k: int) -> None:
        flat = torch.from_numpy(tokens.reshape(-1, tokens.shape[-1]))
        if not 1 <= k <= flat.shape[1]:
            raise InputError(
                f"{k} principal components of {flat.shape[1]} dimensions; give 1 … {flat.shape[1]}"
            )
        # In double precision, some rows at a time: a copy of all would take twice the tokens' memory.
        parts = flat.split(_ROWS)
        self.mean = torch.stack([part.double().sum(dim=0) for part in parts]).sum(dim=0) / len(flat)
        centred = (part.double() - self.mean for part in parts)
        scatter = sum(one.T @ one for one in centred)
        self.directions = torch.linalg.eigh(scatter / len(flat))[1][:, -k:]  # [D, k]

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """Return states [n, D] within the components."""
        mean, directions = self.mean.to(states.device), self.directions.to(states.device)
        centred = states.to(directions.dtype) - mean
        return (centred @ directions @ directions.T + mean).to(states.dtype)


def gaussian_twin(tokens: np.ndarray, seed: int) -> np.ndarray:
    """Draw tokens [n, D] with the mean and the covariance of tokens [..., D], and no more structure."""
    flat = tokens.reshape(-1, tokens.shape[-1]).astype(float)
    mean, covariance = flat.mean(axis=0), np.cov(flat, rowvar=False, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))  # [D, D]
    noise = np.random.default_rng(seed).normal(size=flat.shape)
    return (noise @ root.T + mean).astype(np.float32)


def matched(first: torch.Tensor, second: torch.Tensor) -> np.ndarray:
    """Pair the directions of two dictionaries one to one, and return the cosine [F] of each pair.

    Parameters
    ----------
    first, second : decoders [F, D] and [G, D]; the pairs maximise the sum of cosines (Hungarian method). A
        direction of `first` without a partner has NaN.
    """
    cosines = (unit_rows(first.float()) @ unit_rows(second.float()).T).numpy()
    rows, columns = linear_sum_assignment(-cosines)
    found = np.full(len(cosines), np.nan)
    found[rows] = cosines[rows, columns]
    return found


def agreement(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the share of the directions [F, D] that another dictionary finds again, above `SAME`."""
    return float((matched(first, second) > SAME).mean())


def chance(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return `agreement` with random directions that spread as the second decoder's do."""
    size, generator = second.shape, torch.Generator().manual_seed(0)
    noise = torch.randn(size[0], size[0], generator=generator) @ unit_rows(second.float())
    return agreement(first, noise)


def stable(decoders: Sequence[torch.Tensor]) -> np.ndarray:
    """Return which directions of the first decoder all others find again, bool [F]; none without others."""
    if len(decoders) < 2:
        return np.zeros(len(decoders[0]), bool)
    return np.all([matched(decoders[0], other) > SAME for other in decoders[1:]], axis=0)
