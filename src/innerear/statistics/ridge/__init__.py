"""Dual ridge regression from a kernel: fitted on some templates, judged on another.

Given kernel, folds and penalty, predictions are linear in the targets. All targets and all permutations of
them are therefore columns of one matrix product (Saunders et al. 1998).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from innerear.statistics.design.folds import Fold

#: penalties, in units of the mean eigenvalue of the centred kernel
PENALTIES = tuple(10.0**k for k in range(-3, 4))
# Where there are too few folds to choose a penalty on.
_DEFAULT = PENALTIES.index(1.0)


def ridge_operators(kernel: np.ndarray, across: np.ndarray, penalty: float) -> np.ndarray:
    """Return operators [..., t, n] from targets of training samples to predictions of test samples.

    Relative to the mean of the training samples, on which the features are centred too.

    Parameters
    ----------
    kernel : [..., n, n] inner products of the training samples' features; need not be centred.
    across : [..., t, n] those of the test samples with the training samples.
    penalty : in units of the mean eigenvalue of the centred kernel.

    Examples
    --------
    >>> x, y = np.array([[-1.0], [0.0], [1.0]]), np.array([-2.0, 0.0, 2.0])
    >>> (ridge_operators(x @ x.T, np.array([[3.0]]) @ x.T, 1e-9) @ y).round(6)
    array([6.])
    """
    mean = kernel.mean(axis=-2, keepdims=True)
    within = kernel - mean
    within -= within.mean(axis=-1, keepdims=True)
    beyond = across - mean
    beyond -= beyond.mean(axis=-1, keepdims=True)
    identity = np.eye(within.shape[-1])
    scale = np.trace(within, axis1=-2, axis2=-1)[..., None, None] / len(identity)
    regular = within + np.where(scale > 0, penalty * scale, 1) * identity
    return np.linalg.solve(regular, beyond.swapaxes(-1, -2)).swapaxes(-1, -2)


@dataclass(frozen=True)
class TwoFolds:
    """Matrices that turn residuals of two folds, each fitted without itself, into those without both.

    A fit without S misses S by (A_SS)⁻¹ (A y)_S (see `DualRidge`). With residuals e of fits without a fold,
    and x of the fit without both, this says A_ff x_f + A_fg x_g = A_ff e_f, and the same of g. So
    x_f = e_f − B x_g and x_g = e_g − C x_f, with B = A_ff⁻¹ A_fg and C = A_gg⁻¹ A_gf.

    Attributes
    ----------
    f, g : numbers of the folds.
    across, back : B and C, float32 [penalties, n_f, n_g] and [penalties, n_g, n_f].
    inverse : (1 − B C)⁻¹, float32 [penalties, n_f, n_f].
    """

    f: int
    g: int
    across: np.ndarray
    back: np.ndarray
    inverse: np.ndarray

    def left_out(self, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return x_f and x_g of e_f and e_g, [penalties, n, columns]."""
        first = self.inverse @ (first - self.across @ second)
        return first, second - self.back @ first


