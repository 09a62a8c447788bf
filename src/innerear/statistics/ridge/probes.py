"""Linear probes in dual form: ridge regression of labels on features given as inner products.

A probe is fitted on some templates and judged on the others. For given folds its scores are linear in
the labels: all relabelings are columns of one matrix product (Saunders et al. 1998).
"""

import numpy as np

from innerear.statistics.design import Bootstraps, Design
from innerear.statistics.pieces import pieces
from innerear.statistics.ridge import ridge_operators

#: penalty, in units of the mean eigenvalue of the centred training kernel
PENALTY = 1.0


def held_out_operators(kernel: np.ndarray, design: Design, across: np.ndarray | None = None) -> np.ndarray:
    """Return the operators [cells, (...,) N, N] that turn labels into held-out scores.

    Parameters
    ----------
    kernel : [cells, N, N] inner products of the samples, centred or not.
    across : [cells, ..., N, N] inner products of other features of the same samples (rows) with those
        of `kernel` (columns): what the probes are judged on, in place of `kernel` itself.

    Notes
    -----
    ``operators @ targets`` are each sample's scores by a probe that was fitted on the folds it is not in,
    relative to the training samples' mean target. Features are centred on the training samples and the
    penalty is scaled by them; inner products allow no scaling per dimension. Each row sums to 0.
    """
    across = kernel if across is None else across
    operators = np.zeros(across.shape)
    for fold in design.folds():
        tested = across[..., fold.test[:, None], fold.train]  # [cells, (...,) test, train]
        rows = tested.reshape(len(kernel), -1, len(fold.train)).astype(float)
        within = kernel[:, fold.train[:, None], fold.train].astype(float)
        found = ridge_operators(within, rows, PENALTY)
        operators[..., fold.test[:, None], fold.train] = found.reshape(tested.shape)
    return operators


def centred_targets(design: Design) -> np.ndarray:
    """Return the design's targets [P, Q] less their mean, scaled to a mean sum of squares of 1.

    NaN where all prompts have one label.
    """
    targets = design.targets - design.targets.mean(axis=0)
    size = np.sqrt((targets**2).sum(axis=1).mean())
    return targets / (size or np.nan)


def evidence(operators: np.ndarray, design: Design) -> np.ndarray:
    """Return how much each sample's held-out scores support its own label, [..., N].

    The score of the sample's own label relative to those of all labels, in units of what the labels
    themselves would score: 0 in expectation without effect, 1 for a perfect probe.
    """
    targets = centred_targets(design)[design.prompt_of]  # [N, Q]
    return ((operators @ targets) * targets).sum(axis=-1)


def evidence_null(operators: np.ndarray, design: Design) -> np.ndarray:
    """Return the mean evidence under each permutation, [m, ...], by one matrix product.

    Mean evidence is Σ_ij O_ij t_i · t_j / N, so only the products of labels t change. Valid where
    permutations leave folds as they are, that is where templates are blocks.
    """
    lead, m = operators.shape[:-2], design.n_permutations
    by_prompt = operators[..., design.rows[:, :, None, None], design.rows].sum(axis=(-3, -1))  # [..., P, P]
    targets, moved = centred_targets(design), design.prompt_permutations()
    flat = np.ascontiguousarray(by_prompt.reshape(-1, len(targets) ** 2).T) / design.n_samples
    null = np.empty((m, flat.shape[1]))
    for rows in pieces(m, len(flat)):
        of_prompts = targets[moved[rows]]  # [m, P, Q]
        null[rows] = (of_prompts @ of_prompts.swapaxes(1, 2)).reshape(-1, len(flat)) @ flat
    return null.reshape(m, *lead)


def evidence_bootstrap(own: np.ndarray, boots: Bootstraps) -> np.ndarray:
    """Return the mean evidence of samples [cells, N] in every bootstrap, [m, cells], without new fits."""
    counts = boots.samples()
    return counts @ own.T / counts.sum(axis=1, keepdims=True)


class Ranking:
    """The ranking of one fold's samples by scores: macro AUC, for ratings the concordance index.

    The share of pairs of samples (of one fold, with different targets) whose scores have the order of
    their targets; ties count half. With indicators of labels as targets this is the area under the
    one-against-rest ROC curve, averaged over labels.
    """

    def __init__(self, design: Design) -> None:
        pairs = [np.stack(np.triu_indices(len(fold.test), 1)) for fold in design.folds()]
        tests = [fold.test for fold in design.folds()]
        self.i, self.j = np.concatenate([test[pair] for test, pair in zip(tests, pairs, strict=True)], axis=1)

    def agreement(self, scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return +1, 0 or −1 for each pair [pairs, ...] of scores [N, ...], and whether it counts."""
        order = np.sign(targets[self.i] - targets[self.j]).astype(np.int8)
        return np.sign(scores[self.i] - scores[self.j]).astype(np.int8) * order, order != 0

    def share(self, scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the share of pairs in order, averaged over targets: [...] of scores [N, ..., Q]."""
        agreement, counts = self.agreement(scores, targets)
        total, n = agreement.sum(axis=0, dtype=float), counts.sum(axis=0)
        return (0.5 + 0.5 * np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0)).mean(axis=-1)

    def bootstrap(self, scores: np.ndarray, targets: np.ndarray, boots: Bootstraps) -> np.ndarray:
        """Return `share` in every bootstrap, [m, cells], of scores [N, cells, Q] and targets [N, Q].

        The fits are not repeated; held-out pairs are weighed. NaN where a target has no pair left.
        """
        agreement, counts = self.agreement(scores, targets[:, None])
        weights = boots.pairs(self.i, self.j)  # [m, pairs]
        total = (weights @ counts[:, 0].astype(np.float32))[:, None]  # [m, 1, Q]
        columns = int(np.prod(scores.shape[1:]))  # no pairs leave nothing to infer it from
        summed = weights @ agreement.reshape(len(agreement), columns).astype(np.float32)
        summed = summed.reshape(len(weights), *scores.shape[1:])
        share = np.divide(summed, total, out=np.full_like(summed, np.nan), where=total > 0)
        return (0.5 + 0.5 * share).mean(axis=-1)


def hits(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return whether the largest score is that of a sample's label, [N, ...] of scores [N, ..., Q].

    Examples
    --------
    >>> hits(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([[1, 0], [0, 1]]))
    array([ True, False])
    """
    return scores.argmax(axis=-1) == targets.argmax(axis=-1)


def balanced_accuracy(right: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the mean over labels of the share that was right [N, ...], for indicators [N, ..., Q].

    Examples
    --------
    >>> float(balanced_accuracy(np.array([True, True, False]), np.array([[1, 0], [1, 0], [0, 1]])))
    0.5
    """
    weight = (targets / targets.sum(axis=0)).sum(axis=-1) / targets.shape[-1]  # 1 / (Q n_label)
    return (right * weight).sum(axis=0)


def balanced_accuracy_bootstrap(right: np.ndarray, targets: np.ndarray, boots: Bootstraps) -> np.ndarray:
    """Return balanced accuracy in every bootstrap, [m, cells], of right [N, cells] and targets [N, Q]."""
    counts = boots.samples()  # [m, N]
    shares = np.zeros((len(counts), right.shape[1]))
    for label in targets.T:
        weights = counts * label
        total = weights.sum(axis=1, keepdims=True)
        shares += np.divide(weights, total, out=np.full_like(weights, np.nan), where=total > 0) @ right
    return shares / targets.shape[1]
