"""Figures of text or history show the table's numbers, and say how they were tested or why they are empty."""

import numpy as np
import pandas as pd
import pytest
from fakes import EMOTIONS
from matplotlib.collections import LineCollection, PathCollection

from innerear.analyses.text_or_history.across_templates import PROBES
from innerear.analyses.text_or_history.cells import HISTORY, INTERACTION, PARAPHRASE, SWAP, TEXT
from innerear.analyses.text_or_history.decomposition import OVERTAKING
from innerear.analyses.text_or_history.likelihood import COST, MISMATCH
from innerear.analyses.text_or_history.shares import CLIP, LENGTH, SHUFFLED, probe_name
from innerear.figures.decomposition import (
    _COLOURS,
    _CONTROLS,
    _PROBES,
    draw,
    likelihood_matrix,
    shares_over_layers,
    shares_over_steps,
    text_maps,
    text_probes,
)
from innerear.figures.drawing.style import palette

STEPS = np.arange(3, 23)
SHARES = {TEXT: 0.2, HISTORY: 0.3, INTERACTION: -0.1, CLIP: 0.6, PARAPHRASE: 0.01, SWAP: 0.25}
OTHERS = {HISTORY + SHUFFLED: 0.0, LENGTH: 0.4, **{probe_name(*pair): 0.75 for pair in PROBES}}
COMMON = {
    "seconds": np.nan,
    "unit": "",
    "chance": np.nan,
    "interval": "95% of 50 bootstraps of templates, then seeds",
    "reading": "",
    "p_corrected": np.nan,
    "n_prompts": 20,
    "n_perm": 0,
    "min_p": np.nan,
    "null": "none: an estimate",
    "family": "",
}
TESTED = {"n_perm": 99, "min_p": 0.01, "null": "clips permuted", "family": "layers × steps"}


@pytest.fixture
def table():
    rows = []
    for weights in ("trained", "random_init"):
        for layer in (0, 3):
            where = {"weights": weights, "layer": layer}
            for name, value in (SHARES | OTHERS).items():
                tested = TESTED | {"p_corrected": 0.01} if name in (TEXT, HISTORY) or "probe" in name else {}
                numbers = {"estimate": value, "ci_lo": value - 0.01, "ci_hi": value + 0.01}
                row = COMMON | where | {"statistic": name} | numbers | tested
                rows.append(row | {"over": "windows", "step": np.nan, "window": "whole", "chance": 0.25})
                if name in (TEXT, HISTORY, INTERACTION, CLIP):
                    rows += [
                        row | {"over": "steps", "step": step, "seconds": step / 50, "window": ""}
                        for step in STEPS
                    ]
            crossing = {
                "estimate": 12.0,
                "ci_lo": 10.0,
                "ci_hi": 23.0,
                "reading": "at step 12 (at step 10 – never)",
            }
            rows.append(
                COMMON
                | where
                | {"statistic": OVERTAKING, "unit": "step", "over": "clip", "step": np.nan, "window": ""}
                | crossing
            )
    return pd.DataFrame(rows)


@pytest.fixture
def likelihood():
    rows = []
    for distribution in ("cond", "guided"):
        for i, codes in enumerate(("calm", "sad")):
            for j, text in enumerate(("calm", "sad", "none")):
                rows.append(
                    COMMON
                    | {"statistic": COST, "distribution": distribution, "codes": codes, "text_read": text}
                    | {"estimate": 0.0 if i == j else 0.5 + i, "codebook": "all", "window": "whole"}
                )
        found = {"estimate": 0.75, "ci_lo": 0.5, "ci_hi": 1.0, "p_corrected": 0.02}
        rows.append(
            COMMON
            | TESTED
            | found
            | {"statistic": MISMATCH, "distribution": distribution, "codes": ""}
            | {"text_read": "", "codebook": "all", "window": "whole"}
        )
    return pd.DataFrame(rows).assign(weights="trained")


def test_stacks_hold_the_shares_and_nothing_below_zero(table):
    figure = shares_over_layers(table, model="nano")
    bars = [bar for bar in figure.axes[0].patches if bar.get_width() == 0.8]
    assert [bar.get_height() for bar in bars] == pytest.approx([0.2, 0.2, 0.3, 0.3, 0, 0, 0.6, 0.6])
    assert [bar.get_y() for bar in bars[::2]] == pytest.approx([0, 0.2, 0.5, 0.5])
    assert "99 permutations" in figure.get_suptitle()
    assert "bootstraps of templates" in figure.get_suptitle()
    assert [axes.get_title() for axes in figure.axes[:2]] == ["the model", "random twin (same codes)"]


