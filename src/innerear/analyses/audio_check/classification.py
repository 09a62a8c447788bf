"""Classify held-out clips by their sound alone: the nearest centroid of standardised features."""

import numpy as np
import pandas as pd

from innerear.acoustics.features import FEATURES
from innerear.statistics.cells import write_estimates
from innerear.statistics.clip_targets import Targets, prompt_means
from innerear.statistics.design import Design
from innerear.statistics.design.template_contrasts import label_contrasts, of_features
from innerear.statistics.table import blank, record, record_flips

ACCURACY, RECALL = "balanced accuracy", "recall"
ALL = "all features"


def classification(targets: Targets, design: Design) -> pd.DataFrame:
    """Return rows of `ACCURACY` by set of features, tested, and of `RECALL` by label from all features."""
    sets = _sets(targets)
    why = _why_not_classified(targets, design)
    null = f"none: {why or 'described only'}"
    rows = {"features": list(sets), "label": "", "statistic": ACCURACY}
    accuracy = blank(pd.DataFrame(rows), design, null=null)
    rows = {"features": ALL, "label": np.unique(design.labels), "statistic": RECALL}
    recall = blank(pd.DataFrame(rows), design, null=null)
    if not why:
        counts = design.bootstraps().samples()  # [bootstraps, N]
        shares_of = []
        for number, members in enumerate(sets.values()):
            values = targets.values[:, members].astype(float)
            shares, drawn = _recalls(values, design, counts)
            shares_of.append(shares.mean(axis=1))
            mean, means = shares[:1].mean(axis=1), drawn.mean(axis=1, keepdims=True)
            write_estimates(accuracy, np.array([number]), design, mean, means)
            if number == 0:
                write_estimates(recall, np.arange(len(recall)), design, shares[0], drawn)
        found = np.stack(shares_of, axis=1)  # [1 + m, sets]
        # Accuracies are on one scale, so the largest is compared as it is.
        how = {"family": "sets of features", "moved": "labels", "standardise": False}
        record(accuracy, np.arange(len(sets)), design, found[0], found[1:], **how)
        means = prompt_means(targets.values.astype(float), design)
        apart = of_features(label_contrasts(design), means)  # [F, T, T]
        agreement = np.stack([apart[members].mean(axis=0) for members in sets.values()])
        record_flips(accuracy, np.arange(len(sets)), design, agreement, standardise=False)
    return pd.concat([accuracy, recall], ignore_index=True)


def nearest_centroid(values: np.ndarray, labels: np.ndarray, design: Design) -> np.ndarray:
    """Classify held-out samples by the nearest centroid of standardised features.

    Of values [N, F] without gaps and labels int [m, N], in m relabelings, return the predicted labels
    int [m, N]. Scale and centroids are those of the training templates.

    Raises
    ------
    InputError: as `Design.folds`.
    """
    predicted = np.empty_like(labels)
    n_labels = int(labels.max()) + 1
    for fold in design.folds():
        train = values[fold.train]
        spread = train.std(axis=0)
        scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)
        train, test = ((values[rows] - train.mean(axis=0)) * scale for rows in (fold.train, fold.test))
        one_hot = (labels[:, fold.train, None] == np.arange(n_labels)).astype(float)  # [m, train, labels]
        sizes = np.maximum(one_hot.sum(axis=1), 1)[..., None]
        centroids = np.einsum("mnl,nf->mlf", one_hot, train, optimize=True) / sizes
        # |x − c|² without |x|², which is the same for all centroids.
        products = np.einsum("nf,mlf->mnl", test, centroids, optimize=True)
        predicted[:, fold.test] = ((centroids**2).sum(axis=-1)[:, None] - 2 * products).argmin(axis=-1)
    return predicted


def _sets(targets: Targets) -> dict[str, np.ndarray]:
    """Name the sets of usable features: all, and each group by itself."""
    usable = np.flatnonzero(targets.usable)
    sets = {ALL: usable}
    groups = [FEATURES[name].group if name in FEATURES else "" for name in targets.names]
    for group in filter(None, dict.fromkeys(groups)):
        members = np.array([f for f in usable if groups[f] == group], int)
        if 0 < len(members) < len(usable):
            sets[group] = members
    return sets


def _recall(predicted: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Share of each label's samples that are recognised, [m, labels]; with weights [m, N] of the samples."""
    one_hot = labels[..., None] == np.arange(int(labels.max()) + 1)  # [m, N, labels]
    weight = one_hot if weights is None else one_hot * weights[..., None]
    hits = (weight * (predicted == labels)[..., None]).sum(axis=1)
    n = weight.sum(axis=1)
    return np.divide(hits, n, out=np.full(n.shape, np.nan), where=n > 0)


def _recalls(values: np.ndarray, design: Design, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall from values [N, F]: observed and permuted [1 + m, labels], and in resamples [·, labels].

    Without templates folds follow the labels. Then labels stay and measurements move (`Design.exchanges`).
    """
    labels = np.unique(design.labels, return_inverse=True)[1][None]  # [1, N]
    if design.blocked:
        labels = np.concatenate([labels, labels[0, design.permutations()]])
        predicted = nearest_centroid(values, labels, design)
    else:
        orders = [np.arange(len(values)), *design.exchanges()]
        predicted = np.concatenate([nearest_centroid(values[order], labels, design) for order in orders])
    shares = _recall(predicted, np.broadcast_to(labels, predicted.shape))
    return shares, _recall(predicted[:1], labels[:1], counts)


def _why_not_classified(targets: Targets, design: Design) -> str:
    if not targets.usable.any():
        return "no feature can be used"
    if design.numeric:
        return f"{design.label} is a rating, which has no classes"
    if len(set(design.prompt_labels)) < 2:
        return f"all prompts have one {design.label}"
    return design.why_no_folds
