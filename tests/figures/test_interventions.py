"""Figures of interventions: dose above cost for each layer, ablation and patching by template."""

import fake_interventions as fake
import numpy as np
import pandas as pd
import pytest

from innerear.analyses.interventions import interventions
from innerear.figures.interventions import draw
from innerear.figures.style import save
from innerear.io.tables import read_table, write_table


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """The figures of tables as they are read from their files."""
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
    tables = (read_table(folder / f"{name}.tsv") for name in found._fields)
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
    # Probability and loudness follow the dose; brightness and cost are no such effects.
    stars = [" *" in one.get_title("left") for one in axes]
    assert stars == [True] * 4 + [False] * 4


def test_ablation_is_paired_by_template(figures):
    axes = figures["ablation"].axes
    assert [one.get_title() for one in axes] == ["edited: layer 3 *", "edited: all layers *"]
    assert all(len(one.lines) == len(fake.TEMPLATES) for one in axes)
    assert next(text.get_text() for text in axes[0].get_xticklabels()) == "untouched"


def test_patching_has_a_panel_for_text_and_for_history(figures):
    axes = figures["patching"].axes
    assert [one.get_title() for one in axes] == ["another text", "another history"]
    assert [text.get_text() for text in axes[0].get_xticklabels()] == ["0", "3"]
    assert len(axes[0].lines) == 1
    assert not len(axes[1].lines)
