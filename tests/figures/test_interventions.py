"""Figures of interventions: dose above cost for each layer, ablation and patching by template."""

from itertools import pairwise

import fake_interventions as fake
import numpy as np
import pandas as pd
import pytest

from innerear.analyses.interventions import EFFECT, interventions
from innerear.figures.drawing.style import BRANCH_COLOURS, palette, save
from innerear.figures.interventions import _WINDOWS, dose_curves, draw
from innerear.io.tables import read_table, write_table


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The map and the curves, as they are read from their files."""
    folder, rng = tmp_path_factory.mktemp("tables"), np.random.default_rng(0)
    twin = fake.steered(rng, weights="random_init", effect=0.0, draws=0)
    found = interventions(
        *fake.sheet(rng),
        pd.concat([fake.steered(rng), twin], ignore_index=True),
        fake.ablated(rng),
        fake.patched(rng),
        poles=fake.POLES,
        model="nano",
        statistics=fake.STATISTICS,
    )
    for name, table in found._asdict().items():
        write_table(table, folder / f"{name}.tsv")
    return [read_table(folder / f"{name}.tsv") for name in found._fields]


@pytest.fixture(scope="module")
def figures(tables):
    return draw(*tables, model="nano", contrast="emotion")


def test_every_figure_is_saved(figures, tmp_path):
    assert list(figures) == ["steering", "ablation", "patching"]
    for name, figure in figures.items():
        save(figure, tmp_path / f"{name}.svg", tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 5000


def test_a_column_for_each_layer_and_a_thin_line_for_each_template(figures):
    axes = figures["steering"].axes
    assert [one.get_title("left") for one in axes[:2]] == ["layer 0 *", "layer 3 *"]
    assert [one.get_ylabel() for one in axes[::2]] == [
        "probability of energetic",
        "loudness (LUFS)",
        "centroid (Hz)",
        "cost: nats a token",
        "states' distance,\n× the usual",
    ]
    loudness = axes[2]
    thin = [line for line in loudness.lines if line.get_linewidth() == 0.5]
    assert len(thin) == len(fake.TEMPLATES)
    assert all(list(line.get_xdata()) == [-0.5, -0.25, 0, 0.25, 0.5] for line in thin)
    thick = [line for line in loudness.lines if line.get_linewidth() == 1.6 and line.get_linestyle() == "-"]
    [mean] = [line for line in thick if len(line.get_xdata()) == 5]
    assert np.allclose(np.diff(mean.get_ydata()), 7.5, atol=1)
    bands = [line for line in loudness.lines if line.get_linewidth() == 5]
    assert sorted(line.get_xdata()[0] for line in bands) == [-0.5, 0.5]
    assert any(line.get_linestyle() == "--" for line in loudness.lines)


def test_stars_stand_where_both_tests_say_so(figures):
    axes = figures["steering"].axes
    # Probability and loudness follow the dose; brightness, cost and distance are no such effects.
    stars = [" *" in one.get_title("left") for one in axes]
    assert stars == [True] * 4 + [False] * 6


def test_the_title_says_whose_stars_and_templates_they_are(tables, figures):
    title = figures["steering"].get_suptitle()
    assert "thin: templates moved along means" in title
    assert "*: means, p ≤ 0.05" in title
    table, curves = tables
    other = dose_curves(table.assign(main=table["source"] == "delta"), curves, model="nano")
    assert "thin: templates moved along delta" in other.get_suptitle()
    assert "*: delta, p ≤ 0.05" in other.get_suptitle()
    effects = table[(table["statistic"] == EFFECT) & (table["weights"] == "trained")]
    sure = effects[(effects["p_corrected"] <= 0.05) & (effects["p_flip_corrected"] <= 0.05)]
    stars = sum("*" in one.get_title("left") for one in other.axes)
    assert stars == ((sure["source"] == "delta") & (sure["measure"] != "flatness")).sum() < 4
    thin = [line for line in other.axes[2].lines if line.get_linewidth() == 0.5]
    assert {tuple(line.get_xdata()) for line in thin} == {(-0.5, 0, 0.5)}


def test_ablation_is_paired_by_template(figures):
    axes = figures["ablation"].axes
    assert [one.get_title() for one in axes] == ["edited: layer 3 *", "edited: all layers *"]
    assert all(len(one.lines) == len(fake.TEMPLATES) + 1 for one in axes)  # and chance
    assert next(text.get_text() for text in axes[0].get_xticklabels()) == "untouched"
    assert f"n: {len(fake.TEMPLATES)} templates" in figures["ablation"].get_suptitle()


def test_ablation_draws_chance(figures):
    assert "dotted: by chance" in figures["ablation"].get_suptitle()
    for panel in figures["ablation"].axes:
        [line] = [line for line in panel.lines if line.get_linestyle() == ":"]
        assert set(line.get_ydata()) == {1 / len(fake.LABELS)}


def test_names_below_the_panels_of_ablation_do_not_touch(figures):
    figure = figures["ablation"]
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for axes in figure.axes for text in axes.get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_patching_has_a_panel_for_text_and_for_history(figures):
    axes = figures["patching"].axes
    assert [one.get_title() for one in axes] == ["another text", "another history"]
    assert [text.get_text() for text in axes[0].get_xticklabels()] == ["0", "3"]
    assert len(axes[0].lines) == 1
    assert not len(axes[1].lines)


def test_windows_of_patching_differ_in_shape_and_look_like_no_emotion_or_branch(figures):
    assert len({marker for _, marker in _WINDOWS.values()}) == len(_WINDOWS)
    others = {*palette(fake.LABELS).values(), *BRANCH_COLOURS.values()}
    assert not {colour for colour, _ in _WINDOWS.values()} & others
    [legend] = figures["patching"].legends
    shown = {handle.get_label(): handle.get_marker() for handle in legend.legend_handles}
    assert {name: shown[name] for name in ("whole", "first half")} == {"whole": "o", "first half": "<"}
    assert "second half" not in shown  # it was not patched
