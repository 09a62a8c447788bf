"""Does the model hear that a text does not go with the music? The likelihood of codes under each text.

A clip's codes were sampled under its own text. If they are likelier under that one than under those of other
emotions, the model's predictions, not its states alone, tell which text goes with the music.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from innerear.analyses.text_or_history.cells import ReplayedTemplate, check_alike, relabeled
from innerear.analyses.text_or_history.shares import Resamples
from innerear.gram.reading import N_DECILES, GramSource
from innerear.statistics.design import Design
from innerear.statistics.significance import against_null, percentile_interval, record

NLL, COST, MISMATCH = "negative log-likelihood", "cost of another text", "mismatch"
ALL = "all"


def likelihood_table(
    files: Mapping[str, GramSource],
    design: Design,
    *,
    model: str,
    listener: str,
    n_permutations: int = 1000,
    n_bootstraps: int = 1000,
) -> pd.DataFrame:
    """Compare the likelihood of codes under every text of their template.

    Parameters
    ----------
    files : template → its open ``likelihood.h5``.
    design : of all clips, by emotion.
    model, listener : for the table's columns.
    n_permutations, n_bootstraps : rows of the design's tables to use.

    Returns
    -------
    In nats per token, averaged over templates, seeds and frames; `distribution` is cond, or guided, which
    codes were sampled from. With intervals of bootstraps of templates, then seeds:

    - negative log-likelihood of codes of emotion `codes` under `text_read`, and cost of another text: the
      same less that under the own text.
    - mismatch: mean cost of the texts of other emotions, by codebook and by tenth of the clip. Tested:
      texts change places within a template, codes stay; max-T over all of it.

    Raises
    ------
    InputError: files of other clips than the design's.
    """
    common = {"model": model, "listener": listener, "n_prompts": design.n_prompts}
    if not files:
        why_not = (
            "none: no texts were swapped: counterfactual is off, or no template holds every emotion once"
        )
        row = _row(statistic=MISMATCH, distribution="cond", interval=why_not, null=why_not)
        return pd.DataFrame([row | common]).reindex(columns=_COLUMNS)
    by_name = {name: ReplayedTemplate(file, design) for name, file in files.items()}
    check_alike(by_name)
    templates = list(by_name.values())
    resamples = Resamples(design, templates, n_bootstraps)
    first = templates[0].gram
    distributions = [str(name) for name in first.coords("distribution")]
    texts = [text for text in templates[0].texts if all(text in one.texts for one in templates)]
    whole, parts = zip(*(_means(one, templates[0].emotions, texts) for one in templates), strict=True)
    frames = _matrix(np.stack(whole), templates[0].emotions, texts, distributions, resamples)
    codebooks = [ALL, *(str(k) for k in first.coords("codebook"))]
    windows = ["whole", *(f"decile_{i + 1}" for i in range(parts[0].shape[-1] - 1))]
    names = [(d, k, w) for d in distributions for k in codebooks for w in windows]
    frames.append(_mismatch(np.stack(parts), names, templates, design, resamples, n_permutations))
    table = pd.concat(frames, ignore_index=True).assign(**common)
    table[["estimate", "ci_lo", "ci_hi"]] = table[["estimate", "ci_lo", "ci_hi"]].round(6)
    return table.reindex(columns=_COLUMNS)


_COLUMNS = pd.Index(
    [
        *("model", "listener", "distribution", "codebook", "window", "statistic", "codes", "text_read"),
        *("estimate", "ci_lo", "ci_hi", "interval", "p", "p_corrected", "score"),
        *("n_prompts", "n_perm", "min_p", "null", "family"),
    ]
)


def _row(**columns: object) -> dict[str, object]:
    names = ("estimate", "ci_lo", "ci_hi", "p", "p_corrected", "score", "min_p")
    row: dict[str, object] = dict.fromkeys(names, np.nan)
    row |= {"codebook": ALL, "window": "whole", "codes": "", "text_read": "", "n_perm": 0, "family": ""}
    return row | {"interval": "", "null": "none: an estimate; mismatch is tested"} | columns


def _means(
    template: ReplayedTemplate, emotions: list[str], texts: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean nll [R, E, B, dist], and of the emotions' texts [R, E, E, dist, 1 + K, windows]."""
    rows = [template.emotions.index(name) for name in emotions]
    columns = [template.texts.index(name) for name in texts]
    order = template.order.swapaxes(0, 1)[:, np.array(rows)[:, None], columns]  # [R, E, B]
    nll = template.gram.read("nll").astype(float)[order]  # [R, E, B, dist, K, T]
    core = nll[:, :, : len(emotions)]
    core = np.concatenate([core.mean(axis=-2, keepdims=True), core], axis=-2)
    n_deciles = N_DECILES if core.shape[-1] >= N_DECILES else 0
    tenths = np.array_split(core, n_deciles, axis=-1) if n_deciles else []
    windows = np.stack([part.mean(axis=-1) for part in (core, *tenths)], axis=-1)
    return nll.mean(axis=(-2, -1)), windows


