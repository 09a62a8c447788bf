"""Pairs of prompts: which of their samples share a seed, and sums over pairs of templates."""

from functools import cached_property

import numpy as np

from innerear.statistics.design import Design
from innerear.statistics.design.resampling import shared_once
from innerear.statistics.pieces import pieces


class PromptPairs:
    """Turns sums over pairs of seeds [cells, P, P] into means, and knows which pairs can be compared.

    What seeds do to labels is common to all templates that share the seeds, so two clips of one seed are
    alike for another reason than their label. The mean over *other* seeds is free of it.

    Attributes
    ----------
    n_all : R², the pairs of seeds of two prompts.
    n_same : int [P, P], those of one seed.
    exchangeable : bool [P, P], the pairs whose relation of labels may change.
    seeds_differ : whether all these have pairs of other seeds.
    """

    def __init__(self, design: Design) -> None:
        codes = np.unique(np.asarray(design.samples["seed"]), return_inverse=True)[1][design.rows]  # [P, R]
        has = (codes[:, :, None] == np.arange(codes.max() + 1)).sum(axis=1)  # [P, seeds]
        self.n_all, self.n_same, self.n_samples = codes.shape[1] ** 2, has @ has.T, design.n_samples
        self.exchangeable = np.not_equal.outer(design.unit_of, design.unit_of)
        self.seeds_differ = bool((self.n_same < self.n_all)[self.exchangeable].all())

    def variance(self, same: np.ndarray) -> np.ndarray:
        """Return the mean squared length of a sample [cells], from sums over pairs of one seed."""
        return np.trace(same, axis1=1, axis2=2) / self.n_samples

    def mean(self, every: np.ndarray) -> np.ndarray:
        """Return means over all pairs of seeds, from their sums."""
        return every / self.n_all

    def other_mean(self, every: np.ndarray, same: np.ndarray) -> np.ndarray:
        """Return means over pairs of other seeds, from sums over all pairs and over those of one seed.

        Over all pairs where prompts of two templates share their only seed.
        """
        if not self.seeds_differ:
            return self.mean(every)
        return (every - same) / np.maximum(self.n_all - self.n_same, 1)

    @property
    def compared(self) -> str:
        """The pairs that `other_mean` averages, for tables."""
        return "pairs of other seeds" if self.seeds_differ else "pairs of one seed: there is no other"


class Units:
    """Sums of matrices over the prompts of each two units: templates, or prompts where there are none."""

    def __init__(self, design: Design) -> None:
        self.design = design
        self.n = int(design.unit_of.max()) + 1

    @cached_property
    def _members(self) -> np.ndarray:
        return np.equal.outer(np.arange(self.n), self.design.unit_of).astype(float)  # [U, P]

    def sums(self, matrices: np.ndarray) -> np.ndarray:
        """Return [..., U, U] of matrices [..., P, P]."""
        return self._members @ matrices @ self._members.T if self.design.blocked else matrices

    def resampled(self, values: np.ndarray, mass: np.ndarray) -> np.ndarray:
        """Return means Σ values ÷ Σ mass in every bootstrap of the units: float32 [m, cells].

        Parameters
        ----------
        values : [cells, U, U] sums over pairs of units, symmetric.
        mass : [U, U] the numbers that were summed. A pair of two units counts as often as both were drawn,
            pairs within a unit as often as it was.

        Returns
        -------
        NaN where a resample holds no such pair.
        """
        i, j = np.triu_indices(self.n)
        twice = np.where(i == j, 1.0, 2.0)
        flat, total = (values[:, i, j] * twice).T.astype(np.float32), mass[i, j] * twice
        result = np.empty((len(self._counts), len(values)), np.float32)
        for rows in pieces(len(result), len(i)):
            weights = shared_once(self._counts[rows], i, j)
            n = weights @ total
            weights /= np.where(n > 0, n, np.nan)[:, None]
            np.matmul(weights.astype(np.float32), flat, out=result[rows])
        return result

    @cached_property
    def _counts(self) -> np.ndarray:
        """The count of each unit in each bootstrap, float64 [m, U]."""
        return self.design.bootstraps().units.astype(float)
