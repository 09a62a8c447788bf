"""Sparse probes: the accuracy of k features, chosen and fitted on other templates."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from innerear.statistics.design import Design
from innerear.statistics.ridge.probes import balanced_accuracy_bootstrap
from innerear.statistics.significance import with_interval
from innerear.statistics.table import Maxima, blank, record

#: numbers of features of a probe
KS = (1, 2, 5, 20)
ACCURACY = "accuracy of k, chosen on other templates"
# Of the fit, as a share of the number of training clips.
_RIDGE = 0.1


def probe_rows(
    by_kind: Mapping[str, np.ndarray], design: Design, why_not: str = ""
) -> tuple[pd.DataFrame, list[Maxima]]:
    """Score probes of k values of each kind, and of rotated and principal dimensions.

    Parameters
    ----------
    by_kind : kind → clip values [N, F]; of ``dimensions`` rotations and principal components are made.

    Returns
    -------
    A row per kind and k of `KS`: balanced accuracy on templates that neither chose nor fitted, with an
    interval of bootstraps of the templates that are judged. The null moves prompts within templates and
    chooses and fits anew.
    """
    reason = why_not.removeprefix("none: ") or design.why_no_folds
    if design.numeric:
        reason = f"{design.label} is a rating; sparse probes tell categories apart"
    values = dict(by_kind)
    if "dimensions" in values:
        dimensions = values["dimensions"]
        turn = np.linalg.qr(np.random.default_rng(0).normal(size=(dimensions.shape[1],) * 2))[0]
        values |= {"rotated dimensions": (dimensions - dimensions.mean(axis=0)) @ turn}
    kinds = [*values, *["principal components"] * ("dimensions" in values)]
    cells = pd.DataFrame(
        {
            "kind": np.repeat(kinds, len(KS)),
            "k_features": np.tile(KS, len(kinds)),
            "branch": "uncond",
            "measure": "mean",
            "statistic": ACCURACY,
            "chance": np.nan if design.numeric else 1 / design.targets.shape[1],
        }
    )
    table = blank(cells, design)
    if reason:
        table["null"] = f"none: {reason}"
        return table, []

    def right(order: np.ndarray) -> np.ndarray:
        found = [named_right(one[order], design) for one in values.values()]
        if "dimensions" in values:
            found.append(named_right(values["dimensions"][order], design, components=True))
        return np.concatenate(found)  # [cells, N]

    own = right(np.arange(design.n_samples))
    observed = _balanced(own, design)
    null = np.stack([_balanced(right(order), design) for order in design.exchanges()])
    drawn = balanced_accuracy_bootstrap(own.T.astype(float), _targets(design), design.bootstraps())
    table = table.assign(**with_interval(observed, drawn, design.resampled))
    maxima = []
    for kind in kinds:
        rows = np.flatnonzero(table["kind"] == kind)
        family = "numbers of features of this layer"
        maxima += record(table, rows, design, observed[rows], null[:, rows], family=family, standardise=False)
    return table, maxima


def accuracies(values: np.ndarray, design: Design, *, components: bool = False) -> np.ndarray:
    """Return the balanced accuracy [KS] of probes on values [N, F]; see `named_right`."""
    return _balanced(named_right(values, design, components=components), design)


def _targets(design: Design) -> np.ndarray:
    return design.targets[design.prompt_of]  # [N, Q]


def _balanced(right: np.ndarray, design: Design) -> np.ndarray:
    """Return the mean over labels of the share of their clips that is right, of bool [cells, N]."""
    return np.stack([right[:, one > 0].mean(axis=1) for one in _targets(design).T]).mean(axis=0)


def named_right(values: np.ndarray, design: Design, *, components: bool = False) -> np.ndarray:
    """Return which clips probes on values [N, F] name right, bool [KS, N]; each judged by other templates.

    Parameters
    ----------
    components : score the principal components of the training clips in place of the values.
    """
    targets = _targets(design)
    hits = np.zeros((len(KS), design.n_samples), bool)
    for fold in design.folds():
        train, test = values[fold.train], values[fold.test]
        mean, spread = train.mean(axis=0), train.std(axis=0)
        if components:
            axes = np.linalg.svd(train - mean, full_matrices=False)[2]
            train, test = (train - mean) @ axes.T, (test - mean) @ axes.T
            mean, spread = train.mean(axis=0), train.std(axis=0)
        safe = np.where(spread > 1e-12, spread, np.inf)
        train, test = (train - mean) / safe, (test - mean) / safe
        label = targets[fold.train]
        order = np.argsort(-_explained(train, label))
        wanted = label - label.mean(axis=0)
        for i, k in enumerate(KS):
            x = train[:, order[:k]]
            weights = np.linalg.solve(x.T @ x + _RIDGE * len(x) * np.eye(x.shape[1]), x.T @ wanted)
            guess = (test[:, order[:k]] @ weights + label.mean(axis=0)).argmax(axis=1)
            hits[i, fold.test] = guess == targets[fold.test].argmax(axis=1)
    return hits


def _explained(values: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return the variance [F] of z-scored values [n, F] between labels [n, Q]."""
    counts = label.sum(axis=0)
    return (((label.T @ values) / np.sqrt(np.maximum(counts, 1))[:, None]) ** 2).sum(axis=0) / len(values)
