"""Geometry figures show what the tables and scores say."""

import numpy as np
from matplotlib.colors import to_hex

from innerear.figures.components import component_plane, draw, scree, trajectories
from innerear.figures.drawing.style import palette
from innerear.figures.drawing.tables import rows_of


def test_scree_counts_components_beyond_chance(study):
    figure = scree(study.components, model="nano")
    panel = figure.axes[1]  # layer 0, uncond
    n = rows_of(study.components, layer=0, branch="uncond")["n_components"].iloc[0]
    assert f"{n} beyond chance" in [text.get_text() for text in panel.texts]
    assert n > 0
    assert "permuted between prompts within templates" in figure.get_suptitle()
    assert "nano" in figure.get_suptitle()


def test_scree_that_was_not_tested_says_why(study):
    gaps = dict.fromkeys(("p", "p_corrected", "null_median", "null_95"), np.nan)
    table = study.components.assign(**gaps, n_components=0, null="none: no permutations were asked for")
    figure = scree(table, model="nano")
    assert "not tested (no permutations were asked for)" in figure.get_suptitle()
    assert "not tested" in [text.get_text() for text in figure.axes[0].texts]


def test_plane_colours_emotions(study):
    figure = component_plane(study.scores, study.components, study.samples, model="nano")
    points = figure.axes[0].collections
    colours = {to_hex(colour) for one in points for colour in one.get_facecolors()}
    assert colours == {colour.lower() for colour in palette(study.samples["emotion"]).values()}
    drawn = np.concatenate([one.get_offsets() for one in points])
    scores = study.scores[0].read("scores", branch=0)[:, :2]
    np.testing.assert_allclose(np.sort(drawn[:, 0]), np.sort(scores[:, 0]))
    share = rows_of(study.components, layer=0, branch="cond")["estimate"].iloc[0]
    assert figure.axes[0].get_xlabel() == f"PC 1 ({share:.0%})"


def test_what_is_compared_gives_the_colours(study):
    samples = study.samples.assign(valence=np.linspace(-1, 1, len(study.samples)), family="one")
    plane = component_plane(study.scores, study.components, samples, model="nano", contrast="valence")
    assert [axes.get_ylabel() for axes in plane.axes if axes.get_label() == "<colorbar>"] == ["valence"]
    moved = trajectories(study.scores, samples, model="nano", contrast="family")
    assert "thick: mean of family" in moved.get_suptitle()
    assert [text.get_text() for text in moved.legends[0].get_texts()] == ["one"]
    rated = trajectories(study.scores, samples, model="nano", contrast="valence")
    assert "thick" not in rated.get_suptitle()


def test_trajectories_hold_every_prompt_and_every_emotion(study):
    figure = trajectories(study.scores, study.samples, model="nano")
    panel = figure.axes[2]  # uncond, layer 0
    thin = [line for line in panel.lines if line.get_linewidth() == 0.5]
    assert len(thin) == study.design.n_prompts
    path = study.scores[0].read("trajectories", branch=1)[0, :, :2]
    np.testing.assert_allclose(thin[0].get_xydata(), path)
    assert "5 bins" in figure.get_suptitle()


def test_all_figures_are_drawn_by_name(study):
    figures = draw(study.samples, study.components, study.scores, model="nano", contrast="emotion")
    assert list(figures) == ["scree", "pca_plane", "trajectories"]
