"""Happy against sad over the steps: what was published, and what is left when it is done right."""

import pandas as pd
from matplotlib.figure import Figure

from innerear.analyses.replication import FLATTENED, PAIRS, PUBLISHED
from innerear.figures.style import new_figure, styled

_COLOURS = {FLATTENED: "#000000", "cond": "#E69F00", "uncond": "#0072B2", "delta": "#009E73"}


@styled
def replication_curves(curves: pd.DataFrame, *, model: str, emotions: tuple[str, str]) -> Figure:
    """Draw the raw cosine of pairs of one seed, and the centred cosine between and within emotions.

    Parameters
    ----------
    curves : of `innerear.analyses.replication.layer_curves`; the middle layer of those it holds is drawn.
    model, emotions : for the title.
    """
    layers = sorted(curves["layer"].unique())
    layer = layers[len(layers) // 2]
    here = curves[curves["layer"] == layer]
    figure, axes = new_figure(
        4,
        1,
        title=f"{model}: {emotions[0]} against {emotions[1]}, layer {layer}",
        subtitle="bands: lowest and highest pair; 1 prompt an emotion, so no test",
        panel=(6.4, 1.7),
        sharex=True,
    )
    top = axes[0, 0]
    for branch in (FLATTENED, "cond", "uncond"):
        _draw(top, here, branch, "raw", PAIRS[0], _COLOURS[branch], branch)
    mean = PUBLISHED["cosine, mean over steps"]
    top.axhline(mean, color="0.5", linestyle=":", linewidth=1)
    top.text(
        1,
        mean,
        "published mean (MusicGen small)",
        transform=top.get_yaxis_transform(),
        fontsize=7,
        ha="right",
        va="top",
    )
    top.set_title("raw, as published (a diagnostic): two emotions, same seed")
    for panel, branch in zip(axes[1:, 0], ("cond", "uncond", "delta"), strict=True):
        _draw(panel, here, branch, "centred", PAIRS[2], _COLOURS[branch], PAIRS[2])
        _draw(panel, here, branch, "centred", PAIRS[1], "0.45", PAIRS[1])
        panel.axhline(0, color="0.7", linewidth=0.6)
        panel.set_title(f"centred, {branch}")
    for panel in axes[:, 0]:
        panel.set_ylabel("cosine")
        panel.set_ylim(-1.05, 1.05)
        panel.legend(ncols=3, loc="lower right")
    axes[-1, 0].set_xlabel("step")
    return figure


def _draw(axes, curves, branch, measure, pairs, colour, label) -> None:
    chosen = (curves["branch"] == branch) & (curves["measure"] == measure) & (curves["pairs"] == pairs)
    curve = curves[chosen].sort_values("step")
    axes.plot(curve["step"], curve["estimate"], color=colour, linewidth=1, label=label)
    axes.fill_between(curve["step"], curve["lowest"], curve["highest"], color=colour, alpha=0.15, linewidth=0)
