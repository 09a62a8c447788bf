"""Probes from inner products equal scikit-learn's on the features, and keep their level."""

from functools import partial

import fakes
import numpy as np
import pytest
from fakes import clustered, sized
from scipy.stats import binom
from sklearn.linear_model import Ridge
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from innerear.statistics.design import Design
from innerear.statistics.ridge.probes import (
    Ranking,
    balanced_accuracy,
    centred_targets,
    evidence,
    evidence_null,
    held_out_operators,
    hits,
)

make_design = partial(fakes.make_design, n_templates=4)


def test_probe_equals_scikit_learn_ridge_on_features(features):
    design, x, kernel = features
    targets = design.targets[design.prompt_of]
    expected = np.empty((design.n_samples, 4))
    aucs = []
    for fold in design.folds():
        train = x[fold.train]
        ridge = Ridge(alpha=((train - train.mean(axis=0)) ** 2).sum() / len(train))
        ridge.fit(train, targets[fold.train])
        expected[fold.test] = ridge.predict(x[fold.test]) - targets[fold.train].mean(axis=0)
        aucs += [roc_auc_score(targets[fold.test, q], expected[fold.test, q]) for q in range(4)]
    scores = (held_out_operators(kernel, design)[0] @ targets)[:, None]  # [N, 1, Q]
    np.testing.assert_allclose(scores[:, 0], expected, atol=1e-8)
    got = balanced_accuracy(hits(scores, targets[:, None]), targets[:, None])[0]
    assert got == pytest.approx(balanced_accuracy_score(targets.argmax(axis=1), expected.argmax(axis=1)))
    assert Ranking(design).share(scores, targets[:, None])[0] == pytest.approx(np.mean(aucs))


def test_null_evidence_equals_relabelling_by_hand(features):
    design, _, kernel = features
    operators = held_out_operators(kernel, design)
    null = evidence_null(operators, sized(design, 5))[:, 0]
    for value, row in zip(null, design.permutations(5), strict=True):
        moved = Design(design.samples.assign(emotion=design.labels[row]))
        assert value == pytest.approx(evidence(operators, moved).mean())
    targets = centred_targets(design)
    assert (targets**2).sum(axis=1).mean() == pytest.approx(1)


def test_probes_do_not_mind_where_the_origin_is(features):
    design, x, _ = features
    shifted = x + 100
    operators = held_out_operators(np.stack([x @ x.T, shifted @ shifted.T]), design)
    np.testing.assert_allclose(operators[0], operators[1], atol=1e-6)


def test_probes_keep_their_level_over_many_null_studies():
    """Accuracy and AUC are tested in windows only: here each study has one step, so one window."""
    design, found, n = make_design(n_templates=4), np.zeros(2), 120
    targets = design.targets[design.prompt_of]
    ranking = Ranking(design)
    x = clustered(design, (n, 6), 0.8, np.random.default_rng(3)).swapaxes(0, 1)  # [S, N, D]
    operators = held_out_operators(x @ x.swapaxes(1, 2), design)
    moved = np.ascontiguousarray(
        design.targets[design.prompt_permutations(99)][:, design.prompt_of].swapaxes(0, 1)
    )
    for one in operators:
        scores = (one @ moved.reshape(len(moved), -1)).reshape(moved.shape)
        observed = (one @ targets)[:, None]
        null = ranking.share(scores, moved), balanced_accuracy(hits(scores, moved), moved)
        own = (
            ranking.share(observed, targets[:, None])[0],
            balanced_accuracy(hits(observed, targets[:, None]), targets[:, None])[0],
        )
        found += [(1 + (null[k] >= own[k] - 1e-9).sum()) / 100 <= 0.05 for k in range(2)]
    assert (found <= binom.ppf(0.999, n, 0.05)).all(), found
    assert found[0] >= binom.ppf(0.001, n, 0.05)


def test_one_label_ranks_nothing():
    """As of a corpus that is encoded and not compared: there is no pair, and no number."""
    design = make_design(n_seeds=1, emotions=("music",), templates=False)
    scores, targets = np.zeros((4, 3, 1)), np.ones((4, 1))
    assert not len(Ranking(design).i)
    found = Ranking(design).bootstrap(scores, targets, design.bootstraps())
    assert found.shape[1:] == (3,)
    assert np.isnan(found).all()
