"""Sums over the seeds of prompts, which stand for a step's N × N matrices.

Permutations move whole prompts, so distances, effects and strata are functions of sums over pairs of seeds:
of all pairs, and of those with the same seed. Inner products are summed as they are. Cosines are formed
first, since a cosine of sums is not the sum of cosines.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

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
    def by_seed(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each seed its samples as positions in `order`, and their prompts."""
        seeds, prompts = self.seed_of[self.order], self.prompt_of[self.order]
        places = [np.flatnonzero(seeds == seed) for seed in np.unique(seeds)]
        return [(place, prompts[place]) for place in places]

    def within_templates(self, products: np.ndarray) -> np.ndarray:
        """Return inner products [..., N, N] of states without their template's mean."""
        groups = np.equal.outer(np.arange(self.template_of.max() + 1), self.template_of)  # [T, N]
        means = groups / groups.sum(axis=1, keepdims=True)
        rows = means @ products  # [..., T, N]
        between = (rows @ means.T)[..., self.template_of[:, None], self.template_of]
        rows = rows[..., self.template_of, :]
        return products - rows - rows.swapaxes(-1, -2) + between

    def sums(self, products: np.ndarray, cosines: bool = True, whole: np.ndarray | None = None) -> np.ndarray:
        """Sum products [C, N, N], or their cosines, over pairs of seeds.

        Parameters
        ----------
        whole : products of the states before something was taken out of them. What is left of a sample's
            length is rounding if it is a tiny share of what it was.

        Returns
        -------
        float32 [C, 2, pairs]: all pairs of seeds, then those of one seed, for the pairs of prompts p ≤ q. NaN
        where a sample has no length.
        """
        n_each = len(self.order) // self.n
        scale = np.ones(products.shape[:2])
        if cosines:
            squared = np.einsum("cnn->cn", products)
            least = 0 if whole is None else _ROUNDING * np.einsum("cnn->cn", whole)
            varies = squared > least
            scale = np.divide(1, np.sqrt(np.abs(squared)), out=np.full_like(scale, np.nan), where=varies)
        if (self.order != np.arange(len(self.order))).any():
            products, scale = products[:, self.order[:, None], self.order], scale[:, self.order]
        weights = scale.reshape(len(products), self.n, 1, n_each)
        rows = weights @ products.reshape(len(products), self.n, n_each, -1)  # [C, P, 1, N]
        every = (rows.reshape(len(products), self.n, self.n, n_each) * weights.swapaxes(1, 2)).sum(axis=-1)
        same = np.zeros_like(every)
        for places, prompts in self.by_seed:
            factor = scale[:, places]
            added = products[:, places[:, None], places] * factor[:, :, None] * factor[:, None]
            same[:, prompts[:, None], prompts] += added
        i, j = np.triu_indices(self.n)
        return np.stack([every[:, i, j], same[:, i, j]], axis=1).astype(np.float32)


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


def all_sums(prompts: Prompts, gram: np.ndarray, scored: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Return the sums of every measure, float32 [C, measures, 2, pairs], in the order of `MEASURES`.

    Parameters
    ----------
    gram, scored, raw : [C, N, N] inner products of centred states, of z-scored ones, and of those as they
        are.
    """
    found = [prompts.sums(gram, cosines=False)]
    for whole in (gram, scored):
        found += [prompts.sums(prompts.within_templates(whole), whole=whole), prompts.sums(whole)]
    return np.stack([*found, prompts.sums(raw)], axis=1)


def coordinates() -> dict[str, np.ndarray]:
    """Return the coordinates of the axes of measures and pairs."""
    return {"measure": np.array(MEASURES), "pairs": np.array(PAIRS)}
