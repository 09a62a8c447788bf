"""Effects of text and history that are shared across templates, from seed means.

Within one template an emotion is one word in one sentence. What an emotion's text (or its clips) does in one
template is multiplied with what it does in *another*: only what templates share is left.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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
)
from innerear.statistics.design import Design
from innerear.statistics.probes import held_out_operators

DELTA = "delta"
#: (trained on, tested on) of the probes
PROBES = ((HISTORY, HISTORY), (TEXT, TEXT), (DELTA, DELTA), (HISTORY, TEXT), (TEXT, HISTORY))


@dataclass(frozen=True)
class GeneralCodes:
    """What `general_codes` returns.

    Attributes
    ----------
    products : component → `PairProducts` of templates, of the complete steps, then the windows.
    windows : HISTORY, TEXT, DELTA → deviations [W, T, E, D] from the template's mean, of the windows.
    """

    products: dict[str, PairProducts]
    windows: dict[str, np.ndarray]


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


def general_codes(templates: Sequence[ReplayedTemplate]) -> GeneralCodes:
    """Read the seed means of two or more templates of the same emotions, and multiply across templates."""
    first = templates[0]
    size = len(templates) * first.gram.read("cell_mean", step=slice(0, 1)).size
    parts = []
    for span, kept in complete_steps(first.gram, size):
        means = [_cells(one, "cell_mean", first.emotions, step=span)[0][kept] for one in templates]
        of_steps = deviations(np.stack(means, axis=1))  # [S, T, Q, D]
        parts.append({name: pair_products(one) for name, one in of_steps.items()})
    means, deltas = zip(*(_cells(one, "window_cell_mean", first.emotions) for one in templates), strict=True)
    windows = deviations(np.stack(means, axis=1))  # [W, T, Q, D]
    parts.append({name: pair_products(one) for name, one in windows.items()})
    delta = np.stack(deltas, axis=1)
    del windows[INTERACTION]
    return GeneralCodes(joined(parts), windows | {DELTA: delta - delta.mean(axis=2, keepdims=True)})


def _cells(
    template: ReplayedTemplate, name: str, emotions: Sequence[str], **where: slice
) -> tuple[np.ndarray, np.ndarray]:
    """Seed means of cells [times, E, E, D] in this order of emotions, and of delta under the own text."""
    stored = template.gram.read(name, **where).astype(float)  # [times, E, B, D]
    rows = np.array([template.emotions.index(emotion) for emotion in emotions])
    texts = template.gram.labels("text_of_all")
    columns = np.array([texts.index(template.named[row]) for row in rows])
    cells = stored[:, rows[:, None], columns]
    own = np.arange(len(rows))
    return cells, cells[:, own, own] - stored[:, rows, texts.index(NO_TEXT)]


@dataclass(frozen=True)
class Decoded:
    """Balanced accuracy of probes of one kind over windows [W], by template [T, W], and its null [m, W]."""

    accuracy: np.ndarray
    by_template: np.ndarray
    null: np.ndarray


class CrossProbes:
    """Ridge probes of emotions, fitted on what text or history does in all templates but one.

    Parameters
    ----------
    windows : `GeneralCodes.windows`.
    templates : in the order of its axis T.
    design : folds and permutations.
    """

    def __init__(
        self, windows: dict[str, np.ndarray], templates: Sequence[ReplayedTemplate], design: Design
    ) -> None:
        emotions = templates[0].emotions
        prompts = np.array([one.prompts[one.emotions.index(name)] for one in templates for name in emotions])
        order = np.argsort(design.rows[prompts, 0])
        self.prompts, self.design = prompts[order], design
        self.template_of = np.repeat(np.arange(len(templates)), len(emotions))[order]
        #: one sample for each prompt
        self.means = design.subset(design.rows[prompts, 0])
        self.targets = self.means.targets[self.means.prompt_of]  # [P, Q]
        self.features = {
            name: one.reshape(len(one), len(prompts), -1)[:, order] for name, one in windows.items()
        }

    def decode(self, trained: str, tested: str, n_permutations: int) -> Decoded:
        """Fit on one kind of deviations, and name the emotions of another in the held-out template.

        Chance is 1/E. Within one kind, the null relabels prompts within templates. Between two kinds, each
        may have a code of its own that all templates share. The null then renames the emotions of the tested
        kind, alike in all templates: is it the *same* code?
        """
        left, right = self.features[tested], self.features[trained]
        kernel, across = right @ right.swapaxes(1, 2), left @ right.swapaxes(1, 2)
        operators = held_out_operators(kernel, self.means, across)  # [W, P, P]
        label = self.targets.argmax(axis=1)  # [P]
        said = (operators @ self.targets).argmax(axis=-1)  # [W, P]
        hits = said == label
        if trained == tested:
            number = np.empty(self.design.n_prompts, int)
            number[self.prompts] = np.arange(len(self.prompts))
            moved = number[self.design.prompt_permutations(n_permutations)[:, self.prompts]]  # [m, P]
            scores = operators[:, None] @ self.targets[moved]  # [W, m, P, Q]
            null = (scores.argmax(axis=-1) == label[moved]).mean(axis=-1).T
        else:
            renamed = self.design.renamings(n_permutations)[:, label]  # [m, P]
            null = (said == renamed[:, None]).mean(axis=-1)
        by_template = [hits[:, self.template_of == t].mean(axis=1) for t in np.unique(self.template_of)]
        return Decoded(hits.mean(axis=1), np.stack(by_template), null)
