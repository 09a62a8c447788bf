"""Claims: corrections over a page of questions, bounds of effects, and levels of certainty."""

from math import sqrt

import numpy as np
from scipy.special import ndtri, stdtrit  # scipy.stats takes longer to import than most jobs compute

from innerear.statistics.significance import ALPHA, CONFIDENCE
from innerear.study.power import FEWEST_TEMPLATES, smallest_flip_p

ESTABLISHED, SENTENCES = "established", "established for these sentences"
NOT_ESTABLISHED, NOT_TESTED = "not established", "not tested"


def holm(p: np.ndarray) -> np.ndarray:
    """Correct p [n] after Holm (1979): the chance of any false claim among them is at most the p.

    A NaN counts as one of the n, since the questions were named before it was known.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, np.nan])).tolist()
    [0.03, 0.08, nan]
    """
    p = np.asarray(p, float)
    order = np.argsort(np.nan_to_num(p, nan=np.inf), kind="stable")
    steps = p[order] * np.arange(len(p), 0, -1)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.fmax.accumulate(steps), 1) if len(p) else steps
    return np.where(np.isnan(p), np.nan, corrected)


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Correct p [n] after Benjamini and Hochberg (1995); NaN were not tested and are not counted.

    Examples
    --------
    >>> benjamini_hochberg(np.array([0.01, 0.5, np.nan, 0.02])).tolist()
    [0.03, 0.5, nan, 0.03]
    """
    corrected = np.array(p, float)
    tested = np.flatnonzero(~np.isnan(corrected))
    largest_first = tested[np.argsort(-corrected[tested])]
    steps = corrected[largest_first] * (len(tested) / np.arange(len(tested), 0, -1))
    corrected[largest_first] = np.minimum.accumulate(steps)
    return corrected


def level(p: float, p_flip: float) -> str:
    """Say how far an answer reaches, from its corrected p of permutations and of sign flips of templates.

    Examples
    --------
    >>> level(0.01, 0.03), level(0.01, float("nan")), level(0.2, 0.01)
    ('established', 'established for these sentences', 'not established')
    """
    if not p <= ALPHA:
        return NOT_ESTABLISHED
    return ESTABLISHED if p_flip <= ALPHA else SENTENCES


def why_no_flips(n_templates: float) -> str:
    """Say why there is no p of sign flips."""
    if n_templates < FEWEST_TEMPLATES:
        least = smallest_flip_p(n_templates)
        count = "one template" if n_templates == 1 else f"{n_templates:.0f} templates"
        reach = f", whose sign flips cannot reach a p below {least:.2g}" if least > ALPHA else ""
        return f"there are {count}{reach}" if n_templates >= 1 else "there are no templates"
    return "this analysis has no sign flips of templates"


def upper_bound(
    estimate: np.ndarray, ci_hi: np.ndarray, n_templates: float, *, by_t: np.ndarray | bool = False
) -> np.ndarray:
    """Return one-sided 95 % bounds of effects, from the upper ends of their 95 % intervals.

    Percentile intervals of T resampled templates are too short: their half width is z √(1 − 1/T) standard
    errors, and a one-sided bound needs t of T − 1 degrees of freedom. The distance from the estimate to
    the end is scaled accordingly: × 1.22 at T = 5, × .99 at T = 10, × .84 for many. That of intervals `by_t`
    is t standard errors already. Without templates the end is the bound.
    """
    estimate, ci_hi = np.asarray(estimate, float), np.asarray(ci_hi, float)
    if not n_templates >= 2:
        return ci_hi
    two_sided, free = (1 + CONFIDENCE) / 2, n_templates - 1
    ends = np.where(by_t, stdtrit(free, two_sided), ndtri(two_sided) * sqrt(1 - 1 / n_templates))
    return estimate + (ci_hi - estimate) * stdtrit(free, CONFIDENCE) / ends
