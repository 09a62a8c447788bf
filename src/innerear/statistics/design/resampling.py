"""Bootstraps: resampled templates or prompts, crossed with resampled seeds where all share them.

Also the jackknife, which leaves one template out after the other.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from innerear.statistics.design.sheet import BOOTSTRAPS, Sheet
from innerear.statistics.significance import CONFIDENCE, T_INTERVAL


@dataclass(frozen=True)
class Bootstraps:
    """The counts of each unit (template or prompt) and each seed in each of m resamples, float32.

    `units` are [m, units] and `seeds` [m, R]; `unit_of` and `seed_of` [N] are those of each sample.
    """

    units: np.ndarray
    unit_of: np.ndarray
    seeds: np.ndarray
    seed_of: np.ndarray

    def __len__(self) -> int:
        return len(self.units)

    def samples(self) -> np.ndarray:
        """Return float32 [m, N], how often each resample holds each sample."""
        return self.units[:, self.unit_of] * self.seeds[:, self.seed_of]

    def pairs(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Return float32 [m, pairs], the weight of the pairs of samples i ≠ j in each resample.

        The product of the counts of the pair's units and of its seeds. What both samples share
        counts once: a template that was drawn twice holds two copies of a prompt's pair of seeds,
        not four, since samples of one copy are never compared with those of another.
        """
        seeds = shared_once(self.seeds, self.seed_of[i], self.seed_of[j])
        return shared_once(self.units, self.unit_of[i], self.unit_of[j]) * seeds


def shared_once(counts: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return [m, pairs] products of counts [m, n] of two units; a unit paired with itself counts once.

    Examples
    --------
    >>> shared_once(np.array([[2, 3]]), np.array([0, 0]), np.array([0, 1])).tolist()
    [[2, 6]]
    """
    return counts[:, one] * np.where(one == other, 1, counts[:, other])


def jackknife(estimate: Any, left: np.ndarray, units: str = "templates") -> tuple[Any, Any, str]:
    """Return the ends of 95 % intervals of estimates, and what they are.

    They reach as many standard errors as t of n − 1 degrees of freedom says, of n templates (Tukey 1958).

    Parameters
    ----------
    estimate : one, or [F].
    left : the same without one template each, [T] or [T, F]. Fewer than 3 give NaN and the reason.
    units : what is left out.

    Examples
    --------
    >>> low, high, what = jackknife(2.0, np.array([1.0, 2.0, 3.0]))
    >>> round(float(low), 2), round(float(high), 2), what
    (-2.97, 6.97, '95% t interval by a jackknife over 3 templates')
    """
    n = len(left)
    if n < 3:
        nothing = np.full(np.shape(estimate), np.nan)
        return nothing, nothing, f"none: fewer than 3 {units} to leave out"
    error = np.sqrt((n - 1) / n * ((left - left.mean(axis=0)) ** 2).sum(axis=0))
    margin = stdtrit(n - 1, (1 + CONFIDENCE) / 2) * error
    what = f"{CONFIDENCE:.0%} {T_INTERVAL} by a jackknife over {n} {units}"
    return estimate - margin, estimate + margin, what


class Resampling(Sheet):
    """A sheet with templates (or prompts) and seeds that can be resampled."""

    def bootstraps(self, m: int | None = None) -> Bootstraps:
        """Resample templates (without templates: the prompts of each label, or all with ratings), then seeds.

        Seeds that are crossed with all prompts are resampled too, one draw for all prompts. Where each
        template has its own, they are part of what differs between templates, and each is kept once:
        resampling them again would count their noise twice (Davison & Hinkley 1997, §3.8).
        """
        m = self.n_bootstraps if m is None else m
        rng = np.random.default_rng(self.stream(BOOTSTRAPS))
        unit, stratum = self.unit_of, np.zeros(self.n_prompts, int)
        if not (self.blocked or self.numeric):
            stratum = np.unique(self.prompt_labels, return_inverse=True)[1]
        units = np.zeros((m, int(unit.max()) + 1), np.float32)
        for one in np.unique(stratum):
            members = np.unique(unit[stratum == one])
            units[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=m)
        n_seeds = len(self.seeds)
        seeds = np.ones((m, n_seeds), np.float32)
        if not self.own_seeds:
            seeds[:] = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=m)
        return Bootstraps(units, unit[self.prompt_of], seeds, self.seed_of)

    @property
    def resampled(self) -> str:
        """The units that bootstraps resample, for captions."""
        return self.resampled_units if self.own_seeds else f"{self.resampled_units}, then seeds"

    @property
    def resampled_units(self) -> str:
        """The same of what only templates (or prompts) are resampled for."""
        prompts = "prompts" if self.numeric else f"the prompts of each {self.label}"
        return "templates" if self.blocked else prompts
