"""Does another emotion's text make the clip's own tokens less likely?

A clip's codes were sampled under its own text. If they are more likely under it than under the texts of other
emotions, then not only the model's states but also its predictions depend on which text goes with the music.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd

from innerear.analyses.text_or_history.cells import (
    ReplayedTemplate,
    block_numbers,
    relabeled,
    replayed_templates,
)
from innerear.analyses.text_or_history.decomposition import NO_SWAPS
from innerear.analyses.text_or_history.shares import Resamples
from innerear.gram.reading import N_DECILES, GramSource
from innerear.statistics.design import Design
from innerear.statistics.design.template_contrasts import odd_flips
from innerear.statistics.finding import Finding
from innerear.statistics.significance import percentile_interval
from innerear.statistics.table import blank, columns, record, record_flip_null
from innerear.study.questions import QUESTIONS

NLL, COST, MISMATCH = "negative log-likelihood", "cost of another text", "mismatch"
ALL = "all"
_ESTIMATES = ["estimate", "ci_lo", "ci_hi"]
_USUAL = {"codebook": ALL, "window": "whole", "codes": "", "text_read": ""}
_COLUMNS = columns(
    *("weights", "distribution", "codebook", "window", "statistic", "codes", "text_read"),
    *(*_ESTIMATES, "interval"),
).drop("layer")


def likelihood_table(
    files: Mapping[str, GramSource], design: Design, *, model: str, weights: str
) -> pd.DataFrame:
    """Compare the likelihood of codes under every text of their template.

    Parameters
    ----------
    files : template → its open ``likelihood.h5``; design : of all clips, by emotion, of which those of
        these templates count.
    model : for the table's column.
    weights : of the model that read the clips: ``"trained"`` or ``"random_init"``.

    Returns
    -------
    In nats per token, averaged over templates, seeds and frames; `distribution` is cond, or guided (what
    codes were sampled from). With intervals of bootstraps of templates, then seeds:

    - negative log-likelihood of codes of emotion `codes` under `text_read`, and cost of another text: the
      same less that under the own text.
    - mismatch: mean cost of the texts of other emotions, by codebook and by tenth of the clip. Tested.
      Null: texts permuted within templates, codes fixed; max-T over distributions, codebooks and windows.
      `p_flip`: the sign of each template's mean cost flipped. Codes were sampled under their own text, so
      that in the guided distribution this cost is above 0 in expectation if the text changes anything at all.

    Raises
    ------
    InputError: files of other clips than the design's.
    """
    if files:
        design = design.of_templates(files)
        templates = replayed_templates(files, design)
        resamples = Resamples(templates)
        texts = [text for text in templates[0].texts if all(text in one.texts for one in templates)]
        whole, parts = zip(*(_means(one, texts) for one in templates), strict=True)
        frames = [
            *_matrix(np.stack(whole), templates, texts, resamples),
            _mismatch(np.stack(parts), templates, resamples),
        ]
        table = pd.concat(frames, ignore_index=True)
        table[_ESTIMATES] = table[_ESTIMATES].round(6)
    else:
        reason = f"none: {NO_SWAPS}"
        rows = {"distribution": ["cond"], "statistic": MISMATCH, "null": reason, "interval": reason}
        table = blank(_USUAL | rows, design)
    return table.assign(model=model, weights=weights).reindex(columns=_COLUMNS)


def _means(template: ReplayedTemplate, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Mean nll [R, E, B, dist], and of the emotions' texts [R, E, E, dist, 1 + K, windows]."""
    order = template.order.swapaxes(0, 1)[..., [template.texts.index(name) for name in texts]]  # [R, E, B]
    nll = template.gram.read("nll").astype(float)[order]  # [R, E, B, dist, K, T]
    core = nll[:, :, : len(template.emotions)]
    core = np.concatenate([core.mean(axis=-2, keepdims=True), core], axis=-2)
    tenths = np.array_split(core, N_DECILES, axis=-1) if core.shape[-1] >= N_DECILES else []
    windows = np.stack([part.mean(axis=-1) for part in (core, *tenths)], axis=-1)
    return nll.mean(axis=(-2, -1)), windows


