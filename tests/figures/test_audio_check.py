"""The forest plot fills what differs, draws intervals where they are, and has the verdict at its head."""

import numpy as np
import pandas as pd
import pytest
from fakes import sized

from innerear.analyses.audio_check import audio_check
from innerear.figures import audio_check as figures

EMOTIONS = ("happy", "sad", "calm", "energetic")


@pytest.fixture(scope="module")
def drawn(study):
    result = audio_check(study.clips, sized(study.design), model="nano")
    names = ["loudness", "noise", "tempo"]
    shares = pd.DataFrame(
        [(name, emotion, name != "tempo") for name in names for emotion in EMOTIONS],
        columns=["feature", "emotion", "share"],
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(figures, "SHOWN", names)
        drawn = figures.draw(result.effects, result.verdict, shares, model="nano", contrast="emotion")
    return result, drawn["audio_check"]


def test_marks_and_intervals_are_those_of_the_table(drawn):
    result, figure = drawn
    panel = figure.axes[0]
    rows = result.effects[(result.effects["label_1"] == "happy") & (result.effects["label_2"] == "sad")]
    marks = {line.get_ydata()[0]: line for line in panel.lines if line.get_marker() == "o"}
    for y, name in enumerate(["loudness", "noise"]):
        assert marks[y].get_xdata()[0] == rows["estimate"][rows["feature"] == name].item()
    assert marks[0].get_markerfacecolor() == "black"
    assert marks[1].get_markerfacecolor() == "white"
    spans = [
        line.get_xdata() for line in panel.lines if line.get_marker() == "None" and len(line.get_xdata()) == 2
    ]
    assert any(np.allclose(span, rows[["ci_lo", "ci_hi"]].iloc[0]) for span in spans)
    assert [text.get_text() for text in panel.texts] == ["no value"]
    assert len(figure.axes) == 7


def test_the_verdict_is_the_heading(drawn):
    result, figure = drawn
    heading = " ".join(figure.get_suptitle().split())
    assert result.verdict["verdict"][0] in heading
    assert "99 permutations" in heading


def test_all_shown_features_are_drawn_under_the_name_of_the_figure(drawn):
    result, _ = drawn
    shares = pd.DataFrame({"feature": ["loudness"], "emotion": ["happy"], "share": [1.0]})
    drawn = figures.draw(result.effects, result.verdict, shares, model="nano", contrast="emotion")
    figure = drawn["audio_check"]
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["tempo", "loudness (dB)"]  # of those that are shown, and in their order


def test_the_axis_of_g_says_that_it_is_not_linear(drawn):
    _, figure = drawn
    panel = figure.axes[0]
    limit = panel.get_xlim()[1]
    sizes = [size for size in (1, 3, 10, 30, 100) if size < limit]
    assert panel.get_xscale() == "symlog"
    assert [float(text.get_text()) for text in panel.get_xticklabels()] == [
        *(-s for s in sizes[::-1]),
        0,
        *sizes,
    ]
    assert "(linear to ±1, logarithmic beyond)" in figure.get_supxlabel()


def test_intervals_show_beside_their_marks(drawn):
    _, figure = drawn
    marks = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    bars = [line for line in figure.axes[0].lines if line.get_color() == "0.7"]
    assert len(bars) == len(marks) == 2
    assert min(bar.get_linewidth() for bar in bars) > max(mark.get_markersize() for mark in marks)
