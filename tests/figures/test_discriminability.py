"""Discriminability figures: outlines, bands and confirmations are those of the tables."""

import numpy as np
import pytest

from innerear.analyses.discriminability import DISTANCE, EVIDENCE
from innerear.figures.discriminability import discriminability_curves, discriminability_maps, layer_ranks
from innerear.figures.drawing.maps import Steps, by_layer_and_step
from innerear.figures.drawing.tables import rows_of


def panels(figure):
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


def test_maps_show_the_estimates_and_outline_what_is_significant(study, answers):
    figure = discriminability_maps(answers.discriminability, model="nano", contrast="emotion")
    title = figure.get_suptitle()
    assert "How far apart emotion lies in the layers, nano" in title
    assert "n: 16 prompts; 99 permutations, smallest p 0.01" in title
    assert "max-T over layers × steps" in title
    cond, uncond, _ = panels(figure)[:3]
    rows = rows_of(answers.discriminability, over="steps", statistic=DISTANCE, branch="uncond")
    expected = by_layer_and_step(rows, "estimate", study.layers, Steps.of(rows))
    np.testing.assert_allclose(uncond.images[0].get_array().filled(np.nan), expected)
    outline, _ = uncond.collections
    x = np.concatenate([path.vertices[:, 0] for path in outline.get_paths()])
    assert x.min() == pytest.approx(study.onset - 0.5, abs=1)
    assert sum(len(path.vertices) for one in cond.collections[:-1] for path in one.get_paths()) < len(x)
    labels = [axes.get_ylabel() for axes in figure.axes if axes.get_label() == "<colorbar>"]
    assert labels[0].startswith("distance²")


def test_without_a_test_the_map_says_why(answers):
    table = answers.discriminability.assign(p_corrected=np.nan, null="none: one prompt per emotion")
    figure = discriminability_maps(table, model="nano", contrast="emotion")
    assert "not tested (one prompt per emotion)" in figure.get_suptitle()
    assert not panels(figure)[1].collections


def test_bands_of_curves_are_the_intervals(answers):
    figure = discriminability_curves(answers.discriminability, model="nano", contrast="emotion")
    assert "95% of 50 bootstraps of templates" in figure.get_suptitle()
    panel = panels(figure)[4]  # second row, uncond
    rows = rows_of(answers.discriminability, over="steps", statistic=EVIDENCE, branch="uncond", layer=0)
    rows = rows.sort_values("step")
    line = next(line for line in panel.lines if line.get_label() == "layer 0")
    np.testing.assert_allclose(line.get_ydata(), rows["estimate"])
    band = panel.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((rows["ci_lo"].min(), rows["ci_hi"].max()))


def test_ranks_carry_their_interval_and_the_confirmation(answers):
    figure = layer_ranks(answers.discriminability, answers.best, model="nano", contrast="emotion")
    assert "99 permutations, corrected over branches" in figure.get_suptitle()
    assert "bars: 95% of 50 bootstraps of templates" in figure.get_suptitle()
    row = rows_of(answers.best, layer=-1, branch="uncond").iloc[0]
    assert f"held out: {row['estimate']:.3f}, p = {row['p_corrected']:.3f}" in panels(figure)[1].get_title()
    ranks = panels(figure)[4]
    expected = rows_of(answers.best, branch="uncond", statistic="rank of the layer")
    np.testing.assert_allclose(ranks.lines[0].get_ydata(), expected["estimate"])
    low, high = ranks.get_ylim()
    assert low > high  # rank 1 is above
    unconfirmed = layer_ranks(
        answers.discriminability, answers.best.assign(p_corrected=np.nan), model="nano", contrast="emotion"
    )
    assert "best layer not confirmed" in panels(unconfirmed)[0].get_title()
