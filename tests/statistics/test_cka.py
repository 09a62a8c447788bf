"""Debiased CKA: 1 for equal representations, 0 on average for independent ones; its formula."""

import numpy as np
import pytest

from innerear.errors import InputError
from innerear.statistics.cka import cka_vectors, debiased_cka


def test_debiased_cka_of_independent_and_of_equal_representations():
    rng = np.random.default_rng(0)
    values, biased = [], []
    for _ in range(30):
        x, y = rng.normal(size=(2, 20, 300))
        values.append(debiased_cka(x @ x.T, y @ y.T))
        xc, yc = x - x.mean(0), y - y.mean(0)
        k, l = xc @ xc.T, yc @ yc.T
        biased.append((k * l).sum() / np.sqrt((k * k).sum() * (l * l).sum()))
    assert abs(np.mean(values)) < 0.05
    assert np.mean(biased) > 0.8
    x = rng.normal(size=(20, 30))
    rotation = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    y = 3 * x @ rotation + 7
    assert debiased_cka(x @ x.T, y @ y.T) == pytest.approx(1)


def test_debiased_cka_refuses_too_few_samples():
    with pytest.raises(InputError, match="at least 4"):
        debiased_cka(np.eye(3), np.eye(3))
    with pytest.raises(InputError, match="shapes"):
        debiased_cka(np.eye(5), np.eye(4))


def test_debiased_cka_is_the_ratio_of_unbiased_hsic():
    """Song et al. 2012, eq. 5, written out."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 9, 4))
    y = x + y
    grams = [x @ x.T + 3, y @ y.T]

    def hsic(k, l):
        n, (k, l) = len(k), (one - np.diag(np.diag(one)) for one in (k, l))
        ones = np.ones(n)
        sums = (ones @ k @ ones) * (ones @ l @ ones) / ((n - 1) * (n - 2))
        return (np.trace(k @ l) + sums - 2 / (n - 2) * ones @ k @ l @ ones) / (n * (n - 3))

    expected = hsic(*grams) / np.sqrt(hsic(grams[0], grams[0]) * hsic(grams[1], grams[1]))
    assert debiased_cka(*grams) == pytest.approx(expected)
    vectors = cka_vectors(np.stack(grams))
    assert vectors[0] @ vectors[1] == pytest.approx(expected)


def test_debiased_cka_of_equal_samples_is_not_a_number():
    assert np.isnan(debiased_cka(np.eye(5), np.full((5, 5), 2.0)))
    assert np.isnan(cka_vectors(np.eye(3))).all()
