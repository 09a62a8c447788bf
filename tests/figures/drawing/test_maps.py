"""Maps hatch what was tested and not found, so that all and nothing significant look different."""

import numpy as np
import pytest

from innerear.figures.drawing.maps import draw_map
from innerear.figures.drawing.style import SEQUENTIAL, new_figure

N_LAYERS, N_STEPS = 3, 8
NAN = np.full((N_LAYERS, 1), np.nan)


def drawn(p):
    _, axes = new_figure(1, 1)
    draw_map(axes[0, 0], p, range(N_LAYERS), (0, 1), SEQUENTIAL, p)
    return axes[0, 0].collections


def hatched_cells(collections):
    """Bool [L, S]: cells whose centre lies in a hatched area."""
    areas = [path for one in collections if getattr(one, "hatches", [None])[0] for path in one.get_paths()]
    cells = np.zeros((N_LAYERS, N_STEPS), bool)
    for path in areas:
        # Just off the centre, where a contour of whole cells runs.
        inside = [
            path.contains_point((s + 1e-3, l)) | path.contains_point((s - 1e-3, l))
            for l, s in np.ndindex(cells.shape)
        ]
        cells |= np.reshape(inside, cells.shape)
    return cells


@pytest.mark.parametrize("found", [0.0, 0.4, 1.0])
def test_cells_are_hatched_where_they_were_tested_and_not_found(found):
    p = np.where(np.random.default_rng(0).random((N_LAYERS, N_STEPS - 2)) < found, 0.01, 0.5)
    p = np.hstack([NAN, p, NAN])
    np.testing.assert_array_equal(hatched_cells(drawn(p)), p > 0.05)


def test_a_map_without_a_test_has_no_marks():
    assert not drawn(np.full((N_LAYERS, N_STEPS), np.nan))


def test_equal_values_have_one_colour_in_every_panel():
    """A scale without width would be widened by the panel that has the bar, and only there."""
    figure, axes = new_figure(1, 2)
    images = [
        draw_map(panel, np.ones((N_LAYERS, N_STEPS)), range(N_LAYERS), (1, 1), SEQUENTIAL)
        for panel in axes[0]
    ]
    figure.colorbar(images[0])
    figure.draw_without_rendering()
    one, other = (image.to_rgba(1.0) for image in images)
    assert one == other


def test_marks_reach_the_ends_of_a_map():
    for p in (0.01, 0.5):
        marks = drawn(np.full((N_LAYERS, N_STEPS), p))[-1]
        corners = np.concatenate([path.vertices for path in marks.get_paths()])
        ends = [corners.min(axis=0), corners.max(axis=0)]
        np.testing.assert_allclose(ends, [(-0.5, -0.5), (N_STEPS - 0.5, N_LAYERS - 0.5)], atol=0.05)
