"""Emergence figures: the onset with its interval, or that there is none; filled is significant."""

import numpy as np
import pytest

from innerear.analyses.emergence import INTERACTION, ONSET
from innerear.figures.emergence import early_late, emergence_curves
from innerear.figures.tables import rows_of


def test_the_onset_is_drawn_where_the_table_has_one(study, answers):
    figure = emergence_curves(answers.emergence, answers.discriminability, model="nano", contrast="emotion")
    assert "When emotion emerges, nano" in figure.get_suptitle()
    assert "n: 16 prompts" in figure.get_suptitle()
    titles = [axes.get_title() for axes in figure.axes]
    assert not any(title.startswith("cond ") for title in titles)
    uncond = figure.axes[0]
    row = rows_of(answers.emergence, statistic=ONSET, branch="uncond", layer=0, unit="step").iloc[0]
    assert row["estimate"] == pytest.approx(study.onset, abs=1)
    onset = f"onset {row['estimate']:.0f} ({row['ci_lo']:.0f}–{row['ci_hi']:.0f})"
    assert [text.get_text() for text in uncond.texts] == [onset]
    assert any(list(line.get_xdata()) == [row["estimate"]] * 2 for line in uncond.lines)


def test_without_a_rise_there_is_no_onset(answers):
    table = answers.emergence.assign(
        estimate=answers.emergence["estimate"].where(answers.emergence["statistic"] != ONSET)
    )
    figure = emergence_curves(table, answers.discriminability, model="nano", contrast="emotion")
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert texts == {"no rise, no onset"}


def test_early_and_late_fill_what_is_significant(answers):
    figure = early_late(answers.emergence, model="nano", contrast="emotion")
    assert "Last against first 10 % of steps: emotion, nano" in figure.get_suptitle()
    assert "filled: p ≤ 0.05 by max-T over layers" in figure.get_suptitle()
    for panel, branch in zip(figure.axes, ("cond", "uncond", "delta"), strict=False):
        rows = rows_of(answers.emergence, statistic=INTERACTION, branch=branch)
        points = panel.collections[-1]
        np.testing.assert_allclose(points.get_offsets()[:, 1], rows["estimate"])
        white = (points.get_facecolors()[:, :3] == 1).all(axis=1)
        assert (white == (rows["p_corrected"] > 0.05)).all()
    # Emotion came in between: the code of the last tenth is not that of the first.
    assert (rows_of(answers.emergence, statistic=INTERACTION, branch="uncond")["p_corrected"] <= 0.05).all()
