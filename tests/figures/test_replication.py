"""The figure says that the raw cosine is a diagnostic, and draws every branch over all steps."""

import numpy as np
import pandas as pd

from innerear.analyses.replication import layer_curves
from innerear.figures.replication import draw


def test_replication_curves():
    clips = np.random.default_rng(0).normal(size=(2, 3, 2, 20, 6))
    curves = layer_curves(*clips, model="nano", layer=2)
    samples = pd.DataFrame({"emotion": ["happy", "sad", "happy"]})
    figure = draw(samples, curves, model="nano", contrast="emotion")["replication"]
    assert "nano: happy against sad, layer 2" in figure.get_suptitle()
    titles = [axes.get_title() for axes in figure.axes]
    assert "diagnostic" in titles[0]
    assert titles[1:] == ["centred, cond", "centred, uncond", "centred, delta"]
    drawn = figure.axes[3].get_lines()[0].get_ydata()
    chosen = (curves["branch"] == "delta") & (curves["measure"] == "centred")
    expected = curves[chosen & (curves["pairs"] == "one emotion, other seed")]["estimate"]
    np.testing.assert_allclose(drawn, expected)
