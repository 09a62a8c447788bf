"""The R² map stars what is significant and hatches what could not be used."""

import numpy as np
import pytest

from innerear.figures.sound import draw


def overlaps(figure, axes):
    """Whether the title of a panel is wider than the panel, or the heading than the figure."""
    figure.draw_without_rendering()
    heading = max(text.get_window_extent().width for text in figure.texts)
    return axes.title.get_window_extent().width > axes.bbox.width * 1.1 or heading > figure.bbox.width


def test_stars_and_hatches(study):
    figure = draw(study.sound, model="nano", contrast="emotion")["sound"]
    uncond = figure.axes[1]
    stars = {(text.get_position()[0], round(text.get_position()[1])) for text in uncond.texts}
    assert stars == {(0, 0), (1, 0)}  # loudness in both layers, and nothing else
    assert [patch.get_hatch() for patch in uncond.patches] == ["////"]
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["loudness (dB)", "noise", "tempo"]
    assert not [axes for axes in figure.axes[:3] if overlaps(figure, axes)]
    assert "max-T over layers × features × branches × windows" in " ".join(figure.get_suptitle().split())


def test_what_is_beyond_the_label_has_a_map_of_its_own(study):
    figure = draw(study.sound, model="nano", contrast="emotion")["sound_beyond"]
    assert not figure.axes[1].texts  # loudness follows the label, and so do the states, no further
    assert "beyond the emotion" in figure.get_suptitle()
    assert "what the emotion leaves" in figure.axes[-1].get_ylabel()


@pytest.mark.parametrize(("lowest", "arrow"), [(-0.5, "min"), (0.0, "neither")])
def test_an_arrow_says_that_values_below_zero_are_drawn_as_zero(study, lowest, arrow):
    table = study.sound.assign(estimate=study.sound["estimate"].clip(lower=0) + lowest)
    figure = draw(table, model="nano", contrast="emotion")["sound"]
    assert figure.axes[0].images[0].colorbar.extend == arrow


def test_nothing_usable_still_draws_with_the_reason(study):
    table = study.sound.assign(
        estimate=np.nan, p=np.nan, p_corrected=np.nan, null="none: no folds are possible"
    )
    figure = draw(table, model="nano", contrast="emotion")["sound"]
    assert "not tested (no folds are possible)" in " ".join(figure.get_suptitle().split())
