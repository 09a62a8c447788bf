"""All clips as points in the plane of a layer's first two components, in each time bin."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from innerear.analyses.components import signs
from innerear.gram.reading import GramSource

#: largest coordinate of a point
EDGE = 127


class Plane(NamedTuple):
    """Places int8 [C, L, bins, N, 2], and the share of variance of both components [C, L, 2]."""

    places: NDArray[np.int8]
    shares: NDArray[np.float64]


def planes(grams: Mapping[int, GramSource]) -> Plane:
    """Return where each clip stands, from the means of time bins in Gram files: no stack is read.

    The axes are those of all clips and bins of a layer and branch, so that points move and axes do not; each
    layer and branch has a scale of its own. Signs are those of `innerear.analyses.components`.
    """
    branches = next(iter(grams.values())).labels("branch")
    found = [[_plane(gram.read("bin_mean", branch=branch)) for gram in grams.values()] for branch in branches]
    places = np.array([[one for one, _ in row] for row in found])
    return Plane(places, np.array([[share for _, share in row] for row in found]))


def _plane(means: NDArray) -> tuple[NDArray[np.int8], NDArray]:
    """Return places [bins, N, 2] of means [bins, N, D], and the components' shares."""
    rows = np.array(means, np.float64).reshape(-1, means.shape[-1])
    rows -= rows.mean(axis=0)
    wide = rows.shape[1] > rows.shape[0]
    product = rows @ rows.T if wide else rows.T @ rows
    last = len(product) - 1
    # Two components of thousands: `principal_components` finds all of them, and takes twice as long.
    size, vectors = eigh(product, subset_by_index=[max(last - 1, 0), last])
    size, vectors = np.maximum(size[::-1], 0), vectors[:, ::-1]
    points = vectors * np.sqrt(size) if wide else rows @ vectors
    points = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    points *= signs(points)
    largest = np.abs(points).max()
    shares = np.pad(size, (0, 2 - len(size))) / max(np.square(rows).sum(), 1e-300)
    scaled = np.round(points * (EDGE / largest if largest > 0 else 0)).astype(np.int8)
    return scaled.reshape(*means.shape[:2], 2), shares
