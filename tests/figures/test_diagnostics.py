"""The diagnostics figure is named one, and leaves cells without variance white."""

import numpy as np

from innerear.figures.diagnostics import draw


def test_diagnostics(study):
    figure = draw(study.grams, model="nano")["diagnostics"]
    assert "diagnostic" in figure.get_suptitle()
    level, uncond = (np.ma.filled(figure.axes[i].images[0].get_array(), np.nan) for i in (0, 4))
    np.testing.assert_allclose(level, 0.9, rtol=1e-6)
    assert np.isnan(uncond[:, 0]).all()
    expected = 1 - study.grams[3].read("centred_share", branch=1)
    np.testing.assert_allclose(uncond[1, 1:], expected[1:], rtol=1e-6)
    assert figure.axes[0].get_ylabel() == "layer"
