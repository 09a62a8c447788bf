"""Folds for fitting on some prompts and scoring on others."""

from dataclasses import dataclass

import numpy as np

from innerear.errors import InputError
from innerear.statistics.design.sheet import Sheet

MAX_FOLDS = 10


@dataclass(frozen=True)
class Fold:
    """Sample indices to fit on and to score on; no prompt is in both."""

    train: np.ndarray
    test: np.ndarray


class Folds(Sheet):
    """A sheet that can be split into folds."""

    @property
    def why_no_folds(self) -> str:
        """Say why nothing can be held out; empty where something can."""
        try:
            self.folds()
        except InputError as error:
            return str(error)
        return ""

    def folds(self) -> list[Fold]:
        """Split into at most 10 folds of whole templates; without templates, of whole prompts by label.

        Raises
        ------
        InputError: fewer than two folds are possible.

        Examples
        --------
        >>> samples = pd.DataFrame({"sample_id": list("abcd"), "prompt_id": list("abcd"), "seed": 0,
        ...                         "emotion": ["happy", "sad"] * 2, "template": ["x", "x", "y", "y"]})
        >>> [fold.test.tolist() for fold in Folds(samples).folds()]
        [[0, 1], [2, 3]]
        """
        if self.blocked:
            group, n_folds = self.block_of, self.n_blocks
        elif self.numeric:
            # Neighbours in rank go to different groups, and so each group spans the ratings.
            group = np.argsort(np.argsort(self.targets[:, 0], kind="stable"), kind="stable")
            n_folds = min(MAX_FOLDS, self.n_prompts // 2)
            group = group % max(n_folds, 1)
        else:
            # The i-th prompt of every label goes to the i-th group.
            same = np.equal.outer(self.prompt_labels, self.prompt_labels)
            group, n_folds = np.tril(same, -1).sum(axis=1), int(same.sum(axis=1).min())
        if n_folds < 2:
            few = (
                f"{self.n_prompts} prompts with a rating of {self.label} are fewer than 4"
                if self.numeric and not self.blocked
                else f"one {self.label} has a single prompt"
            )
            more = "prompts" if self.numeric else "a second prompt per label"
            raise InputError(
                f"no folds are possible: {few}, and there are no two templates; add a template or {more}"
            )
        fold_of = (group % min(n_folds, MAX_FOLDS))[self.prompt_of]  # [N]
        return [Fold(np.flatnonzero(fold_of != k), np.flatnonzero(fold_of == k)) for k in np.unique(fold_of)]