class DualRidge:
    """Held-out residuals, target − prediction, of ridge regression: all folds from one factorisation.

    With C the centring matrix and λ a penalty, A = λ C (C K C + λ)⁻¹ C turns targets into residuals of a fit
    to all samples. A fit without the samples S misses them by (A_SS)⁻¹ (A y)_S (Cook & Weisberg 1982, 2.2.3).

    Parameters
    ----------
    kernel : [N, N] inner products of the predictors; need not be centred.
    folds : of all samples. Penalties are chosen without a fold on the other folds, in turn; where that leaves
        nothing to fit on, with fewer than three folds, the penalty is 1.
    level : [N] what a constant is in these rows, where they are not samples (`FoldSpans`); 1 throughout else.
    groups : [N] the group of each sample, where the columns of `sums` are permutations of one target within
        groups. A group's last value is then what the others leave of a sum that all columns share.

    Attributes
    ----------
    outer : float32 [penalties, N, N] residuals of every sample, fitted without its fold. Penalties are in
        units of the mean eigenvalue of the centred kernel of all samples, which reads no targets and is the
        same in every permutation.
    base : float32 [N, N] the same with the mean of the other folds as prediction.
    pairs : every two folds; none where there are fewer than three.
    """

    def __init__(
        self,
        kernel: np.ndarray,
        folds: Sequence[Fold],
        level: np.ndarray | None = None,
        groups: np.ndarray | None = None,
    ) -> None:
        self.folds = folds
        self.members = np.zeros((0, len(kernel)), np.float32)  # [groups, N]
        if groups is not None:
            self.members = np.equal.outer(np.unique(groups), groups).astype(np.float32)
        level = np.ones(len(kernel)) if level is None else level
        n_samples = level @ level
        centring = np.eye(len(kernel)) - np.outer(level, level) / n_samples
        values, vectors = np.linalg.eigh(centring @ np.asarray(kernel, float) @ centring)
        values = np.maximum(values, 0)
        scale = values.sum() / n_samples or 1.0
        vectors = centring @ vectors
        halves = (vectors * np.sqrt(one * scale / (values + one * scale)) for one in PENALTIES)
        outer = np.stack([_without_folds(half @ half.T, folds) for half in halves])
        self.outer, self.level = outer.astype(np.float32), level.astype(np.float32)
        self.base = _without_folds(centring, folds).astype(np.float32)
        self.pairs = [
            _two_folds(outer, folds, f, g)
            for f, g in (combinations(range(len(folds)), 2) if len(folds) > 2 else ())
        ]

    def errors(self, targets: np.ndarray, valid: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Squared held-out errors of ridge and of the mean of the training samples, both [N, columns].

        Of targets and valid, float32 [N, columns]; only samples of valid 1 are scored, others are 0. Each
        column has a penalty of its own, the one with the least error within the training set.
        """
        missed, errors = [self.outer[:, fold.test] @ targets for fold in self.folds], np.empty_like(targets)
        for fold, of_fold, chosen in zip(self.folds, missed, self._penalties(missed, valid), strict=True):
            errors[fold.test] = np.take_along_axis(of_fold, chosen[None, None], axis=0)[0]
        both = errors**2, self.of_the_mean(targets) ** 2
        return both if valid is None else (both[0] * valid, both[1] * valid)

    def sums(
        self,
        targets: np.ndarray,
        valid: np.ndarray | None = None,
        matter: Callable[[np.ndarray, np.ndarray], np.ndarray | bool] = lambda *_: True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return `errors` summed over samples, both [columns].

        Choosing penalties takes most of the time. `matter` says for which columns to, bool [columns], given
        the least sums that any choice reaches, which the others keep, and those of the mean.
        """
        missed = self._missed(targets)
        base = _squared(self.of_the_mean(targets), valid)
        folds = zip(missed, self.folds, strict=True)
        every = np.stack([_squared(one, valid, fold) for one, fold in folds])  # [folds, penalties, columns]
        errors = every.min(axis=1).sum(axis=0)
        columns = np.flatnonzero(np.broadcast_to(matter(errors, base), errors.shape))
        if len(columns):
            if len(columns) < len(errors):
                missed = [one.take(columns, axis=2) for one in missed]
                valid = None if valid is None else valid[:, columns]
            chosen = self._penalties(missed, valid)[:, None]
            errors[columns] = np.take_along_axis(every[..., columns], chosen, axis=1)[:, 0].sum(axis=0)
        return errors, base

    def of_the_mean(self, targets: np.ndarray) -> np.ndarray:
        """Residuals of targets [..., N, columns] from the mean of the other folds, `base @ targets`."""
        residuals, total, size = np.empty_like(targets), self.level @ targets, self.level @ self.level
        for fold in self.folds:
            tested, level = targets[..., fold.test, :], self.level[fold.test]
            mean = (total - level @ tested) / (size - level @ level)
            residuals[..., fold.test, :] = tested - level[:, None] * mean[..., None, :]
        return residuals

    def chosen(self, penalties: np.ndarray) -> np.ndarray:
        """Return operators [m, N, N] from targets to residuals with the numbered penalties [folds, m]."""
        operators = np.empty((penalties.shape[1], *self.base.shape), np.float32)
        for fold, numbers in zip(self.folds, penalties, strict=True):
            operators[:, fold.test] = self.outer[numbers[:, None], fold.test]
        return operators

    def _missed(self, targets: np.ndarray) -> list[np.ndarray]:
        """Residuals of every fold, fitted without it, with every penalty: float32 [penalties, n, columns].

        Every penalty for every column: one large product is faster than picking columns.
        """
        moving, operators, of_sums = self._operators
        moved, shared = targets[moving], of_sums @ (self.members @ targets[:, 0])  # [penalties, N]
        found = []
        for fold, operator in zip(self.folds, operators, strict=True):
            product = (operator @ moved).reshape(len(PENALTIES), len(fold.test), -1)
            product += shared[:, fold.test, None]
            found.append(product)
        return found

    @cached_property
    def _operators(self) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
        """Samples but the last of each group, operators of each fold on them, and on the groups' sums."""
        n_samples = self.members.shape[1]
        last = n_samples - 1 - self.members[:, ::-1].argmax(axis=1)
        moving, of_sums = np.setdiff1d(np.arange(n_samples), last), self.outer[..., last]
        outer = self.outer[..., moving] - of_sums @ self.members[:, moving]
        return moving, [outer[:, fold.test].reshape(-1, len(moving)) for fold in self.folds], of_sums

    def _penalties(self, missed: Sequence[np.ndarray], valid: np.ndarray | None) -> np.ndarray:
        """Number of the penalty with the least error within the training set, int [folds, columns].

        Of `_missed`, the residuals without one fold.
        """
        n_columns = missed[0].shape[-1]
        if not self.pairs:
            return np.full((len(self.folds), n_columns), _DEFAULT)
        within = np.zeros((len(self.folds), len(PENALTIES), n_columns), np.float32)
        for pair in self.pairs:
            first, second = pair.left_out(missed[pair.f], missed[pair.g])
            within[pair.g] += _squared(first, valid, self.folds[pair.f])
            within[pair.f] += _squared(second, valid, self.folds[pair.g])
        return within.argmin(axis=1)

    def joint(self, grams: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sum squared held-out errors over samples and targets, with one penalty for all targets.

        `grams` are float32 [m, pairs], the inner products (`packed`) of the samples' targets, Y Yᵀ, in m
        permutations: the squared error of operator A is tr(A Y Yᵀ Aᵀ), so Y itself is not needed.
        Return the errors of ridge and of the mean of the training samples, both [m], and the numbers of the
        penalties, int [folds, m].
        """
        every = (grams @ self._forms).reshape(len(grams), len(self.folds), -1)
        inner, outer = np.split(every[..., 1:], 2, axis=-1)
        chosen = inner.argmin(axis=-1)
        errors = np.take_along_axis(outer, chosen[..., None], axis=-1)[..., 0].sum(axis=1, dtype=float)
        return errors, every[..., 0].sum(axis=1, dtype=float), chosen.T

    @cached_property
    def _forms(self) -> np.ndarray:
        """Squares Aᵀ A of each fold's operators, `packed`, [pairs, folds * (1 + 2 * penalties)].

        Of each fold base, then inner, then outer. A pair of samples of two folds stands for two.
        """
        n, n_penalties, folds = len(self.base), len(PENALTIES), self.folds
        fold_of = np.empty(n, int)
        for number, fold in enumerate(folds):
            fold_of[fold.test] = number
        twice = 1 + packed(np.not_equal.outer(fold_of, fold_of).astype(np.float32), folds)
        forms = np.empty((len(folds), 1 + 2 * n_penalties, len(twice)), np.float32)
        inner = [np.zeros((n_penalties, n, n), np.float32) for _ in self.folds] if self.pairs else []
        for pair in self.pairs:
            alone = (self.outer[:, folds[number].test] for number in (pair.f, pair.g))
            first, second = pair.left_out(*alone)
            inner[pair.g] += first.swapaxes(1, 2) @ first
            inner[pair.f] += second.swapaxes(1, 2) @ second
        for number, fold in enumerate(self.folds):
            alone, outer = self.base[fold.test], self.outer[:, fold.test]
            forms[number, 0] = packed(alone.T @ alone, folds)
            forms[number, 1 + n_penalties :] = packed(outer.swapaxes(1, 2) @ outer, folds)
            if inner:
                forms[number, 1 : 1 + n_penalties] = packed(inner[number], folds)
            else:  # the least error is that of the penalty 1
                others = (np.arange(n_penalties) != _DEFAULT)[:, None]
                forms[number, 1 : 1 + n_penalties] = others * packed(np.eye(n, dtype=np.float32), folds)
        forms *= twice
        return np.ascontiguousarray(forms.reshape(-1, forms.shape[-1]).T)


def packed(matrices: np.ndarray, folds: Sequence[Fold]) -> np.ndarray:
    """Return the values [..., pairs] of symmetric matrices [..., N, N]: of each fold with those up to it.

    Examples
    --------
    >>> folds = [Fold(np.array([1]), np.array([0])), Fold(np.array([0]), np.array([1]))]
    >>> packed(np.array([[1, 2], [2, 3]]), folds).tolist()
    [1, 2, 3]
    """
    blocks = []
    for number, fold in enumerate(folds):
        rows = np.concatenate([one.test for one in folds[: number + 1]])
        blocks.append(matrices[..., rows[:, None], fold.test].reshape(*matrices.shape[:-2], -1))
    return np.concatenate(blocks, axis=-1)


def r2(errors: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Return 1 − errors ÷ base.

    Examples
    --------
    >>> r2(np.array([1.0, 3.0]), np.array([4.0, 2.0]))
    array([ 0.75, -0.5 ])
    """
    return 1 - errors / np.maximum(base, np.finfo(np.float32).tiny)


def _squared(values: np.ndarray, valid: np.ndarray | None, fold: Fold | None = None) -> np.ndarray:
    """Sum the squares of values [..., n, columns] over the valid ones of all samples, or of a fold."""
    if valid is None:
        return np.einsum("...nc,...nc->...c", values, values)
    return np.einsum("...nc,...nc,nc->...c", values, values, valid if fold is None else valid[fold.test])


def _without_folds(residuals: np.ndarray, folds: Sequence[Fold]) -> np.ndarray:
    """Turn the operator A [N, N] of a fit's residuals into that of fits without each sample's fold."""
    found = np.empty(residuals.shape)
    for fold in folds:
        found[fold.test] = np.linalg.solve(residuals[np.ix_(fold.test, fold.test)], residuals[fold.test])
    return found


def _two_folds(outer: np.ndarray, folds: Sequence[Fold], f: int, g: int) -> TwoFolds:
    """Take B = A_ff⁻¹ A_fg and C from operators A_ff⁻¹ A_f of fits without a fold, [penalties, N, N]."""
    first, second = folds[f].test, folds[g].test
    across, back = (outer[:, rows[:, None], columns] for rows, columns in ((first, second), (second, first)))
    inverse = np.linalg.inv(np.eye(len(first)) - across @ back)
    return TwoFolds(f, g, *(one.astype(np.float32) for one in (across, back, inverse)))
