"""The figure of `innerear.analyses.multiverse`."""

import textwrap

import pandas as pd
from matplotlib.figure import Figure

from innerear.analyses.multiverse import CHOICES, RAW
from innerear.figures.drawing.style import BRANCH_COLOURS, new_figure, styled
from innerear.figures.drawing.tables import distinct, how_tested, rows_of
from innerear.statistics.significance import ALPHA


@styled
def draw(table: pd.DataFrame, *, model: str, contrast: str) -> dict[str, Figure]:
    """Draw each way of analysing as a row: the layers' effects in units of their own null, and the median.

    In uncond where the study has it, otherwise in its first branch.
    """
    branches = distinct(table, "branch")
    branch = "uncond" if "uncond" in branches else branches[0]
    mine = rows_of(table, branch=branch)
    named = zip(*(mine[name].tolist() for name in CHOICES), strict=True)
    ways = {way: rows_of(mine, **dict(zip(CHOICES, way, strict=True))) for way in dict.fromkeys(named)}
    ways = dict(sorted(ways.items(), key=lambda item: item[1]["score"].median()))
    title = f"Effect of {contrast} in {branch} under every choice of the analysis, {model}"
    how = textwrap.fill(how_tested(mine, marked=f"filled: p ≤ {ALPHA}"), 90)
    figure, axes = new_figure(1, 1, title=title, subtitle=how, panel=(7.2, 0.17 * len(ways) + 0.6))
    panel, colour = axes[0, 0], BRANCH_COLOURS[branch]
    for place, rows in enumerate(ways.values()):
        found = (rows["p_corrected"] <= ALPHA).to_numpy()
        for chosen, fill in ((found, colour), (~found, "none")):
            z = rows["score"].to_numpy(float)[chosen]
            panel.scatter(z, [place] * len(z), s=14, facecolors=fill, edgecolors=colour, linewidths=0.7)
        panel.plot([rows["score"].median()] * 2, [place - 0.4, place + 0.4], color="black", linewidth=1.2)
    panel.axvline(0, color="0.7", linewidth=0.8)
    panel.set_yticks(range(len(ways)), [" · ".join(way).replace("_10", " 10 %") for way in ways], fontsize=7)
    for label, way in zip(panel.get_yticklabels(), ways, strict=True):
        label.set_color("0.55" if RAW in way else "black")
    panel.set(xlabel="effect, in standard deviations of its permutation null", ylim=(-0.7, len(ways) - 0.3))
    return {"multiverse": figure}
