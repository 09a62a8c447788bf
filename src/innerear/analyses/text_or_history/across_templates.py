"""Effects of text and history that are shared across templates, from seed means.

Within one template an emotion is one word in one sentence. What an emotion's text (or its clips) does in one
template is multiplied with what it does in *another*: only what templates share is left.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from innerear.analyses.text_or_history.cells import (
    HISTORY,
    INTERACTION,
    NO_TEXT,
    TEXT,
    PairProducts,
    ReplayedTemplate,
    complete_steps,
    joined,
    pair_products,
    relabeled,
)
from innerear.statistics.probes import held_out_operators

DELTA = "delta"
#: (trained on, tested on) of the probes
PROBES = ((HISTORY, HISTORY), (TEXT, TEXT), (DELTA, DELTA), (HISTORY, TEXT), (TEXT, HISTORY))


def deviations(mean: np.ndarray) -> dict[str, np.ndarray]:
    """Return text [..., E, D], history [..., E, D] and interaction [..., E², D] of cells [..., E, E, D].

    Deviations from the mean of the E × E cells, scaled: their squared lengths sum to a mean over cells.
    """
    n = mean.shape[-2]
    about = mean - mean.mean(axis=(-3, -2), keepdims=True)
    history, text = about.mean(axis=-2), about.mean(axis=-3)
    rest = about - history[..., :, None, :] - text[..., None, :, :]
    rest = rest.reshape(*mean.shape[:-3], n * n, mean.shape[-1])
    return {TEXT: text / n**0.5, HISTORY: history / n**0.5, INTERACTION: rest / n}


def general_codes(
    templates: Sequence[ReplayedTemplate],
) -> tuple[dict[str, PairProducts], dict[str, np.ndarray]]:
    """Read the seed means of two or more templates of the same emotions, and multiply across templates.

    Returns
    -------
    products : component → `PairProducts` of templates, of the complete steps, then the windows.
    windows : HISTORY, TEXT, DELTA → deviations [W, T, E, D] from the template's mean, of the windows.
    """
    first = templates[0].gram
    size, parts = len(templates) * first.read("cell_mean", step=slice(0, 1)).size, []
    for span, kept in complete_steps(first, size):
        means = [_cells(one, "cell_mean", step=span)[0][kept] for one in templates]
        of_steps = deviations(np.stack(means, axis=1))  # [S, T, Q, D]
        parts.append({name: pair_products(one) for name, one in of_steps.items()})
    means, deltas = zip(*(_cells(one, "window_cell_mean") for one in templates), strict=True)
    windows = deviations(np.stack(means, axis=1))  # [W, T, Q, D]
    parts.append({name: pair_products(one) for name, one in windows.items()})
    delta = np.stack(deltas, axis=1)
    del windows[INTERACTION]
    return joined(parts), windows | {DELTA: delta - delta.mean(axis=2, keepdims=True)}


def _cells(template: ReplayedTemplate, name: str, **where: slice) -> tuple[np.ndarray, np.ndarray]:
    """Seed means of cells [times, E, E, D], and of delta under the own text."""
    stored, rows = template.gram.read(name, **where).astype(float), template.rows  # [times, E, B, D]
    texts = template.gram.labels("text_of_all")
    own = [texts.index(name) for name in template.named]
    return stored[:, rows[:, None], own], stored[:, rows, own] - stored[:, rows, texts.index(NO_TEXT)]


def cross_probes(
    windows: Mapping[str, np.ndarray], templates: Sequence[ReplayedTemplate]
) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Fit ridge probes of emotions on one kind of deviations, and name the emotions of another.

    They are fitted on all templates but one, and judged on that one; chance is 1/E. Within one kind, the null
    relabels prompts within templates. Between two kinds, each may have a code of its own that all templates
    share. The null then renames the emotions of the tested kind, alike in all templates: is it the *same*
    code?

    Parameters
    ----------
    windows : from `general_codes`; templates : in the order of its axis T.

    Yields
    ------
    The two kinds of each of `PROBES`, balanced accuracy by template [T, W], and the null of its mean [m, W].
    """
    emotions, design = templates[0].emotions, templates[0].design
    samples = design.rows[np.concatenate([one.prompts for one in templates]), 0]  # one for each prompt, [P]
    order, means = np.argsort(samples), design.subset(samples)
    features = {name: one.reshape(len(one), len(order), -1)[:, order] for name, one in windows.items()}
    label = means.targets.argmax(axis=1)  # [P], of the sorted emotions
    number = np.unique(emotions, return_inverse=True)[1]
    moved = number[relabeled(templates)].reshape(-1, len(order))[:, order]  # [m, P]
    renamed = design.renamings(design.n_permutations)[:, label]  # [m, P]
    for trained, tested in PROBES:
        left, right = features[tested], features[trained]
        operators = held_out_operators(right @ right.swapaxes(1, 2), means, left @ right.swapaxes(1, 2))
        said = (operators @ means.targets).argmax(axis=-1)  # [W, P]
        if trained == tested:
            scores = operators[:, None] @ np.eye(len(emotions))[moved]  # [W, m, P, Q]
            null = (scores.argmax(axis=-1) == moved).mean(axis=-1).T
        else:
            null = (said == renamed[:, None]).mean(axis=-1)
        hits = (said == label)[:, np.argsort(order)].reshape(len(said), len(templates), -1)  # [W, T, E]
        yield trained, tested, hits.mean(axis=-1).T, null
