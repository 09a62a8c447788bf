"""Measures at the ends of their scales, and their controls."""

import numpy as np
import pytest
import torch

from innerear.errors import InputError
from innerear.features.dictionary import unit_rows
from innerear.features.measures import (
    Components,
    agreement,
    chance,
    fvu,
    fvu_within_steps,
    gaussian_twin,
    matched,
    stable,
    write_with,
)


def states(seed=0):
    return np.random.default_rng(seed).normal(size=(6, 20, 8)).astype(np.float32) @ np.diag(
        np.arange(1, 9, dtype=np.float32)
    )


def test_all_components_leave_nothing_and_k_leave_the_smallest_variances():
    x = states()
    assert fvu(x, write_with(Components(x, 8), x)) < 1e-10
    spectrum = np.linalg.eigvalsh(np.cov(x.reshape(-1, 8), rowvar=False))
    assert fvu(x, write_with(Components(x, 3), x)) == pytest.approx(spectrum[:5].sum() / spectrum.sum())
    with pytest.raises(InputError, match="9 principal components"):
        Components(x, 9)


def test_components_of_some_tokens_at_a_time_are_those_of_all(monkeypatch):
    x = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32) * np.arange(1, 7) + 3
    whole = Components(x, 2)
    monkeypatch.setattr("innerear.features.measures._ROWS", 7)
    parts = Components(x, 2)
    states = torch.from_numpy(x)
    torch.testing.assert_close(parts(states), whole(states))


def test_what_all_clips_share_at_a_step_is_no_success():
    position = np.arange(20, dtype=np.float32)[None, :, None] * np.ones((6, 1, 8), np.float32)
    x = states() + 10 * position
    only_position = np.broadcast_to(x.mean(axis=0), x.shape)
    assert fvu(x, only_position) < 0.1
    assert fvu_within_steps(x, only_position) == pytest.approx(1)


def test_the_gaussian_twin_has_mean_and_covariance_and_no_more():
    x = np.random.default_rng(0).exponential(size=(20_000, 3)) @ np.array([[1, 2, 0], [0, 1, 0], [0, 0, 3]])
    twin = gaussian_twin(x, seed=1)
    np.testing.assert_allclose(twin.mean(axis=0), x.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(np.cov(twin.T), np.cov(x.T), atol=0.3)
    skewed, straight = (((y - y.mean(0)) ** 3).mean(0) / y.std(0) ** 3 for y in (x, twin))
    assert skewed[2] > 1.5 and abs(straight[2]) < 0.1


def test_a_dictionary_in_another_order_is_the_same():
    torch.manual_seed(0)
    one = unit_rows(torch.randn(30, 8))
    other = one[torch.randperm(30)]
    assert agreement(one, other) == 1
    assert stable([one, other, one * 5]).all()
    assert not stable([one, other, -one]).all()
    assert not stable([one]).any()


def test_each_direction_has_one_partner():
    one = unit_rows(torch.randn(5, 8, generator=torch.Generator().manual_seed(0)))
    found = matched(one, one[:2])
    assert np.isnan(found).sum() == 3
    assert np.nanmin(found) == pytest.approx(1)
    assert agreement(one, one[[0, 0, 0, 0, 0]]) == pytest.approx(0.2)


def test_chance_is_small_in_many_dimensions_and_not_in_few():
    generator = torch.Generator().manual_seed(0)
    many, few = (torch.randn(100, d, generator=generator) for d in (64, 2))
    assert chance(many, many) <= 0.02
    assert chance(few, few) > 0.5
