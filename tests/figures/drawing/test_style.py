"""The look of figures: colours that stay, axes in two units, whole files."""

import matplotlib
import numpy as np
import pytest
from PIL import Image

from innerear.figures.drawing.style import (
    BRANCH_COLOURS,
    BRANCHES,
    dot,
    legend_below,
    markers,
    new_figure,
    palette,
    save,
    step_axis,
)


def test_emotions_keep_their_colours():
    alone, together = palette(["sad"]), palette(["tender", "happy", "sad", "calm", "energetic"])
    assert alone["sad"] == together["sad"]
    assert len(set(together.values())) == 5


def test_other_labels_get_colours_apart_from_each_other():
    assert len(set(palette([f"genre {i}" for i in range(8)]).values())) == 8
    assert len(set(palette([f"genre {i}" for i in range(20)]))) == 20
    assert len(set(markers(["a", "b", "a", "c"]).values())) == 3


def test_a_branch_never_has_the_colour_of_a_label():
    labels = palette(["happy", "sad", "calm", "energetic", *"abcdefgh"])
    assert not set(BRANCH_COLOURS.values()) & set(labels.values())
    assert set(BRANCH_COLOURS) == set(BRANCHES)
    assert len(set(BRANCH_COLOURS.values())) == len(BRANCH_COLOURS)


def test_step_axis_counts_seconds_and_greys_out_pads():
    figure, axes = new_figure()
    complete = np.r_[np.zeros(3), np.ones(94), np.zeros(3)].astype(bool)
    step_axis(axes[0, 0], np.arange(100) / 50 + 1, complete)
    figure.draw_without_rendering()
    above = axes[0, 0].child_axes[0]
    assert above.get_xlim() == pytest.approx((1 - 0.01, 1 + 1.99))
    spans = sorted((p.get_x(), p.get_x() + p.get_width()) for p in axes[0, 0].patches)
    assert spans == [(-0.5, 2.5), (96.5, 99.5)]


def test_a_single_step_has_no_seconds():
    _, axes = new_figure()
    step_axis(axes[0, 0], np.zeros(1), np.ones(1, bool))
    assert not axes[0, 0].child_axes


def test_saving_writes_every_format_and_equal_bytes(tmp_path):
    for name in ("first", "second"):
        figure, axes = new_figure(title="A title")
        axes[0, 0].plot([0, 1])
        save(figure, tmp_path / f"{name}.svg", tmp_path / f"{name}.png")
    for suffix in ("svg", "png"):
        assert (tmp_path / f"first.{suffix}").read_bytes() == (tmp_path / f"second.{suffix}").read_bytes()
    assert "A title" in (tmp_path / "first.svg").read_text()


def test_a_readers_own_settings_stay():
    before = dict(matplotlib.rcParams)
    new_figure(title="A title")
    assert dict(matplotlib.rcParams) == before


def test_a_long_label_is_not_cut_off(tmp_path):
    """The layout is solved for the resolution that is drawn, where small text is wider."""
    figure, axes = new_figure(panel=(7.2, 3))
    axes[0, 0].set_yticks(range(9), ["LayerNorm · raw (diagnostic) · first 10 % · cosine"] * 9, fontsize=7)
    save(figure, tmp_path / "labels.svg", tmp_path / "labels.png")
    assert np.asarray(Image.open(tmp_path / "labels.png").convert("L"))[:, :3].min() == 255


def drawn(figure, folder):
    """The ink of a saved figure, [height, width]."""
    save(figure, folder / "figure.png")
    return np.asarray(Image.open(folder / "figure.png").convert("L")) < 255


def test_a_title_that_is_wider_than_its_figure_takes_more_lines(tmp_path):
    how = "n: 6 prompts; 49 permutations, smallest p 0.17; hatched: p > 0.05 by max-T over layers × windows"
    figure, _ = new_figure(title="Probes of emotion judged at other times, nano", subtitle=how)
    ink = drawn(figure, tmp_path)
    assert not ink[:, :3].any()
    assert not ink[:, -3:].any()
    few, _ = new_figure(title="Probes")
    assert figure.get_figheight() > few.get_figheight()  # the panels keep their size


@pytest.mark.parametrize("names", [["a label of some length"] * 9, ["a label " * 12, "b"]])
def test_a_legend_that_is_wider_than_its_figure_takes_more_lines(names, tmp_path):
    figure, _ = new_figure()
    legend_below(figure, [dot(f"{i} {name}") for i, name in enumerate(names)], 9)
    (legend,) = figure.legends
    assert len(legend.get_texts()) == len(names)
    ink = drawn(figure, tmp_path)
    assert not ink[:, :3].any()
    assert not ink[:, -3:].any()


def test_a_single_row_of_panels_is_not_squashed_by_what_stands_around_it(tmp_path):
    figure, axes = new_figure(1, 3, title="A title", subtitle="n: 4 prompts\nof which more", panel=(3.2, 1.2))
    for panel in axes[0]:
        step_axis(panel, np.arange(53) / 50, np.ones(53, bool))
    legend_below(figure, [dot(f"same emotion, seed {i}") for i in range(6)], 3)
    drawn(figure, tmp_path)
    boxes = [panel.get_window_extent() for panel in axes[0]]
    assert min(box.height for box in boxes) > 0.55 * figure.dpi
    assert figure._suptitle.get_window_extent().y0 > max(panel.get_tightbbox().y1 for panel in axes[0])
    assert figure.legends[0].get_window_extent().y1 < min(panel.get_tightbbox().y0 for panel in axes[0])


def test_dollars_in_names_are_letters(tmp_path):
    """Between two of them Matplotlib expects a formula, and stops at one that it cannot read."""
    name = "$5 or $a^"
    figure, axes = new_figure(title=name)
    axes[0, 0].set_title(name)
    axes[0, 0].set_xticks([0], [name])
    axes[0, 0].set(yscale="log", ylim=(1, 100))
    legend_below(figure, [dot(name)], 1)
    save(figure, tmp_path / "figure.svg")
    written = (tmp_path / "figure.svg").read_text("utf-8")
    assert written.count(f">{name}</text>") == 4
    assert ">$\\mathdefault" not in written  # the axis' own powers are drawn