def _estimated(
    places: Iterable[tuple[str, ...]], names: Sequence[str], values: np.ndarray, resamples: Resamples
) -> dict[str, object]:
    """Columns of values [T, R, ...], averaged over templates and seeds, at these named places."""
    estimate, boots = resamples.averaged(list(values.reshape(*values.shape[:2], -1)))
    low, high, interval = percentile_interval(estimate, boots, resamples.text)
    named = dict(zip(names, zip(*places, strict=True), strict=True))
    return {**_USUAL, **named, "estimate": estimate, "ci_lo": low, "ci_hi": high, "interval": interval}


def _matrix(
    values: np.ndarray, templates: Sequence[ReplayedTemplate], texts: Sequence[str], resamples: Resamples
) -> list[pd.DataFrame]:
    """Rows of the codes × text matrix, from values [T, R, E, B, dist]."""
    emotions, names = templates[0].emotions, ("codes", "text_read", "distribution")
    places = list(product(emotions, texts, templates[0].gram.labels("distribution")))
    own = np.arange(len(emotions))
    cost = values - values[:, :, own, own][:, :, :, None]
    why_not = "none: an estimate; mismatch is tested"
    return [
        blank(_estimated(places, names, one, resamples), templates[0].design, statistic=name, null=why_not)
        for name, one in ((NLL, values), (COST, cost))
    ]


def _mismatch(
    values: np.ndarray, templates: Sequence[ReplayedTemplate], resamples: Resamples
) -> pd.DataFrame:
    """Rows of the mean cost of other emotions' texts, from values [T, R, E, E, dist, 1 + K, windows]."""
    n_templates, n_seeds, n = values.shape[:3]
    first, design = templates[0].gram, templates[0].design
    windows = ["whole", *(f"decile_{i + 1}" for i in range(values.shape[-1] - 1))]
    places = product(first.labels("distribution"), [ALL, *first.labels("codebook")], windows)
    flat = values.reshape(n_templates, n_seeds, n, n, -1)
    own = np.einsum("traac->trac", flat).mean(axis=2)
    every = flat.mean(axis=(2, 3))
    # The mean off the diagonal less that on it: (n² every − n own) / (n² − n) − own.
    cost = (every - own) * n / (n - 1)  # [T, R, rows]
    found = _estimated(places, ("distribution", "codebook", "window"), cost, resamples)
    table = blank(found, design, statistic=MISMATCH)
    chosen = np.equal.outer(relabeled(templates), np.arange(n)).reshape(-1, n * n * n_templates) / (
        n * n_templates
    )
    null = every.mean(axis=(0, 1)) - chosen @ flat.mean(axis=1).reshape(n_templates * n * n, -1)
    record(
        table,
        np.arange(len(table)),
        design,
        table["estimate"].to_numpy(),
        null * n / (n - 1),
        moved="texts, codes staying,",
        of="pairs",
        family="distributions × codebooks × windows",
        why_not="no variance",
    )
    if not design.why_no_flips():
        by_template = cost.mean(axis=1)  # [T, rows]
        table["k"] = (by_template > 0).sum(axis=0)
        signs = odd_flips(design)[:, block_numbers(templates)]
        flipped = signs @ by_template / n_templates
        record_flip_null(table, np.arange(len(table)), design, flipped)
    return table


FINDINGS = (
    Finding(
        QUESTIONS["tokens"],
        "Yes: the text changes the next token by {effect} ({distribution}).",
        {"weights": "trained", "statistic": MISMATCH, "codebook": ALL, "window": "whole"},
        "likelihood_matrix",
        "likelihood",
        key="tokens",
        unit="nats",
        meaning="what a token of a clip costs more under another emotion's text than under its own; "
        "0 without an effect",
        aside="The clips were sampled from these texts, so this is a divergence of predictions under two "
        "texts; it does not ask whether the model notices that a text does not go with the music.",
        formula="mean of log p(token | own text) − log p(token | another emotion's text of the template)",
    ),
)
