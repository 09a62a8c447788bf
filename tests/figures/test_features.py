"""The figures of features: a line where there are rows, none where a control was not asked for."""

import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection

from innerear.analyses.features import BEYOND_CHANCE, DIMENSIONS, FEATURES, TWIN
from innerear.analyses.features.probes import ACCURACY, KS
from innerear.figures.features import draw

LAYERS = (0, 3)


def tables(kinds):
    share = {"statistic": BEYOND_CHANCE, "branch": "uncond", "ci_lo": 0.1, "ci_hi": 0.5}
    rows = [share | {"kind": kind, "layer": n, "estimate": 0.3} for kind in kinds for n in LAYERS]
    probe = {
        "statistic": ACCURACY,
        "branch": "uncond",
        "ci_lo": 0.3,
        "ci_hi": 0.6,
        "interval": "95% of 50 bootstraps of templates",
        "chance": 0.25,
    }
    rows += [
        probe | {"kind": kind, "layer": n, "k_features": k, "estimate": 0.4, "p_corrected": 0.01 * k}
        for kind in kinds
        for n in LAYERS
        for k in KS
    ]
    of = {FEATURES: "uncond", TWIN: "random_init"}
    measures = [
        {"of": of[kind], "written_by": "dictionary", "measure": name, "estimate": 0.3, "layer": n}
        for kind in kinds
        if kind in of
        for name in ("FVU within steps", "agreement")
        for n in LAYERS
    ]
    noise = {"of": "gaussian", "written_by": "dictionary", "measure": "FVU within steps", "estimate": 0.6}
    measures += [noise | {"layer": n} for n in LAYERS if TWIN in kinds]
    costs = [
        {"edit": edit, "distribution": "guided", "layer": n, "cost": 2.0, "n_clips": 12}
        for edit in ("none", "both", "cond only")
        for n in LAYERS
    ]
    known = pd.DataFrame({"found": [1.0, 0.5]})
    return (
        pd.DataFrame(rows).assign(n_prompts=24),
        pd.DataFrame(measures).assign(clips="held-out clips"),
        pd.DataFrame(costs),
        known,
    )


def labels(panel):
    return {line.get_label() for line in panel.lines if not line.get_label().startswith("_")}


@pytest.mark.parametrize("kinds", [(FEATURES, DIMENSIONS, TWIN), (FEATURES, DIMENSIONS)])
def test_lines_stand_for_what_was_measured(kinds):
    made = draw(*tables(kinds), model="nano", contrast="emotion")
    fit, seeds, cost = made["dictionaries"].axes
    twin = TWIN in kinds
    assert labels(fit) == {"dictionary", *["random weights", "Gaussian noise"] * twin}
    assert labels(seeds) == {"dictionary", *["random weights"] * twin}
    assert labels(cost) == {"dictionary", "dictionary, cond only"}
    assert "n: 24 prompts, measured on held-out clips; costs: 12 clips" in made["dictionaries"].get_suptitle()
    assert "1.00, 0.50" in made["dictionaries"]._suptitle.get_text()
    assert "n: 24 prompts" in made["features"]._suptitle.get_text()
    _, *probes = made["features"].axes
    assert [panel.get_title() for panel in probes] == ["layer 0", "layer 3"]
    assert labels(probes[0]) == set(kinds)
    [legend] = made["features"].legends
    assert {text.get_text() for text in legend.get_texts()} == {*kinds, "by chance"}
    # Filled where p is small enough: k of 1, 2 and 5.
    marks = [one for one in probes[0].collections if isinstance(one, PathCollection)]
    filled = [len(dots.get_offsets()) for dots in marks]
    assert [n for n in filled if n] == [3] * len(kinds)
    bars = [one for one in probes[0].collections if isinstance(one, LineCollection)]
    ends = {tuple(bar[:, 1]) for of_kind in bars for bar in of_kind.get_segments()}
    assert ends == {(0.3, 0.6)}
    assert "right, bars: 95% of 50 bootstraps of templates" in made["features"].get_suptitle()


def test_lines_of_a_panel_differ_in_colour_and_shape():
    made = draw(*tables((FEATURES, DIMENSIONS, TWIN)), model="nano", contrast="emotion")
    fit, _, cost = made["dictionaries"].axes
    for panel in (fit, cost, *made["features"].axes[1:]):
        lines = [line for line in panel.lines if not line.get_label().startswith("_")]
        assert len({line.get_color() for line in lines}) == len(lines) > 1
        assert len({line.get_marker() for line in lines}) == len(lines)


def test_the_scale_of_costs_ends_with_the_costs():
    *_, cost = draw(*tables((FEATURES,)), model="nano", contrast="emotion")["dictionaries"].axes
    assert cost.get_ylim()[1] < 50


def test_what_explains_less_than_the_mean_does_is_in_the_picture():
    table, measures, *others = tables((FEATURES,))
    worse = measures.assign(estimate=measures["estimate"] + 1)
    not_drawn = worse.assign(written_by="something else", estimate=9.0)
    measures = pd.concat([worse, not_drawn])
    fit, *_ = draw(table, measures, *others, model="nano", contrast="emotion")["dictionaries"].axes
    highest = max(line.get_ydata().max() for line in fit.lines)
    assert 1 < highest < fit.get_ylim()[1] < 1.1 * highest


def test_layers_are_whole_numbers():
    made = draw(*tables((FEATURES,)), model="nano", contrast="emotion")
    for panel in (*made["dictionaries"].axes, made["features"].axes[0]):
        panel.set_xlim(3.8, 4.2)
        assert all(tick % 1 == 0 for tick in panel.get_xticks())


def test_accuracies_have_a_line_of_chance():
    _, *probes = draw(*tables((FEATURES, DIMENSIONS)), model="nano", contrast="emotion")["features"].axes
    for panel in probes:
        [line] = [line for line in panel.lines if line.get_linestyle() == ":"]
        assert set(line.get_ydata()) == {0.25}