def _resampled(values: np.ndarray, resamples: Resamples) -> np.ndarray:
    """Average values [T, R, cells] over every bootstrap, [m, cells]."""
    return resamples.pooled([resamples.seeds @ one for one in values])[: resamples.n]


def _matrix(
    values: np.ndarray,
    emotions: list[str],
    texts: list[str],
    distributions: list[str],
    resamples: Resamples,
) -> list[pd.DataFrame]:
    """Rows of the codes × text matrix, from values [T, R, E, B, dist]."""
    own = values[:, :, np.arange(len(emotions)), np.arange(len(emotions))][:, :, :, None]
    frames = []
    for name, one in ((NLL, values), (COST, values - own)):
        flat = one.reshape(*one.shape[:2], -1)
        estimate = flat.mean(axis=(0, 1))
        low, high, interval = percentile_interval(estimate, _resampled(flat, resamples), resamples.text)
        cells = [(a, b, d) for a in emotions for b in texts for d in distributions]
        rows = [
            _row(statistic=name, codes=a, text_read=b, distribution=d, interval=interval) for a, b, d in cells
        ]
        frames.append(pd.DataFrame(rows).assign(estimate=estimate, ci_lo=low, ci_hi=high))
    return frames


def _mismatch(
    values: np.ndarray,
    names: list[tuple[str, str, str]],
    templates: list[ReplayedTemplate],
    design: Design,
    resamples: Resamples,
    m: int,
) -> pd.DataFrame:
    """Rows of the mean cost of other emotions' texts, from values [T, R, E, E, dist, 1 + K, windows]."""
    n_templates, n_seeds, n = values.shape[:3]
    flat = values.reshape(n_templates, n_seeds, n, n, -1)
    own = np.einsum("traac->trac", flat).mean(axis=2)
    every = flat.mean(axis=(2, 3))
    # Off the diagonal less on it: (n² every − n own) / (n² − n) − own.
    cost = (every - own) * n / (n - 1)  # [T, R, cells]
    estimate = cost.mean(axis=(0, 1))
    low, high, interval = percentile_interval(estimate, _resampled(cost, resamples), resamples.text)
    rows = [_row(statistic=MISMATCH, distribution=d, codebook=k, window=w) for d, k, w in names]
    table = pd.DataFrame(rows).assign(estimate=estimate, ci_lo=low, ci_hi=high, interval=interval)
    moved = relabeled(templates, design, m)  # [m, T, E]
    weights = np.equal.outer(moved, np.arange(n)).reshape(m, -1) / (n * n_templates)
    null = (
        (every.mean(axis=(0, 1)) - weights @ flat.mean(axis=1).reshape(n_templates * n * n, -1)) * n / (n - 1)
    )
    min_p = design.smallest_p(m, of="pairs")
    record(
        table,
        np.arange(len(table)),
        against_null(estimate, null, smallest=min_p),
        min_p=min_p,
        null=design.null_text(m, "texts, codes staying,"),
        family="distributions × codebooks × windows",
        why_not=[design.why_not(m, of="pairs") or "no variance"] * len(table),
    )
    return table
