"""The R² map stars what is significant and hatches what could not be used."""

import numpy as np

from innerear.analyses.sound import BEYOND
from innerear.figures.sound import r2_map


def overlaps(figure, axes):
    """Whether the title of a panel is wider than the panel, or the heading than the figure."""
    figure.draw_without_rendering()
    heading = max(text.get_window_extent().width for text in figure.texts)
    return axes.title.get_window_extent().width > axes.bbox.width * 1.1 or heading > figure.bbox.width


def test_stars_and_hatches(study):
    figure = r2_map(study.correlation, model="nano")
    uncond = figure.axes[1]
    stars = {(text.get_position()[0], round(text.get_position()[1])) for text in uncond.texts}
    assert stars == {(0, 0), (1, 0)}  # loudness in both layers, and nothing else
    assert [patch.get_hatch() for patch in uncond.patches] == ["////"]
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["loudness (dB)", "noise", "tempo"]
    assert not [axes for axes in figure.axes[:3] if overlaps(figure, axes)]
    assert "max-T over layers × features × branches × windows" in figure.get_suptitle()


def test_what_is_beyond_the_label_has_a_map_of_its_own(study):
    figure = r2_map(study.correlation, model="nano", statistic=BEYOND)
    assert not figure.axes[1].texts  # loudness follows the label, and so do the states, no further
    assert "beyond the label" in figure.get_suptitle()
    assert "label and states" in figure.axes[-1].get_ylabel()


def test_nothing_usable_still_draws_with_the_reason(study):
    table = study.correlation.assign(
        estimate=np.nan, p=np.nan, p_corrected=np.nan, null="none: no folds are possible"
    )
    assert "not tested (no folds are possible)" in r2_map(table, model="nano").get_suptitle()
