"""UMAP figures: places, sizes and colours are those of the tables, and the trustworthiness is told."""

import numpy as np
import pandas as pd
import pytest
from fakes import Stored
from matplotlib.colors import to_rgba

from innerear.analyses.embedding import BINS, SAMPLES
from innerear.figures.drawing.style import palette
from innerear.figures.embedding import draw

LAYERS, BRANCHES, N, N_BINS = (0, 3), ("cond", "uncond"), 6, 3


def make_places():
    """Made-up arrays of places; the table says that nothing is drawn in uncond of layer 3."""
    rng, pictures = np.random.default_rng(0), ("layer", "branch", "umap_seed")
    arrays = {
        "samples": ((*pictures, "sample", "axis"), rng.normal(size=(2, 2, 3, N, 2))),
        "bins": ((*pictures, "sample", "bin", "axis"), rng.normal(size=(2, 2, 3, N, N_BINS, 2))),
        "bin_seconds": (("bin",), np.array([0.5, 1.5, 2.5])),
    }
    return Stored(arrays, {"layer": np.array(LAYERS), "branch": BRANCHES, "umap_seed": np.arange(3)})


SHEET = pd.DataFrame(
    {
        "emotion": ["happy", "sad"] * 3,
        "valence": [0.8, -0.7, 0.6, -0.5, 0.7, -0.6],
        "prompt_id": [f"p{i}" for i in range(6)],
        "seed": 0,
    }
)


def table():
    rows = [
        {"layer": layer, "branch": branch, "points": points, "umap_seed": seed}
        | {"estimate": np.nan if (layer, branch) == (3, "uncond") else 0.8 + 0.05 * seed}
        for layer in LAYERS
        for branch in BRANCHES
        for points in (SAMPLES, BINS)
        for seed in range(3)
    ]
    return pd.DataFrame(rows)


def drawn(name, contrast="emotion"):
    figures = draw(SHEET, table(), make_places(), model="nano", contrast=contrast)
    assert list(figures) == ["umap_samples", "umap_bins"]
    return figures[f"umap_{name}"]


@pytest.mark.parametrize("name", ["samples", "bins"])
def test_places_colours_and_trustworthiness(name):
    places, figure = make_places(), drawn(name)
    assert "nano" in figure.get_suptitle()
    assert "n: 6 prompts × 1 seed" in figure.get_suptitle()
    assert "1 seeds" not in figure.get_suptitle()
    assert "one seed of 3; T: trustworthiness, range over seeds" in figure.get_suptitle()
    panel = figure.axes[3]
    np.testing.assert_allclose(panel.collections[0].get_offsets(), places.read(name)[1, 1, 0].reshape(-1, 2))
    assert figure.axes[0].get_title() == "cond, layer 0\nT 0.80–0.90"
    assert panel.get_title() == "uncond, layer 3\nnot drawn"
    colours = palette(["happy", "sad"])
    per_sample = panel.collections[0].get_facecolors()[:: len(panel.collections[0].get_offsets()) // N]
    expected = [to_rgba(colours[emotion], 0.7) for emotion in SHEET["emotion"]]
    np.testing.assert_allclose(per_sample, expected)


def test_late_bins_are_larger():
    figure = drawn("bins")
    assert "0.5 s (small) to 2.5 s (large)" in figure.get_suptitle()
    sizes = figure.axes[0].collections[0].get_sizes().reshape(N, N_BINS)
    assert (np.diff(sizes, axis=1) > 0).all()


def test_a_rating_has_a_scale_in_place_of_a_legend():
    figure = drawn("samples", "valence")
    (bar,) = (axes for axes in figure.axes if axes.get_label() == "<colorbar>")
    assert bar.get_ylabel() == "valence"
    assert bar.get_ylim() == (-0.7, 0.8)
    assert not figure.legends
    faces = figure.axes[0].collections[0].get_facecolors()
    assert len(np.unique(faces, axis=0)) == 6
