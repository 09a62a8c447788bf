"""A judge of edited clips: which label does a clip sound like, judged by the clips of other templates?"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from innerear.errors import InputError

#: share of the mean variance that the covariance within labels is shrunk to
SHRINKAGE = 0.5
# Features that more clips lack are not used.
_MOST_MISSING = 0.1


class Judge:
    """Linear discriminants of clip features with a shrunken covariance, one for each template left out.

    Parameters
    ----------
    values : [N, F] features of the clips that it learns from; NaN where there is none.
    labels, templates : [N] of each.

    Raises
    ------
    InputError: fewer than two labels in what is left.

    Examples
    --------
    >>> values = np.array([[0.0], [0.2], [4.0], [4.2], [9.0]])
    >>> judge = Judge(values, ["calm", "calm", "loud", "loud", "loud"], ["a", "b", "a", "b", "c"])
    >>> judge.posterior(np.array([[0.1], [4.1]]), "c").round(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    def __init__(self, values: NDArray, labels: Sequence[str], templates: Sequence[str]) -> None:
        values = np.asarray(values, float)
        self.used = np.flatnonzero(np.isfinite(values).mean(axis=0) >= 1 - _MOST_MISSING)
        whole = np.isfinite(values[:, self.used]).all(axis=1)
        self._values = values[whole][:, self.used]
        self._labels, self._templates = np.array(labels, str)[whole], np.array(templates, str)[whole]
        self.labels = list(dict.fromkeys(map(str, labels)))
        self._fitted: dict[str, tuple[NDArray, NDArray]] = {}

    def posterior(self, values: NDArray, template: str) -> NDArray:
        """Return the probability of each label [n, Q] for clips [n, F] of a template; NaN without a feature.

        The labels' priors are equal.
        """
        if template not in self._fitted:
            self._fitted[template] = self._fit(template)
        weights, constants = self._fitted[template]
        scores = np.asarray(values, float)[:, self.used] @ weights + constants
        scores -= scores.max(axis=1, keepdims=True)
        return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)

    def _fit(self, template: str) -> tuple[NDArray, NDArray]:
        kept = self._templates != template
        values, labels = self._values[kept], self._labels[kept]
        absent = [label for label in self.labels if (labels == label).sum() == 0]
        if absent or len(self.labels) < 2:
            lacks = ", ".join(absent) or "a second label"
            raise InputError(f"the judge of template {template!r} has no clips of {lacks} to learn from")
        middle, scale = values.mean(axis=0), values.std(axis=0)
        scale[scale == 0] = 1.0
        scaled = (values - middle) / scale
        means = np.stack([scaled[labels == label].mean(axis=0) for label in self.labels])  # [Q, F]
        number = np.array([self.labels.index(label) for label in labels])
        within = scaled - means[number]
        covariance = within.T @ within / max(1, len(within) - len(self.labels))
        mean = np.trace(covariance) / len(covariance)
        shrunken = (1 - SHRINKAGE) * covariance + SHRINKAGE * mean * np.eye(len(covariance))
        solved = np.linalg.solve(shrunken, means.T)  # [F, Q]
        constants = -0.5 * np.einsum("qf,fq->q", means, solved) - (middle / scale) @ solved
        return solved / scale[:, None], constants


def wide(clips: pd.DataFrame, samples: pd.DataFrame, features: Sequence[str]) -> NDArray:
    """Return features [N, F] of a study's long table of clip features, in the order of its index."""
    table = clips.pivot(index="sample_id", columns="feature", values="value")
    return table.reindex(index=samples["sample_id"].tolist(), columns=list(features)).to_numpy(float)
