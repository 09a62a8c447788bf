"""Happy against sad over the steps: as published, and corrected."""

import pandas as pd
from matplotlib.figure import Figure

from innerear.analyses.replication import BRANCHES, PAIRS, PUBLISHED
from innerear.figures.drawing.grid import draw_band
from innerear.figures.drawing.style import BRANCH_COLOURS, new_figure, styled
from innerear.figures.drawing.tables import distinct, rows_of

_ENDS = {"along": "step", "ends": ("lowest", "highest")}


@styled
def draw(samples: pd.DataFrame, curves: pd.DataFrame, *, model: str, contrast: str) -> dict[str, Figure]:
    """Draw raw cosines of one seed, and centred cosines between and within emotions, of the middle layer.

    `curves` are `layer_curves`; of emotions, whatever the label.
    """
    emotions, layers = distinct(samples, "emotion"), sorted(distinct(curves, "layer"))
    layer = layers[len(layers) // 2]
    here = rows_of(curves, layer=layer)
    title = f"{model}: {emotions[0]} against {emotions[1]}, layer {layer}"
    how = "bands: lowest and highest pair; 1 prompt an emotion, so no test"
    figure, axes = new_figure(4, 1, title=title, subtitle=how, panel=(6.4, 1.7), sharex=True)
    top, raw = axes[0, 0], rows_of(here, measure="raw", pairs=PAIRS[0])
    for branch in BRANCHES[:-1]:
        draw_band(
            top,
            rows_of(raw, branch=branch),
            colour=BRANCH_COLOURS.get(branch, "black"),
            label=branch,
            **_ENDS,
        )
    mean = PUBLISHED["cosine, mean over steps"]
    top.axhline(mean, color="0.5", linestyle=":", linewidth=1)
    place = {"transform": top.get_yaxis_transform(), "fontsize": 7, "ha": "right", "va": "top"}
    top.text(1, mean, "published mean (MusicGen small)", **place)
    top.set_title("raw, as published (a diagnostic): two emotions, same seed")
    for panel, branch in zip(axes[1:, 0], BRANCHES[1:], strict=True):
        centred = rows_of(here, measure="centred", branch=branch)
        for pairs, colour in ((PAIRS[2], BRANCH_COLOURS[branch]), (PAIRS[1], "0.45")):
            draw_band(panel, rows_of(centred, pairs=pairs), colour=colour, label=pairs, **_ENDS)
        panel.axhline(0, color="0.7", linewidth=0.6)
        panel.set_title(f"centred, {branch}")
    for panel in axes[:, 0]:
        panel.set(ylabel="cosine", ylim=(-1.05, 1.05))
        panel.legend(ncols=3, loc="lower right")
    axes[-1, 0].set_xlabel("step")
    return {"replication": figure}
