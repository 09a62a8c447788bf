"""Principal components of a layer, from its Gram matrices: how many, where samples lie, how prompts move.

Components are fitted on features averaged over the clip. Fitted on the steps themselves, smooth time
courses would yield oscillating components of their own making; here time enters only afterwards, when
bins are projected on the fitted axes.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from innerear.errors import InputError
from innerear.gram.reading import GramSource
from innerear.stacks.gram_file import Arrays, Coords
from innerear.statistics.design import Design

N_COMPONENTS = 10
# An eigenvalue below this share of the total is rounding: it has no direction.
_NOTHING = 1e-7


@dataclass(frozen=True)
class LayerComponents:
    """What `layer_components` returns.

    Attributes
    ----------
    table : scree, one row per branch and component; common columns.
    arrays, coords : `scores` [branch, sample, component] of the clip averages, and, where the Gram
        file holds bins, `trajectories` [branch, prompt, bin, component] of the prompt means, in the
        units of the features; `bin_seconds` [bin] (middle of each bin).
    """

    table: pd.DataFrame
    arrays: Arrays
    coords: Coords


def pca_from_gram(gram: np.ndarray, n_components: int) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of N samples from their centred Gram matrix.

    Parameters
    ----------
    gram : [N, N] centred inner products.
    n_components : how many scores to return.

    Returns
    -------
    variances : [N − 1] sum of squares along every component, descending, not negative.
    scores : [N, n_components] coordinates of the samples, zero along components without variance.
        Each is signed such that the entry of largest magnitude is positive.

    Notes
    -----
    X = U S Vᵀ gives X Xᵀ = U S² Uᵀ, so eigenvectors times root eigenvalues are the scores U S.
    """
    values, vectors = np.linalg.eigh(np.asarray(gram, float))
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    # One component fewer than samples: centring took a dimension.
    variances = values[: len(gram) - 1]
    kept = min(n_components, len(variances))
    real = variances[:kept] > _NOTHING * variances.sum()
    scores = np.zeros((len(gram), n_components))
    scores[:, :kept] = vectors[:, :kept] * np.sqrt(variances[:kept]) * real
    return variances, scores * _signs(scores)


def _signs(scores: np.ndarray) -> np.ndarray:
    """Return the sign of each column's entry of largest magnitude; of near ties, the first."""
    magnitude = np.abs(scores)
    first = (magnitude >= magnitude.max(axis=0) * (1 - 1e-6)).argmax(axis=0)
    return np.where(scores[first, np.arange(scores.shape[1])] < 0, -1.0, 1.0)


