"""The one owner of labels, folds, permutations and bootstraps.

The unit of inference is the prompt. Samples of one prompt resemble each other, and counting them as
independent turns noise into findings. Every inference function of Inner Ear therefore takes a
`Design`, never a bare array of labels. Templates, where there are any, are blocks: labels move among
the prompts of one template, folds are whole templates, bootstraps resample templates.
"""

from collections.abc import Collection

import numpy as np
import pandas as pd

from innerear.statistics.design.exchange import REFITS, Exchange
from innerear.statistics.design.flips import Flips
from innerear.statistics.design.folds import MAX_FOLDS, Fold, Folds
from innerear.statistics.design.resampling import Bootstraps, Resampling
from innerear.statistics.design.sheet import CONTROL
from innerear.study.prompts import LABELS

__all__ = ["MAX_FOLDS", "REFITS", "STRATA", "Bootstraps", "Design", "Fold"]

STRATA = {
    1: "same prompt, other seed",
    2: "same emotion, same seed",
    3: "same emotion, other seed",
    4: "other emotion, same seed",
    5: "other emotion, other seed",
}


class Design(Exchange, Flips, Folds, Resampling):
    """The samples of a study and their exchangeability; parameters are those of `Sheet`.

    Notes
    -----
    Templates are blocks when there are at least two and one of them holds more than one prompt.
    Otherwise labels are exchanged among all prompts, and folds are groups of whole prompts,
    stratified by label.

    Examples
    --------
    >>> samples = pd.DataFrame({"sample_id": list("abcd"), "prompt_id": list("abcd"), "seed": 0,
    ...                         "emotion": ["happy", "sad"] * 2, "template": ["x", "x", "y", "y"]})
    >>> design = Design(samples)
    >>> design.n_prompts, design.n_blocks, design.relabelings
    (4, 2, 2)
    """

    is_shuffled = False

    def shuffled(self) -> "Design":
        """Return a control: the design with labels moved once between prompts, as by a permutation.

        With the label move all other columns of `LABELS` that the sheet has: a prompt's emotion and its
        ratings stay together.
        """
        rng = np.random.default_rng(self.stream(CONTROL))
        stand_in = np.arange(self.n_prompts)
        for members in self.members():
            stand_in[members] = rng.permutation(members)
        rows = self.rows[stand_in[self.prompt_of], self.seed_of]
        columns = [name for name in {*LABELS, self.label} if name in self.samples]
        moved = {name: self.samples[name].to_numpy()[rows] for name in columns}
        control = self._of(self.samples.assign(**moved))
        control.is_shuffled = True
        return control

    def subset(self, rows: np.ndarray) -> "Design":
        """Return the design of some of the samples, for folds within a training set."""
        return self._of(self.samples.iloc[np.sort(rows)])

    def of_templates(self, names: Collection[str]) -> "Design":
        """Return the design of whole templates, with the same permutations; this one if they are all."""
        rows = np.flatnonzero(self.samples["template"].isin(list(names)))
        if len(rows) == self.n_samples:
            return self
        design = self._of(self.samples.iloc[rows])
        design.is_shuffled = self.is_shuffled
        if self.n_permutations:
            design.use_table(np.searchsorted(rows, self.permutations()[:, rows]))
        return design

    def without_each_template(self) -> list[tuple[np.ndarray, "Design"]]:
        """Leave out one template after the other: samples of the others, and their design.

        Empty of fewer than 3 templates.
        """
        template_of, n = self.block_of[self.prompt_of], self.n_blocks if self.blocked else 0
        kept = [np.flatnonzero(template_of != block) for block in range(n if n > 2 else 0)]
        return [(rows, self.subset(rows)) for rows in kept]

    def of_prompts(self) -> "Design":
        """Return the design of the prompts' means over seeds: a sample each, with the same permutations."""
        design = self._of(self.samples.iloc[self.rows[:, 0]])
        if self.n_permutations:
            design.use_table(self.prompt_permutations())
        return design

    def _of(self, samples: pd.DataFrame) -> "Design":
        sizes = {"n_permutations": self.n_permutations, "n_bootstraps": self.n_bootstraps}
        return Design(samples, self.label, self.seed, **sizes)
