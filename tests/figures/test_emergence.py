"""Emergence figures: the onset with its interval, or that there is none; filled is significant."""

import numpy as np

from innerear.analyses.emergence import INTERACTION, ONSET, RISE
from innerear.figures.drawing.tables import rows_of
from innerear.figures.emergence import early_late, emergence_curves


def test_the_onset_is_drawn_where_the_table_has_one(answers):
    table = answers.emergence.copy()
    onset = (table["statistic"] == ONSET) & (table["unit"] == "step") & (table["branch"] == "uncond")
    table.loc[onset, ["estimate", "ci_lo", "ci_hi"]] = [15.0, 14.0, 17.0]
    figure = emergence_curves(table, answers.discriminability, model="nano", contrast="emotion")
    assert "When emotion emerges, nano" in figure.get_suptitle()
    assert "n: 16 prompts" in figure.get_suptitle()
    titles = [axes.get_title() for axes in figure.axes]
    assert not any(title.startswith("cond ") for title in titles)
    uncond = figure.axes[0]
    assert [text.get_text() for text in uncond.texts] == ["onset 15 (14–17)"]
    assert any(list(line.get_xdata()) == [15, 15] for line in uncond.lines)


def test_without_a_rise_there_is_no_onset(answers):
    table = answers.emergence.assign(
        estimate=answers.emergence["estimate"].where(answers.emergence["statistic"] != ONSET)
    )
    figure = emergence_curves(table, answers.discriminability, model="nano", contrast="emotion")
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert texts == set(rows_of(table, statistic=RISE)["answer"])


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


def test_bands_and_bars_are_of_what_the_tables_say(answers):
    resampled = {"interval": "95% of 50 bootstraps of prompts"}
    table, curves = answers.emergence.assign(**resampled), answers.discriminability.assign(**resampled)
    figure = emergence_curves(table, curves, model="nano", contrast="emotion")
    assert "bands: 95% of 50 bootstraps of prompts" in figure.get_suptitle()
    figure = early_late(table, model="nano", contrast="emotion")
    assert "bars: 95% of 50 bootstraps of prompts" in figure.get_suptitle()


def test_answers_stand_above_all_curves(answers):
    figure = emergence_curves(answers.emergence, answers.discriminability, model="nano", contrast="emotion")
    figure.draw_without_rendering()
    written = [(panel, panel.texts[0].get_window_extent()) for panel in figure.axes if panel.texts]
    assert written
    for panel, box in written:
        bands = [path.vertices[:, 1].max() for one in panel.collections for path in one.get_paths()]
        assert panel.transData.transform((0, max(bands)))[1] < box.y0