def parallel_analysis(features: np.ndarray, design: Design, m: int) -> np.ndarray:
    """Explained-variance ratios of data whose dimensions are unrelated (after Horn 1965).

    Every dimension is permuted by itself, whole prompts at a time: shuffling samples would break up
    the likeness of a prompt's seeds, and then any prompt effect would pass for a component. For the
    same reason prompts stay within their template, where templates are blocks: what the prompts of a
    template have in common is in the null too, and a component must go beyond it.

    Parameters
    ----------
    features : [N, D] of `design`'s samples.
    m : number of shuffles, which the design draws.

    Returns
    -------
    [m, N − 1] ratios of each component, descending.
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
    """Count the leading components that explain more than their threshold, both [components]."""
    above = ratios > threshold
    return int(above.size if above.all() else above.argmin())


def layer_components(
    gram: GramSource, design: Design, *, model: str, layer: int, n_permutations: int = 100
) -> LayerComponents:
    """Compute one layer's scree with parallel analysis, scores and prompt-mean trajectories.

    Parameters
    ----------
    gram : an open `GramFile` of `design`'s samples, in its order.
    design : gives the prompts, and the shuffles of the parallel analysis.
    model, layer : for the table's columns.
    n_permutations : shuffles of the parallel analysis.

    Returns
    -------
    See `LayerComponents`. In the table `estimate` is the explained-variance ratio, `null_median` and
    `null_95` those of unrelated dimensions, `n_components` how many leading components exceed
    `null_95`. The p of a component is its rank among the shuffles, and `p_corrected` is against the
    first component of each, which is the largest. A component beyond chance says that dimensions
    vary together over the prompts of a template, not why. Where templates differ much, the first
    components are theirs in the shuffles too, and the count errs towards too few. Components of
    states that are equal for all samples, or that cannot be shuffled, have no p, with the reason in
    `null`, and `n_components` is 0.

    Raises
    ------
    InputError: the Gram file holds other samples than the design, or in another order.
    """
    design.check_order(gram.coords("sample"))
    whole = [str(name) for name in gram.coords("window")].index("whole")
    branches = [str(name) for name in gram.coords("branch")]
    tables, scores, paths = [], [], []
    for number, branch in enumerate(branches):
        inner = gram.read("window_gram", branch=number, window=whole)
        variances, fitted = pca_from_gram(inner, N_COMPONENTS)
        means = gram.read("window_mean", branch=number, window=whole)
        null = parallel_analysis(means, design, n_permutations)
        tables.append(_scree(variances, null, design).assign(branch=branch))
        scores.append(fitted)
        if "bin_gram" in gram:
            paths.append(_trajectories(gram, number, fitted, design))
    table = pd.concat(tables, ignore_index=True).assign(
        model=model, layer=layer, window="whole", n_prompts=design.n_prompts
    )
    return LayerComponents(table.reindex(columns=_COLUMNS), *_arrays(gram, design, branches, scores, paths))


_COLUMNS = pd.Index(
    [
        *("model", "layer", "branch", "window", "statistic", "component", "estimate", "ci_lo", "ci_hi"),
        *(
            "null_median",
            "null_95",
            "n_components",
            "p",
            "p_corrected",
            "n_prompts",
            "n_perm",
            "min_p",
            "null",
            "family",
        ),
    ]
)


def _scree(variances: np.ndarray, null: np.ndarray, design: Design) -> pd.DataFrame:
    m, total = len(null), variances.sum()
    ratios = variances / total if total > 0 else np.full_like(variances, np.nan)
    table = pd.DataFrame(
        {"statistic": "explained-variance ratio", "component": np.arange(1, len(ratios) + 1)}
    ).assign(estimate=ratios, ci_lo=np.nan, ci_hi=np.nan)
    why_not = design.why_not(m, of="pairs") if total > 0 else "all samples are equal (deterministic)"
    if why_not:
        gaps = dict.fromkeys(("null_median", "null_95", "p", "p_corrected", "min_p"), np.nan)
        return table.assign(**gaps, n_components=0, n_perm=0, null=f"none: {why_not}", family="")
    largest = null.max(axis=1, keepdims=True)
    high = np.quantile(null, 0.95, axis=0)
    return table.assign(
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


def _trajectories(gram: GramSource, branch: int, scores: np.ndarray, design: Design) -> np.ndarray:
    """Project the prompt means of every bin on the axes of the clip averages, [P, bins, components].

    The axes are combinations of samples, V = Xᵀ U S⁻¹ with X the centred clip averages, which are
    themselves the bins' averages weighted by their steps. So the projection needs only `bin_gram`.
    """
    steps = np.asarray(gram.read("bin_steps"), float)
    n_bins, n_samples = len(steps), design.n_samples
    inner = gram.read("bin_gram", branch=branch).reshape(n_samples * n_bins, n_samples, n_bins)
    with_clips = inner @ (steps / steps.sum())  # [N * bins, N] bins times centred clip averages
    squares = (scores**2).sum(axis=0)  # S²
    axes = np.divide(scores, squares, out=np.zeros_like(scores), where=squares > 0)  # U S⁻¹
    # bins · V = bins · Xᵀ U S⁻¹, and scores = U S, so U S⁻¹ = scores / S²
    projected = (with_clips @ axes).reshape(n_samples, n_bins, -1)
    return projected[design.rows].mean(axis=1)


def _arrays(
    gram: GramSource, design: Design, branches: list[str], scores: list[np.ndarray], paths: list[np.ndarray]
) -> tuple[Arrays, Coords]:
    arrays: Arrays = {"scores": (("branch", "sample", "component"), np.array(scores, np.float32))}
    coords: Coords = {
        "branch": np.array(branches),
        "sample": np.asarray(gram.coords("sample")),
        "component": np.arange(1, N_COMPONENTS + 1),
    }
    if paths:
        start, steps = gram.read("bin_start"), gram.read("bin_steps")
        if "seconds" not in gram:
            raise InputError("the Gram file has bins but no 'seconds'; remake it with rule gram")
        seconds = gram.read("seconds")
        middle = (seconds[start] + seconds[start + steps - 1]) / 2
        arrays["trajectories"] = (("branch", "prompt", "bin", "component"), np.array(paths, np.float32))
        arrays["bin_seconds"] = (("bin",), middle.astype(np.float32))
        coords |= {"prompt": design.prompts, "bin": np.arange(len(steps), dtype=np.int32)}
    return arrays, coords
