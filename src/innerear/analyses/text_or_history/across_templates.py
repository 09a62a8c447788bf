"""Effects of text and history that are shared across templates, from seed means.

Within one template an emotion is one word in one sentence. What an emotion's text (or its clips) does in one
template is multiplied with what it does in *another*: only what templates share is left.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from innerear.analyses.text_or_history.cells import (
    COMPONENTS,
    HISTORY,
    NO_TEXT,
    TEXT,
    PairProducts,
    ReplayedTemplate,
    complete_steps,
    contrasts,
    joined,
    pair_products,
    relabeled,
)
from innerear.statistics.ridge.probes import held_out_operators

DELTA = "delta"
#: (trained on, tested on) of the probes
PROBES = ((HISTORY, HISTORY), (TEXT, TEXT), (DELTA, DELTA), (HISTORY, TEXT), (TEXT, HISTORY))


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
    components = contrasts(len(templates[0].emotions), templates[0].emotions)
    components = {name: components[name] for name in COMPONENTS}
    size, parts = len(templates) * first.read("cell_mean", step=slice(0, 1)).size, []
    for span, kept in complete_steps(first, size):
        steps = [_means(one, "cell_mean", step=span)[kept] for one in templates]
        parts.append(_products(_contrasts(templates, steps, components), components))
    means = [_means(one, "window_cell_mean") for one in templates]
    of_windows = _contrasts(templates, means, components)
    parts.append(_products(of_windows, components))
    windows = {name: components[name][0] @ of_windows[name] for name in (HISTORY, TEXT)}
    delta = np.stack([_own_delta(one, mean) for one, mean in zip(templates, means, strict=True)], axis=1)
    return joined(parts), windows | {DELTA: delta - delta.mean(axis=2, keepdims=True)}


_Components = Mapping[str, tuple[np.ndarray, np.ndarray]]


def _means(template: ReplayedTemplate, name: str, **where: slice) -> np.ndarray:
    """Seed means of cells, in the order of the file, [times, E, B, D]."""
    return template.gram.read(name, **where).astype(float)


def _columns(template: ReplayedTemplate) -> list[int]:
    """The file's number of each emotion's text, [E]."""
    texts = template.gram.labels("text_of_all")
    return [texts.index(name) for name in template.named]


def _contrasts(
    templates: Sequence[ReplayedTemplate], means: Sequence[np.ndarray], components: _Components
) -> dict[str, np.ndarray]:
    """Contrasts [times, T, k, D] of every component, of each template's `_means`."""
    weights, found = np.concatenate([one for _, one in components.values()]), []  # [K, E, E]
    for template, mean in zip(templates, means, strict=True):
        placed = np.zeros((len(weights), *mean.shape[1:3]))
        placed[:, template.rows[:, None], _columns(template)] = weights
        found.append(placed.reshape(len(weights), -1) @ mean.reshape(len(mean), -1, mean.shape[-1]))
    ends = np.cumsum([len(one) for _, one in components.values()])[:-1]
    return dict(zip(components, np.split(np.stack(found, axis=1), ends, axis=2), strict=True))


def _products(values: Mapping[str, np.ndarray], components: _Components) -> dict[str, PairProducts]:
    return {name: pair_products(values[name], basis) for name, (basis, _) in components.items()}


def _own_delta(template: ReplayedTemplate, mean: np.ndarray) -> np.ndarray:
    """Own text less no text, [times, E, D], of `_means`."""
    none = template.gram.labels("text_of_all").index(NO_TEXT)
    return mean[:, template.rows, _columns(template)] - mean[:, template.rows, none]


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
