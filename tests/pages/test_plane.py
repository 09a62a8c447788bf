"""Places of clips in the plane are those of a principal component analysis over all clips and time bins."""

import numpy as np
import pytest

from innerear.pages.plane import EDGE, planes


class Means:
    """A Gram file that holds means of bins [C, bins, N, D] alone."""

    def __init__(self, means):
        self.means = means

    def labels(self, axis):
        return ["cond", "uncond"][: len(self.means)]

    def read(self, name, branch):
        return self.means[self.labels("branch").index(branch)]


@pytest.mark.parametrize("shape", [(5, 8, 4), (3, 4, 60)])
def test_places_are_the_scores_of_the_first_two_components(shape):
    means = np.random.default_rng(0).normal(size=(2, *shape)) * np.linspace(3, 0.1, shape[-1])
    found = planes({2: Means(means)})
    assert found.places.shape == (2, 1, *shape[:2], 2)
    for branch in range(2):
        rows = means[branch].reshape(-1, shape[-1])
        rows = rows - rows.mean(axis=0)
        u, size, _ = np.linalg.svd(rows, full_matrices=False)
        scores = (u * size)[:, :2]
        scores *= EDGE / np.abs(scores).max()
        own = found.places[branch, 0].reshape(-1, 2).astype(float)
        for k in range(2):
            assert min(np.abs(own[:, k] - sign * scores[:, k]).max() for sign in (1, -1)) <= 0.5 + 1e-9
        np.testing.assert_allclose(found.shares[branch, 0], (size**2 / (size**2).sum())[:2])


def test_axes_stay_while_points_move():
    """Clips that move along one direction over time move along one axis."""
    time = np.linspace(-1, 1, 7)[:, None, None]
    means = time * np.eye(5)[0] * 10 + np.random.default_rng(1).normal(size=(1, 6, 5)) * 0.1
    places = planes({0: Means(means[None])}).places[0, 0].astype(int)
    assert np.ptp(places[:, :, 0], axis=0).min() > 200
    assert np.ptp(places[:, :, 1], axis=0).max() <= 2


def test_clips_that_do_not_differ_stand_in_the_middle():
    assert not planes({0: Means(np.ones((1, 3, 4, 2)))}).places.any()
    assert planes({0: Means(np.zeros((1, 2, 3, 1)))}).places.shape == (1, 1, 2, 3, 2)
