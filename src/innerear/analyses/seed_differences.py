"""Differences between the seeds of a prompt, or the prompts of a template, and their largest components.

States of long clips fill the memory once, as stored: they are widened one prompt at a time.
"""

from collections.abc import Sequence

import numpy as np
from scipy.linalg import eigh, helmert

from innerear.stacks.widening import widened
from innerear.statistics.design import Design, Fold

COMPONENTS = 10
# Seeds of a prompt that differ by less than this share of the states' size are equal.
_NOTHING = 1e-6


def between_seeds(values: np.ndarray, design: Design) -> np.ndarray:
    """Take the mean over the seeds of each prompt out of values [N, ...].

    Examples
    --------
    >>> samples = pd.DataFrame({"sample_id": list("abcd"), "prompt_id": list("aabb"), "seed": [0, 1] * 2,
    ...                         "emotion": list("xxyy")})
    >>> between_seeds(np.array([1.0, 3.0, 10.0, 30.0]), Design(samples)).tolist()
    [-1.0, 1.0, -10.0, 10.0]
    """
    return values - values[design.rows].mean(axis=1)[design.prompt_of]


def seed_contrasts(n_seeds: int) -> np.ndarray:
    """Return contrasts of length 1 between R seeds, at right angles, float32 [R − 1, R].

    They hold all that tells seeds apart: inner products of values without their mean over seeds are those of
    the contrasts.

    Examples
    --------
    >>> seed_contrasts(2).round(2).tolist()
    [[0.7099999785423279, -0.7099999785423279]]
    """
    return helmert(n_seeds).astype(np.float32)


def between_prompts(values: np.ndarray, design: Design) -> np.ndarray:
    """Take the mean over the prompts of each template and seed out of values [N, ...]."""
    values = values.copy()
    for members in design.members():
        rows = design.rows[members]
        values[rows] -= values[rows].mean(axis=0)
    return values


def contrasts_of_seeds(values: np.ndarray, design: Design) -> np.ndarray:
    """Contrasts between the seeds of each prompt, [P, R − 1, frames, columns], of values [N, frames, ...]."""
    flat = values.reshape(*values.shape[:2], -1)
    of_seeds = flat[design.rows]  # [P, R, frames, columns]
    found = seed_contrasts(of_seeds.shape[1]) @ of_seeds.reshape(*design.rows.shape, -1)
    return found.reshape(len(found), -1, *flat.shape[1:])


def pair_products(states: np.ndarray, sound: np.ndarray) -> np.ndarray:
    """Multiply contrasts of states [P, R − 1, k, frames] with those of the sound, [P, R − 1, frames, …].

    float32 [P (R − 1)², k, lags * F], by prompt, contrast of the states, and contrast of the sound.
    """
    products = states[:, :, None] @ sound[:, None]
    return products.reshape(-1, *products.shape[3:])


def template_means(values: np.ndarray, design: Design) -> np.ndarray:
    """Means of values [N, frames, ...] over the prompts of each template and seed, [T, R * frames, ...]."""
    flat = values.reshape(*values.shape[:2], -1)
    found = [flat[design.rows[members]].mean(axis=0) for members in design.members()]
    return np.stack(found).reshape(len(found), -1, flat.shape[2])


def template_products(
    of_pairs: np.ndarray, states: np.ndarray, sound: np.ndarray, design: Design
) -> np.ndarray:
    """Sum over each template the products of states and sound that lack their `template_means`.

    [T, k, lags * F], of `pair_products` and these means. The products of a prompt's seeds are those of its
    contrasts; from their sum the means take out their own product, as often as there are prompts.
    """
    k = states.shape[2]
    of_prompts = np.einsum(
        "paakc->pkc", of_pairs.reshape(design.n_prompts, *[design.rows.shape[1] - 1] * 2, k, -1)
    )
    member = np.equal.outer(np.arange(design.n_blocks), design.block_of).astype(np.float32)
    whole = (member @ of_prompts.reshape(len(of_prompts), -1)).reshape(len(member), k, -1)
    return whole - member.sum(axis=1)[:, None, None] * (states.swapaxes(1, 2) @ sound)


class BranchStates:
    """One branch of stored states [N, C, frames, D], a prompt at a time; delta is cond − uncond."""

    def __init__(self, states: np.ndarray, branches: Sequence[str], branch: str) -> None:
        self.states, self.d_model = states, states.shape[-1]
        parts = [branch] if branch in branches else ["cond", "uncond"]
        self.parts = [branches.index(name) for name in parts]

    def of_prompt(self, rows: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the differences of a prompt's seeds, [R, frames, D], and the largest of its states.

        Each clip is about its own mean.
        """
        first, *second = (widened(self.states[rows, part]) for part in self.parts)
        largest = max(_largest(one) for one in (first, *second))
        x = first - second[0] if second else first
        x -= x.mean(axis=1, keepdims=True)
        return x - x.mean(axis=0), largest

    def components(self, folds: Sequence[Fold], design: Design) -> list[np.ndarray]:
        """Scores [N, frames, k] on the largest components of each fold's training samples, white there.

        Empty where the seeds of every prompt are equal.
        """
        contrasts = seed_contrasts(design.rows.shape[1])
        squares = np.zeros((len(folds), self.d_model, self.d_model))
        largest, largest_state = 0.0, 1e-30
        for fold, own in zip(folds, squares, strict=True):
            for prompt in np.unique(design.prompt_of[fold.test]):
                x, state = self.of_prompt(design.rows[prompt])
                largest, largest_state = max(largest, _largest(x)), max(largest_state, state)
                x = (contrasts @ x.reshape(len(x), -1)).reshape(-1, self.d_model)
                own += x.T @ x
        if largest <= _NOTHING * largest_state:
            return []
        # Prompts have no mean over their seeds, so that training samples have none either.
        total = squares.sum(axis=0)
        axes = [_white_axes(total - own) for own in squares]
        scores = np.empty((*self.states.shape[::2], sum(one.shape[1] for one in axes)), np.float32)
        for rows in design.rows:
            scores[rows] = self.of_prompt(rows)[0] @ np.concatenate(axes, axis=1)
        return np.split(scores, np.cumsum([one.shape[1] for one in axes])[:-1], axis=-1)


def _largest(values: np.ndarray) -> float:
    """Return the largest magnitude."""
    return float(max(values.max(), -values.min()))


def _white_axes(squares: np.ndarray) -> np.ndarray:
    """Return the directions [D, k] of most variance, of sums of squares [D, D], in units of its root."""
    d_model = len(squares)
    values, vectors = eigh(squares, subset_by_index=[max(0, d_model - COMPONENTS), d_model - 1])
    kept = values > 1e-6 * values[-1]
    return (vectors[:, kept] / np.sqrt(values[kept])).astype(np.float32)