def test_curves_stand_on_each_other_and_name_the_step(table):
    figure = shares_over_steps(table, model="nano")
    tops = [area.get_paths()[0].vertices[:, 1].max() for area in figure.axes[0].collections]
    assert tops == pytest.approx([0.2, 0.5, 0.5])
    assert "history overtakes text at step 12" in [text.get_text() for text in figure.axes[0].texts]
    assert any(12 in line.get_xdata() for line in figure.axes[0].lines)


def test_stacks_over_steps_fit_every_layer(table):
    deeper = (table["layer"] == 3) & (table["over"] == "steps")
    figure = shares_over_steps(table.assign(estimate=table["estimate"].where(~deeper, 0.4)), model="nano")
    assert figure.axes[0].get_ylim()[1] >= 3 * 0.4


def test_maps_hold_the_shares_and_the_line(table):
    figure = text_maps(table, model="nano")
    values = figure.axes[0].images[0].get_array()
    assert values.shape == (2, 26)
    assert np.unique(values.compressed()) == pytest.approx([0.2])
    places = {float(line.get_xdata()[0]) for line in figure.axes[0].lines if line.get_color() == "black"}
    assert {9.5, 11.5, 22.5} <= places
    assert "max-T over layers × steps" in figure.get_suptitle()


def test_probes_are_filled_where_significant(table):
    table.loc[(table["statistic"] == probe_name(TEXT, TEXT)) & (table["layer"] == 3), "p_corrected"] = 0.5
    figure = text_probes(table, model="nano")
    points = [
        c for c in figure.axes[0].collections if len(c.get_offsets()) == 2 and len(c.get_facecolors()) == 2
    ]
    hollow = [int((c.get_facecolors()[:, :3] == 1).all(axis=1).sum()) for c in points]
    assert sum(hollow) == 1
    assert any(0.25 in line.get_ydata() for line in figure.axes[0].lines)


def test_the_matrix_is_that_of_the_table(likelihood):
    figure = likelihood_matrix(likelihood, model="nano")
    assert figure.axes[0].images[0].get_array().tolist() == [[0, 0.5, 0.5], [1.5, 0, 1.5]]
    assert "0.750 (0.500 … 1.000), p = 0.02" in figure.axes[0].get_title()


def test_one_model_has_no_heading(table, likelihood):
    alone = table[table["weights"] == "trained"]
    for figure in draw(alone, likelihood, model="nano").values():
        assert not any("the model" in axes.get_title() for axes in figure.axes)
    both = pd.concat([likelihood, likelihood.assign(weights="random_init")])
    assert likelihood_matrix(both, model="nano").axes[0].get_title().startswith("the model, cond\n")


def test_intervals_show_beside_their_points(table):
    panel = text_probes(table, model="nano").axes[0]
    bars = [one for one in panel.collections if isinstance(one, LineCollection)]
    points = [one for one in panel.collections if isinstance(one, PathCollection)]
    assert len(bars) == len(points) == len(PROBES)
    for bar, point in zip(bars, points, strict=True):
        assert bar.get_linewidths()[0] ** 2 > point.get_sizes()[0]
        estimates = point.get_offsets()[:, 1]
        ends = np.array([path.vertices[:, 1] for path in bar.get_paths()])
        np.testing.assert_allclose(ends, np.c_[estimates - 0.01, estimates + 0.01])


def test_nothing_measured_says_why(table, likelihood):
    why = "none: there is one seed"
    refused = table[table["over"] != "steps"].assign(estimate=np.nan, p_corrected=np.nan, null=why)
    none = likelihood[likelihood["statistic"] == MISMATCH].assign(estimate=np.nan, null=why)
    figures = draw(refused, none, model="nano", contrast="emotion")
    assert set(figures) == {
        "text_or_history",
        "text_or_history_steps",
        "text_maps",
        "text_probes",
        "likelihood_matrix",
    }
    for figure in figures.values():
        assert "there is one seed" in [text.get_text() for text in figure.axes[0].texts]


def test_shares_are_not_coloured_like_emotions():
    assert not set(palette(EMOTIONS).values()) & {*_COLOURS.values(), *_CONTROLS.values(), *_PROBES.values()}
