"""The figure of valence and arousal: estimates with intervals, filled where p is small, or the reason."""

import numpy as np
import pandas as pd

from innerear.analyses.affect import CROSSED, GRADED
from innerear.figures.affect import draw


def table():
    """Arousal is found by both in layer 3 of uncond; valence has one rating per emotion and no pairs."""
    common = {"n_prompts": 40, "n_perm": 99, "min_p": 0.01, "family": "layers × branches × targets"}
    rows = []
    for branch in ("cond", "uncond"):
        for layer in (0, 3):
            for statistic, estimate in ((GRADED, 0.2), (CROSSED, 0.7)):
                found = branch == "uncond" and layer == 3
                p = 0.02 if found else 0.4
                row = {"branch": branch, "layer": layer, "statistic": statistic, "target": "arousal"}
                row |= {
                    "estimate": round(estimate + 0.1 * found, 1),
                    "ci_lo": 0.1,
                    "ci_hi": 0.9,
                    "p_corrected": p,
                }
                rows.append(
                    row | {"null": "moved", "pairing": "a/b ↔ c/d" if statistic == CROSSED else np.nan}
                )
                rows.append(
                    row
                    | {"target": "valence", "null": f"none: no {statistic}"}
                    | dict.fromkeys(("estimate", "p_corrected", "pairing"), np.nan)
                )
    return pd.DataFrame(rows).assign(**common)


def test_curves_intervals_and_filled_marks():
    figure = draw(table(), model="nano")["affect"]
    title = figure.get_suptitle()
    assert "Valence and arousal, nano" in title
    assert (
        "n: 40 prompts; 99 permutations, smallest p 0.01 (held-out R²), 0.01 (cross-condition AUC)" in title
    )
    assert "corrected over layers × branches × targets" in title
    graded, crossed = figure.axes[2:4]
    assert graded.get_ylabel() == "arousal\nheld-out R²"
    assert crossed.get_ylabel() == "AUC"
    for panel, value in ((graded, 0.3), (crossed, 0.8)):
        hollow = [line for line in panel.lines if line.get_markerfacecolor() == "white"]
        assert [line.get_ydata().tolist() for line in hollow][1][1] == value
        filled = [line for line in panel.lines if line.get_marker() == "o" and line not in hollow]
        assert [line.get_ydata().tolist() for line in filled] == [[], [value]]
        segments = np.concatenate([one.get_segments() for one in panel.collections])
        assert set(segments[:, :, 1].ravel()) == {0.1, 0.9}
    assert "a/b ↔ c/d" in [text.get_text() for text in crossed.texts]


def test_a_scale_without_a_test_says_why_in_its_panels():
    figure = draw(table(), model="nano")["affect"]
    texts = [[text.get_text() for text in panel.texts] for panel in figure.axes[:2]]
    assert texts == [["no held-out R²"], ["no cross-condition AUC"]]
    nothing = table().assign(p_corrected=np.nan, estimate=np.nan, null="none: unrated")
    assert "n: 40 prompts; not tested" in draw(nothing, model="nano")["affect"].get_suptitle()
