"""Does the answer hang on a choice of the analysis? The headline effect under all of them.

Time-averaged states can be taken as they are or divided by their spread over units, as LayerNorm does; left
raw, centred or z-scored over clips; averaged over the whole clip or a tenth; and compared by distance, cosine
or probe. Each row is one way to ask whether states differ between labels (a multiverse, Steegen et al. 2016).
"""

from itertools import product

import numpy as np
import pandas as pd

from innerear.gram.reading import WINDOWS, GramSource
from innerear.statistics.design import Design
from innerear.statistics.design.prompt_pairs import PromptPairs
from innerear.statistics.design.template_contrasts import label_contrasts
from innerear.statistics.label_distance import Distance, permuted_sums
from innerear.statistics.ridge.probes import centred_targets, held_out_operators
from innerear.statistics.table import INTERVAL, LayerResult, blank, columns, record, record_flips

NORMALISED = "LayerNorm"
SPACES = "as recorded", NORMALISED
SCALES = RAW, CENTRED, STANDARDISED = "raw (diagnostic)", "centred", "z-scored"
MEASURES = DISTANCE, COSINE, PROBE = "distance", "cosine", "probe"
#: columns that name one way of analysing
CHOICES = ("space", "scale", "window", "statistic")
MAP_COLUMNS = ("branch",)
FAMILY = "layers × choices of {branch}"
COLUMNS = columns("branch", *CHOICES, *INTERVAL, "interval")
# Spread below this share of the largest is rounding.
_NOTHING = 1e-6


def of_layer(gram: GramSource, design: Design) -> LayerResult:
    """Test the difference between labels in every way, one-sided, by permuting labels within templates.

    Returns
    -------
    A row per branch, space, scale, window and measure, from prompts' means over seeds:

    - *distance*: cross-validated squared distance of labels over folds of whole templates, in units of the
      prompts' variance. The only one with `p_flip` and `k`: flips of templates' signs need each template's
      contrasts by itself, which centring or a probe on all templates mixes;
    - *cosine*: mean cosine of two prompts of one label less that of two labels, of different templates; for
      ratings the slope of the cosine on nearness. Raw cosines are a diagnostic;
    - *probe*: evidence of a ridge probe on held-out templates. Distance and probe do not depend on centring,
      and have no raw row.

    `score`, the estimate in standard deviations of its own permutation null, puts all on one axis. There are
    no intervals: choices are compared in these units. `p_corrected` and `p_flip_corrected` are max-T over all
    rows of a branch.
    """
    windows = [window for window in WINDOWS if window in gram.labels("window")]
    forms, rows, matrices = _Forms(design.of_prompts()), [], []
    for branch in gram.labels("branch"):
        for space, scale, window in product(SPACES, SCALES, windows):
            states = _states(gram.read("window_mean", branch=branch, window=window), space, scale, design)
            for measure in MEASURES if scale != RAW else (COSINE,):
                rows.append((branch, space, scale, window, measure))
                matrices.append(forms.matrix(states, measure))
    table = pd.DataFrame(rows, columns=["branch", *CHOICES])
    measures, every = table["statistic"].to_numpy(str), np.stack(matrices)
    observed, *null = forms.values(every, measures)
    agreement = forms.agreement(every, measures)
    table = blank(table, design, estimate=observed, interval="none: choices are compared by their score")
    maxima, why_not = [], "folds or the variance of prompts do not allow it"
    for branch in gram.labels("branch"):
        mine = np.flatnonzero(table["branch"] == branch)
        of = observed[mine], np.reshape(null, (len(null), -1))[:, mine]
        maxima += record(table, mine, design, *of, family="choices of this layer", why_not=why_not)
        maxima += record_flips(table, mine, design, agreement[mine])
    return LayerResult(table, maxima=maxima)


def _states(states: np.ndarray, space: str, scale: str, design: Design) -> np.ndarray:
    """Return prompts' means [P, D] of states [N, D] in one space, on one scale."""
    x = states.astype(float)
    if space == NORMALISED:
        x = x - x.mean(axis=1, keepdims=True)
        x = _divided(x, x.std(axis=1, keepdims=True))
    if scale != RAW:
        x = x - x.mean(axis=0)
    if scale == STANDARDISED:
        x = _divided(x, x.std(axis=0, keepdims=True))
    return x[design.rows].mean(axis=1)


def _divided(x: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Divide by a spread; 0 where it is none."""
    return np.divide(x, spread, out=np.zeros_like(x), where=spread > _NOTHING * spread.max(initial=0))


class _Forms:
    """The measures, each a linear form of one P × P matrix, so that relabelings of all rows are one product.

    `design` is of the prompts' means.
    """

    def __init__(self, design: Design) -> None:
        self.design = design
        self.relabelings = np.vstack([np.arange(design.n_prompts), design.prompt_permutations()])
        targets = centred_targets(design)
        self.weights = {COSINE: _alike(design), PROBE: targets @ targets.T / design.n_prompts}
        if design.blocked:
            self.weights[DISTANCE] = Distance(design).weights
        self.contrasts = label_contrasts(design).swapaxes(0, 1)  # [Q, T, P]

    def matrix(self, states: np.ndarray, measure: str) -> np.ndarray:
        """Return what a measure of prompts' states [P, D] is linear in, [P, P]; NaN where there is none."""
        if measure == COSINE:
            unit = _divided(states, np.linalg.norm(states, axis=1, keepdims=True))
            return unit @ unit.T
        kernel = _kernel(states)
        if not kernel.any() or not self.design.blocked or not self.weights[measure].any():
            return np.full_like(kernel, np.nan)
        return kernel if measure == DISTANCE else held_out_operators(kernel[None], self.design)[0]

    def values(self, matrices: np.ndarray, measures: np.ndarray) -> np.ndarray:
        """Return the measures of matrices [rows, P, P], observed and under relabelings, [1 + m, rows]."""
        found = np.full((len(self.relabelings), len(matrices)), np.nan)
        for measure, weights in self.weights.items():
            mine = measures == measure
            found[:, mine] = permuted_sums(weights, matrices[mine], self.relabelings)
        return found

    def agreement(self, matrices: np.ndarray, measures: np.ndarray) -> np.ndarray:
        """Products of templates' contrasts between labels, [rows, T, T]; NaN but for the distance."""
        found = sum(one @ matrices @ one.T for one in self.contrasts)
        return np.where((measures == DISTANCE)[:, None, None], found, np.nan)


def _kernel(states: np.ndarray) -> np.ndarray:
    """Inner products [P, P] of states [P, D] about their mean, of mean square 1; 0 without variance."""
    centred = states - states.mean(axis=0)
    kernel = centred @ centred.T
    size = np.trace(kernel) / len(kernel)
    return kernel / size if size > 0 else np.zeros_like(kernel)


def _alike(design: Design) -> np.ndarray:
    """Weights [P, P] of cosines: pairs of one label less pairs of two; for ratings, the slope on nearness."""
    pairs = PromptPairs(design).exchangeable
    near = -np.abs(design.targets - design.targets.T) if design.numeric else design.targets @ design.targets.T
    near = np.where(pairs, near - near[pairs].mean(), 0) if pairs.any() else np.zeros(pairs.shape)
    size = (near**2).sum()
    return near / size if size > 0 else np.full(near.shape, np.nan)
