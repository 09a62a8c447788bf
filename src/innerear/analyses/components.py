"""Principal components of a layer's states: their number, scores of samples, and paths of prompts.

Components are fitted on averages over the clip, and time bins are projected on their axes. Components of
the steps themselves would oscillate, because smooth time courses always yield such components.
"""

import numpy as np
import pandas as pd

from innerear.gram.reading import GramSource, centred_states
from innerear.gram.time_bins import bin_means, bin_seconds
from innerear.statistics.design import Design
from innerear.statistics.finding import Finding
from innerear.statistics.table import INTERVAL, LayerResult, blank, columns

N_COMPONENTS = 10
SHARE = "explained-variance ratio"
# An eigenvalue below this share of the total is rounding: it has no direction.
_NOTHING = 1e-7


def principal_components(states: np.ndarray, n_components: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the principal components of N samples from their states [N, D] about their mean.

    X = U S Vᵀ gives X Xᵀ = U S² Uᵀ and Xᵀ X = V S² Vᵀ; the smaller of the two is decomposed. The scores are
    U S = X V.

    Returns
    -------
    variances : [N − 1] sum of squares along every component, descending, not negative.
    scores : [N, n_components] coordinates of the samples, zero along components without variance.
        Each is signed such that the entry of largest magnitude is positive.

    Examples
    --------
    >>> x = np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    >>> principal_components(x, 2)[0].round(6).tolist()
    [18.0, 2.0, 0.0]
    """
    n_samples, n_dimensions = states.shape
    by_sample = n_samples <= n_dimensions
    values, vectors = np.linalg.eigh(states @ states.T if by_sample else states.T @ states)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    # One component fewer than samples: centring took a dimension.
    variances = np.zeros(n_samples - 1)
    found = min(len(values), n_samples - 1)
    variances[:found] = values[:found]
    kept = min(n_components, found)
    real = variances[:kept] > _NOTHING * variances.sum()
    scores = np.zeros((n_samples, n_components))
    along = vectors[:, :kept]
    scores[:, :kept] = (along * np.sqrt(variances[:kept]) if by_sample else states @ along) * real
    return variances, scores * signs(scores)


def signs(scores: np.ndarray) -> np.ndarray:
    """Return the sign of each column's entry of largest magnitude; of near ties, that of the first.

    Examples
    --------
    >>> signs(np.array([[1.0, -2.0], [-3.0, 2.0]])).tolist()
    [-1.0, -1.0]
    """
    magnitude = np.abs(scores)
    first = (magnitude >= magnitude.max(axis=0) * (1 - 1e-6)).argmax(axis=0)
    return np.where(scores[first, np.arange(scores.shape[1])] < 0, -1.0, 1.0)


def parallel_analysis(features: np.ndarray, design: Design, m: int) -> np.ndarray:
    """Return explained-variance ratios of data whose dimensions are unrelated (after Horn 1965).

    Each dimension of features [N, D] is permuted by itself, whole prompts at a time. Shuffling samples would
    break up the similarity of a prompt's seeds, and any prompt effect would pass for a component. For the
    same reason prompts stay within their template where templates are blocks: the null holds what the prompts
    of a template have in common, and a component must go beyond it. Of m shuffles, return the ratios [m, N −
    1] of each component, descending.
    """
    features = np.asarray(features, np.float32)
    features = features - features.mean(axis=0)
    total = float((features.astype(float) ** 2).sum())
    n_samples, n_dimensions = features.shape
    ratios = np.zeros((m, n_samples - 1))
    for k, table in enumerate(design.shuffles(m if total > 0 else 0, n_dimensions)):
        shuffled = np.take_along_axis(features, table, axis=0)
        small = shuffled @ shuffled.T if n_samples <= n_dimensions else shuffled.T @ shuffled
        values = np.maximum(np.linalg.eigvalsh(small)[::-1], 0)[: n_samples - 1]
        ratios[k, : len(values)] = values / total
    return ratios


def n_beyond(ratios: np.ndarray, threshold: np.ndarray) -> int:
    """Count the leading components that explain more than their threshold, both [components].

    Examples
    --------
    >>> n_beyond(np.array([0.5, 0.1, 0.3]), np.array([0.2, 0.2, 0.2]))
    1
    """
    above = ratios > threshold
    return int(above.size if above.all() else above.argmin())


def of_layer(gram: GramSource, design: Design, n_shuffles: int = 100) -> LayerResult:
    """Compute one layer's scree with parallel analysis of so many shuffles, scores and trajectories.

    Returns
    -------
    A row per branch and component; and arrays: `scores` [branch, sample, component] of the clip averages,
    `trajectories` [branch, prompt, bin, component] of the prompt means, both in the units of the features,
    and `bin_seconds` [bin], the middle of each bin.

    In the table `estimate` is the explained-variance ratio, `null_median` and `null_95` are those of
    unrelated dimensions, and `n_components` is how many leading components exceed `null_95`. The p of a
    component is its rank among the shuffles; `p_corrected` is its rank among their first components, the
    largest ones. A component beyond chance says that dimensions vary together over the prompts of a
    template, not why. If templates differ much, their components are in the shuffles too, and the count
    errs towards too few. Components of states that are equal for all samples, or that cannot be shuffled,
    have no p, with the reason in `null`, and `n_components` is 0.
    """
    branches, tables, scores, paths = gram.labels("branch"), [], [], []
    for branch in branches:
        means = gram.read("window_mean", branch=branch, window="whole")
        variances, fitted = principal_components(centred_states(means)[0], N_COMPONENTS)
        null = parallel_analysis(means, design, n_shuffles)
        tables.append(_scree(variances, null, design).assign(branch=branch))
        scores.append(fitted)
        bins = bin_means(gram.read("bin_mean", branch=branch), design.rows)
        paths.append(_trajectories(bins, means, fitted))
    seconds = bin_seconds(gram).astype(np.float32)
    return LayerResult(
        pd.concat(tables, ignore_index=True).assign(window="whole"),
        arrays={
            "scores": (("branch", "sample", "component"), np.array(scores, np.float32)),
            "trajectories": (("branch", "prompt", "bin", "component"), np.array(paths, np.float32)),
            "bin_seconds": (("bin",), seconds),
        },
        coords={
            "branch": np.array(branches),
            "sample": np.asarray(gram.coords("sample")),
            "component": np.arange(1, N_COMPONENTS + 1),
            "prompt": design.prompts,
            "bin": np.arange(len(seconds), dtype=np.int32),
        },
    )


COLUMNS = columns(
    *("branch", "window", "statistic", "component", *INTERVAL, "null_median", "null_95", "n_components")
).drop("score")


def _scree(variances: np.ndarray, null: np.ndarray, design: Design) -> pd.DataFrame:
    """Rows of the components, from their variances [components] and ratios under the null [m, components]."""
    m, total = len(null), variances.sum()
    ratios = variances / total if total > 0 else np.full_like(variances, np.nan)
    rows = {"component": np.arange(1, len(ratios) + 1), "statistic": SHARE, "estimate": ratios}
    why_not = design.why_not(m, of="pairs") if total > 0 else "all samples are equal (deterministic)"
    if why_not:
        return blank(rows, design, n_components=0, null=f"none: {why_not}")
    largest, high = null.max(axis=1, keepdims=True), np.quantile(null, 0.95, axis=0)
    return blank(
        rows,
        design,
        null_median=np.median(null, axis=0),
        null_95=high,
        n_components=n_beyond(ratios, high),
        p=(1 + (null >= ratios).sum(axis=0)) / (m + 1),
        p_corrected=(1 + (largest >= ratios).sum(axis=0)) / (m + 1),
        n_perm=m,
        min_p=1 / (m + 1),
        null=design.moved("each dimension by itself"),
        family="components of this layer and branch",
    )


def _trajectories(bins: np.ndarray, clips: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Project prompt means of every bin [bins, P, D] on the axes of the clip averages, [P, bins, components].

    The axes are combinations of samples, V = Xᵀ U S⁻¹ with X the centred clip averages [N, D].
    """
    squares = (scores**2).sum(axis=0)  # S²
    # scores = U S, so U S⁻¹ = scores / S²
    combined = np.divide(scores, squares, out=np.zeros_like(scores), where=squares > 0)
    centred = clips.astype(float) - clips.mean(axis=0, dtype=float)
    return (bins @ (centred.T @ combined)).swapaxes(0, 1)


FINDINGS = (
    Finding(
        "Do the dimensions of the states vary together?",
        "Over the layers of uncond the first component holds {range} of the variance; in the median "
        "layer ({layer}) {n_components} components go beyond unrelated dimensions.",
        {"branch": "uncond", "component": 1},
        "scree",
        tested=False,
        meaning="share of the first principal component of the time-averaged states, of the median layer",
        aside="This is about dimensions, not about {contrasts}.",
        formula="λ₁ ÷ Σ λ, of the covariance of the clips' mean states",
    ),
)
