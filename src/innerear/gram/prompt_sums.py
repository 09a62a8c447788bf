"""Sums over the seeds of prompts, which stand for a step's N × N matrices.

Permutations move whole prompts, so distances, effects and strata are functions of sums over pairs of seeds:
of all pairs, and of those with the same seed. Inner products are summed as they are. Cosines are formed
first, since a cosine of sums is not the sum of cosines.

Sums come from states, not from N × N matrices: Σ_rs x_pr · x_qs = (Σ_r x_pr) · (Σ_s x_qs), and a cosine is
the product of two states of length 1. So a step takes P² numbers, whatever the number of seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from innerear.gram.products import inner_products, squared_lengths
from innerear.gram.reading import GramSource
from innerear.study.power import are_blocks

#: which products are summed: inner products; cosines of states centred within their template, or on the mean
#: of all samples; the two of z-scored states; cosines of states as they are
MEASURES = GRAM, TEMPLATE, CENTRED, TEMPLATE_SCORED, SCORED, RAW = (
    *("gram", "template", "centred", "template_standardised", "standardised", "raw"),
)
# Squared length, as a share of what it was, below which what centring within templates leaves is rounding.
_ROUNDING = 1e-9
#: which pairs of seeds are summed
PAIRS = ALL, SAME = "all", "same"


@dataclass(frozen=True)
class Prompts:
    """The prompt [N] of each sample, its seed and its template, each by number from 0.

    Seeds may differ by template. Every prompt has R samples. Template numbers are 0 throughout where
    templates are no blocks.
    """

    prompt_of: np.ndarray
    seed_of: np.ndarray
    template_of: np.ndarray

    @classmethod
    def of(cls, samples: pd.DataFrame) -> "Prompts":
        """Take them from a sample sheet; prompts are numbered in order of appearance, as in a `Design`."""
        prompt_of = pd.factorize(samples["prompt_id"].astype(str))[0]
        templates = (
            samples["template"].astype(str) if "template" in samples else pd.Series([""] * len(samples))
        )
        of_prompts = templates[~samples["prompt_id"].duplicated().to_numpy()]
        template_of = pd.factorize(templates)[0] * are_blocks(of_prompts.tolist())
        return cls(prompt_of, pd.factorize(samples["seed"])[0], template_of)

    @cached_property
    def n(self) -> int:
        """Number of prompts, P."""
        return int(self.prompt_of.max()) + 1

    @cached_property
    def order(self) -> np.ndarray:
        """The samples by prompt, [N]; the R of each prompt stand together."""
        return np.argsort(self.prompt_of, kind="stable")

    @cached_property
    def in_order(self) -> bool:
        """Whether samples stand by prompt, and each prompt's by seed."""
        return bool((np.lexsort((self.seed_of, self.prompt_of)) == np.arange(len(self.order))).all())

    @cached_property
    def sharing(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Prompts [n] that share seeds, and their samples of these [n, r]; each seed is in one group."""
        groups: dict[bytes, list[np.ndarray]] = {}
        by_seed = self.order[np.argsort(self.seed_of[self.order], kind="stable")]
        for samples in np.split(by_seed, np.flatnonzero(np.diff(self.seed_of[by_seed])) + 1):
            groups.setdefault(self.prompt_of[samples].tobytes(), []).append(samples)
        return [(self.prompt_of[seeds[0]], np.stack(seeds, axis=1)) for seeds in groups.values()]

    @cached_property
    def triangle(self) -> tuple[np.ndarray, np.ndarray]:
        """The pairs of prompts p ≤ q."""
        return np.triu_indices(self.n)

    def within_templates(self, states: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Write states [C, N, D] without their template's mean into `out`."""
        members = np.equal.outer(np.arange(self.template_of.max() + 1), self.template_of)  # [T, N]
        means = (members / members.sum(axis=1, keepdims=True)).astype(states.dtype) @ states
        np.take(means, self.template_of, axis=1, out=out, mode="clip")
        return np.subtract(states, out, out=out)

    def sums(self, states: np.ndarray) -> np.ndarray:
        """Sum inner products of states [C, N, D] over pairs of seeds, without a matrix of all samples.

        Returns
        -------
        float64 [C, 2, pairs]: all pairs of seeds, then those of one seed, for the pairs of prompts p ≤ q. NaN
        where a state is.
        """
        n_branches, n_samples, width = states.shape
        ordered = states if self.in_order else states.take(self.order, axis=1)
        by_prompt = ordered.reshape(n_branches, self.n, n_samples // self.n, width)
        every = inner_products(by_prompt.sum(axis=2))
        same = np.zeros_like(every)
        for prompts, samples in self.sharing:
            # Side by side, the seeds' states have the sum over seeds as their product.
            joined = states if self.in_order and samples.size == n_samples else states.take(samples, axis=1)
            same[:, prompts[:, None], prompts] += inner_products(joined.reshape(n_branches, len(prompts), -1))
        i, j = self.triangle
        return np.stack([every[:, i, j], same[:, i, j]], axis=1)


def read_sums(gram: GramSource, branch: str, measure: str, pairs: str = ALL) -> np.ndarray:
    """Return sums over pairs of seeds at every complete step, then in every window: float64 [cells, P, P].

    NaN where all samples are equal, for cosines; 0 for inner products.
    """
    where = {"branch": branch, "measure": measure, "pairs": pairs}
    by_step = gram.read("sums", **where)[np.flatnonzero(gram.read("complete"))]
    return unpacked(np.concatenate([by_step, gram.read("window_sums", **where)]))


def unpacked(triangle: np.ndarray) -> np.ndarray:
    """Return symmetric matrices, float64 [..., P, P], of their values [..., pairs] for p ≤ q.

    Examples
    --------
    >>> unpacked(np.array([1.0, 2.0, 3.0])).tolist()
    [[1.0, 2.0], [2.0, 3.0]]
    """
    n = (np.sqrt(8 * triangle.shape[-1] + 1).round().astype(int) - 1) // 2
    number = np.empty((n, n), int)
    i, j = np.triu_indices(n)
    number[i, j] = number[j, i] = np.arange(len(i))
    return triangle[..., number].astype(float)


def all_sums(
    prompts: Prompts, gram: np.ndarray, states: Sequence[np.ndarray], mean: np.ndarray
) -> np.ndarray:
    """Return the sums of every measure, float32 [C, measures, 2, pairs], in the order of `MEASURES`.

    Parameters
    ----------
    gram : sums of the inner products, of `Prompts.sums`.
    states : centred states and z-scored ones, each [C, N, D].
    mean : of the states before they were centred, [C, D].
    """
    # Fresh memory for each measure would take longer than the arithmetic.
    room, found = np.empty_like(states[0]), [gram]
    for whole in states:
        found.append(prompts.sums(unit(prompts.within_templates(whole, out=room), whole, out=room)))
        found.append(prompts.sums(unit(whole, out=room)))
    raw = np.add(states[0], mean[:, None].astype(room.dtype), out=room)
    return np.stack(
        [*found, prompts.sums(unit(raw, out=room))], axis=1, dtype=np.float32, casting="same_kind"
    )


def unit(states: np.ndarray, whole: np.ndarray | None = None, *, out: np.ndarray) -> np.ndarray:
    """Write states [..., N, D] ÷ their length into `out`; NaN where there is none.

    Parameters
    ----------
    whole : the states before something was taken out of them. What is left is rounding if its squared length
        is a tiny share of what it was.

    Examples
    --------
    >>> unit(np.array([[0.0, 2.0], [0.0, 0.0]]), out=np.empty((2, 2))).tolist()
    [[0.0, 1.0], [nan, nan]]
    """
    squared = squared_lengths(states)
    least = 0 if whole is None else _ROUNDING * squared_lengths(whole)
    inverse = np.divide(1, np.sqrt(squared), out=np.full_like(squared, np.nan), where=squared > least)
    return np.multiply(states, inverse[..., None], out=out)


def coordinates() -> dict[str, np.ndarray]:
    """Return the coordinates of the axes of measures and pairs."""
    return {"measure": np.array(MEASURES), "pairs": np.array(PAIRS)}
