"""UMAP: planted clusters stay apart, a seed gives one picture, and what cannot be drawn says so."""

from pathlib import Path

import numpy as np
import pytest
from fakes import EMOTIONS, Stored, codes_of, sheet
from scipy.spatial.distance import cdist

from innerear.analyses.embedding import BINS, SAMPLES, distances, embed, embedding, kept_bins
from innerear.errors import InputError
from innerear.figures.embedding import draw
from innerear.statistics.design import Design


def make_design(n_templates):
    return Design(sheet(n_templates, 1, EMOTIONS[:3]), seed=5)


def clusters(design, n=1):
    """[N * n, 20] points: three far clusters, by emotion."""
    rng = np.random.default_rng(0)
    codes = np.repeat(codes_of(design.labels), n)
    return 50 * np.eye(3, 20)[codes] + rng.normal(size=(len(codes), 20))


def grams(design, n_bins=4):
    x, y = clusters(design), clusters(design, n_bins)
    gram = Stored(
        {
            "window_mean": (("branch", "window"), np.stack([x, 0 * x])[:, None]),
            "bin_mean": (("branch", "bin"), np.stack([y, 0 * y]).reshape(2, -1, n_bins, 20).swapaxes(1, 2)),
            "bin_start": (("bin",), 5 * np.arange(n_bins)),
            "bin_steps": (("bin",), np.full(n_bins, 5)),
            "seconds": (("step",), np.arange(5 * n_bins) / 50),
        },
        {"branch": ["cond", "uncond"], "window": ["whole"], "sample": design.samples["sample_id"].to_numpy()},
    )
    return {0: gram, 3: gram}


def test_distances_are_euclidean():
    x = clusters(make_design(4))
    np.testing.assert_allclose(distances(x @ x.T), cdist(x, x), atol=1e-5)


def test_planted_clusters_stay_apart_and_a_seed_gives_one_picture():
    design = make_design(20)
    x = clusters(design)
    places, score, neighbours = embed(cdist(x, x), 1)
    near = cdist(places, places) + np.diag(np.full(len(places), np.inf))
    assert (design.labels[near.argmin(axis=1)] == design.labels).all()
    assert score > 0.85
    assert neighbours == 15
    np.testing.assert_array_equal(embed(cdist(x, x), 1)[0], places)
    assert not np.allclose(embed(cdist(x, x), 2)[0], places)


def test_what_umap_compiles_is_kept_for_later_jobs():
    design = make_design(4)
    x = clusters(design)
    embed(cdist(x, x), 1)
    from umap import umap_, utils

    for loop in (utils.fast_knn_indices, umap_.smooth_knn_dist, umap_.compute_membership_strengths):
        assert list(Path(loop.stats.cache_path).glob(f"*{loop.__name__}*.nbi"))


def test_a_line_in_the_plane_is_trustworthy_and_noise_is_less_so():
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = np.c_[np.cos(angle), np.sin(angle)]
    noise = np.random.default_rng(0).normal(size=(60, 60))
    _, good, _ = embed(cdist(circle, circle), 0)
    _, poor, _ = embed(cdist(noise, noise), 0)
    assert good > 0.95
    assert poor < good - 0.1


def test_few_points_take_fewer_neighbours_and_fewer_still_are_refused():
    x = np.random.default_rng(0).normal(size=(8, 5))
    places, _, neighbours = embed(cdist(x, x), 0)
    assert neighbours == 3
    assert np.isfinite(places).all()
    with pytest.raises(InputError, match="UMAP of 7 points"):
        embed(cdist(x[:7], x[:7]), 0)


def test_bins_are_thinned_to_what_can_be_drawn():
    assert kept_bins(20, 10).tolist() == list(range(20))
    assert kept_bins(20, 80).tolist() == [0, 4, 8, 12, 16]
    assert kept_bins(20, 100_000).tolist() == [0, 10]


def test_the_table_records_seeds_and_why_nothing_was_drawn():
    design = make_design(4)
    result = embedding(grams(design), design, model="nano", n_seeds=2)
    table = result.table
    assert set(table["umap_seed"]) == {5, 6}
    assert len(table) == 2 * 2 * 2 * 2  # layers, branches, kinds of points, seeds
    assert table[["p", "p_corrected", "min_p"]].isna().all(axis=None)
    cond, uncond = (table[table["branch"] == branch] for branch in ("cond", "uncond"))
    assert (cond["null"] == "none: a picture, not a test").all()
    assert cond["estimate"].between(0.5, 1).all()
    assert uncond["estimate"].isna().all()
    assert uncond["null"].str.contains("deterministic").all()
    assert set(cond[cond["points"] == SAMPLES]["n_points"]) == {12}
    assert set(cond[cond["points"] == BINS]["n_points"]) == {48}
    assert result.arrays["bins"][1].shape == (2, 2, 2, 12, 4, 2)
    places = Stored(result.arrays, result.coords)
    for figure in draw(design.samples, table, places, model="nano", contrast="emotion").values():
        assert "not to be read" in figure.get_suptitle()
        assert "not drawn" in figure.axes[-1].get_title()


def test_too_few_samples_are_not_drawn():
    design = make_design(2)
    table = embedding(grams(design), design, model="nano", n_seeds=1).table
    few = table[(table["points"] == SAMPLES) & (table["branch"] == "cond")]
    assert few["estimate"].isna().all()
    assert few["null"].str.contains("6 points: UMAP needs at least 8").all()


def test_another_order_of_samples_is_refused():
    design = make_design(4)
    files = grams(design)
    files[0].axes["sample"] = files[0].axes["sample"][::-1]
    with pytest.raises(InputError, match="stands where"):
        embedding(files, design, model="nano")
