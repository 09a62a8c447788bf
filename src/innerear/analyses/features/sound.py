"""Correlate sparse features with the sound: in total, and beyond the effects of prompt and seed."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from innerear.statistics.design import Design
from innerear.statistics.design.flips import agreeing
from innerear.statistics.design.resampling import jackknife
from innerear.statistics.table import Maxima, blank, record, record_flip_null

SOUND, SOUND_BEYOND = "largest rank correlation with sound", "the same, beyond prompt and seed"
#: a feature must fire in so many prompts to be compared with the sound
FEWEST_PROMPTS = 5


def sound_rows(
    mean: np.ndarray, rate: np.ndarray, acoustics: pd.DataFrame, design: Design, why_not: str = ""
) -> tuple[pd.DataFrame, list[Maxima]]:
    """Correlate ranks of features with ranks of acoustic measures, in all and beyond prompt and seed.

    Parameters
    ----------
    mean, rate : [N, F] mean activation and firing rate of each clip in uncond. Features that fire in at
        least `FEWEST_PROMPTS` prompts are compared.
    acoustics : clip features of the sound: sample_id, feature, value.
    why_not : why nothing is tested.

    Returns
    -------
    Two rows per acoustic measure, of the feature that goes with it most:

    - *largest rank correlation with sound*: whole prompts are exchanged;
    - *beyond prompt and seed*: of what prompts, and seeds within templates, leave. Clips are permuted within
      prompts. The second p flips the signs of whole templates' covariances, and intervals are a jackknife
      over templates.

    p is of the largest correlation over the features, and `p_corrected` max-T over the measures too.
    """
    wide = acoustics.pivot(index="sample_id", columns="feature", values="value")
    wide = wide.reindex(design.samples["sample_id"]).dropna(axis=1)
    wide = wide.loc[:, wide.nunique() > 1]
    numbers = np.flatnonzero(in_enough_prompts(rate, design) & (mean.std(axis=0) > 0))
    if not len(numbers) or wide.empty:
        return pd.DataFrame(), []
    x, y = pd.DataFrame(mean[:, numbers]).rank().to_numpy(), wide.astype(float).rank().to_numpy()
    nothing = "" if len(design.seeds) > 1 else "one clip a prompt: nothing is left beyond the prompt"
    tables, maxima = [], []
    # What the null exchanges: whole prompts with their sound, or the clips of a prompt.
    prompts = "pairs", design.permutations(), f"{design.label}s"
    clips = "seeds", design.seed_permutations(), "clips permuted within prompts"
    for statistic, residuals, (of, orders, moved), reason in (
        (SOUND, np.eye(len(x)) - 1 / len(x), prompts, ""),
        (SOUND_BEYOND, _beyond(design), clips, nothing),
    ):
        reason = why_not or reason
        correlations = _correlations(x, y, residuals)  # [F, A]
        best = np.abs(correlations).argmax(axis=0)
        signed = correlations[best, np.arange(y.shape[1])]
        values = {"sound": wide.columns, "feature": numbers[best], "estimate": signed}
        fixed = {"branch": "uncond", "kind": "features", "measure": "mean activation", "statistic": statistic}
        table = blank(pd.DataFrame(values | fixed), design)
        tables.append(table)
        if reason:
            table["null"] = f"none: {reason}"
            continue
        null = np.stack([np.abs(_correlations(x[order], y, residuals)).max(axis=0) for order in orders])
        every, family = np.arange(len(table)), "features × acoustic measures of this layer"
        observed = np.abs(signed)
        maxima += record(
            table, every, design, observed, null, family=family, moved=moved, of=of, standardise=False
        )
        if statistic == SOUND_BEYOND:
            if design.n_templates:
                maxima += over_templates(
                    table, *_of_templates(residuals @ x, residuals @ y, design), best, design
                )
            else:
                table["interval"] = "none: no templates"
    return pd.concat(tables, ignore_index=True), maxima


def in_enough_prompts(rate: np.ndarray, design: Design) -> np.ndarray:
    """Return whether features with firing rates [N, F] fire in at least `FEWEST_PROMPTS` prompts, [F]."""
    fires = rate[design.rows].mean(axis=1) > 0  # [P, F]
    return fires.sum(axis=0) >= min(FEWEST_PROMPTS, design.n_prompts)


def _of_templates(x: np.ndarray, y: np.ndarray, design: Design) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return products [T, F, A] and squares [T, F], [T, A] of residuals x [N, F] and y [N, A].

    Prompts and seeds within templates were taken out, so that a template's residuals are its own.
    """
    of_template = [design.block_of[design.prompt_of] == one for one in range(design.n_templates)]
    products = np.stack([x[one].T @ y[one] for one in of_template])
    return products, [np.stack([(part[one] ** 2).sum(axis=0) for one in of_template]) for part in (x, y)]


def over_templates(
    table: pd.DataFrame,
    products: np.ndarray,
    squares: Sequence[np.ndarray],
    best: np.ndarray,
    design: Design,
    flipped: np.ndarray | None = None,
) -> list[Maxima]:
    """Write what single templates say of correlations: intervals, k, and p of sign flips.

    Parameters
    ----------
    table : a row per column A, of the feature that is chosen there.
    products, squares : [T, F, A], and [T, F] and [T, A], of features with the sound, of each template.
    best : [A] the chosen features.
    flipped : [T, F, A] what is flipped, where that is not the templates' share of the correlation.
    """
    size = np.sqrt(np.outer(*(part.sum(axis=0) for part in squares)))  # [F, A]
    parts = np.divide(products, size, out=np.zeros_like(products), where=size > 1e-9)
    rows = np.arange(len(best))
    chosen = parts[:, best, rows].T  # [A, T]
    table["k"] = agreeing(chosen[:, :, None] * chosen[:, None])
    n = design.n_templates
    if n > 2:
        left = [part.sum(axis=0) - part for part in squares]  # [T, F], [T, A]
        without = products.sum(axis=0)[best, rows] - products[:, best, rows]
        less = without / np.sqrt(np.maximum(left[0][:, best] * left[1], 1e-18))
        table["ci_lo"], table["ci_hi"], table["interval"] = jackknife(table["estimate"].to_numpy(), less)
    moved = parts if flipped is None else flipped
    largest = [np.abs(one @ moved.reshape(n, -1)).reshape(size.shape).max(axis=0) for one in design.flips()]
    return record_flip_null(table, rows, design, np.stack(largest), standardise=False)


def _correlations(x: np.ndarray, y: np.ndarray, remove: np.ndarray) -> np.ndarray:
    """Return correlations [F, A] of what a projector [N, N] leaves of x [N, F] and y [N, A]; else 0."""
    left, right = remove @ x, remove @ y
    sizes = np.outer(np.linalg.norm(left, axis=0), np.linalg.norm(right, axis=0))
    return np.divide(left.T @ right, sizes, out=np.zeros_like(sizes), where=sizes > 1e-9)


def _beyond(design: Design) -> np.ndarray:
    """Return the projector [N, N] that takes out prompts, and seeds within templates."""
    prompts = np.equal.outer(design.prompt_of, np.arange(design.n_prompts))
    groups = np.equal.outer(design.groups, np.unique(design.groups))
    both = np.hstack([prompts, groups]).astype(float)
    vectors, sizes, _ = np.linalg.svd(both, full_matrices=False)
    basis = vectors[:, sizes > 1e-9 * sizes[0]]
    return np.eye(design.n_samples) - basis @ basis.T
