"""Does the audio differ between emotions? Effect sizes by contrast, and how many clips have a value."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.acoustics.features import feature_label
from innerear.analyses.audio_check import ANOVA, HEDGES, SLOPE
from innerear.figures.acoustics import SHOWN
from innerear.figures.drawing.style import dot, new_figure, palette, short, styled
from innerear.figures.drawing.tables import distinct, rows_of
from innerear.statistics.significance import ALPHA

MAX_CONTRASTS = 6


@styled
def draw(
    effects: pd.DataFrame, verdict: pd.DataFrame, validity: pd.DataFrame, *, model: str, contrast: str
) -> dict[str, Figure]:
    """Draw Hedges' g with its interval, a row per feature and a column per pair of labels.

    Filled marks where the feature differs between the labels, by ANOVA of prompt means corrected over
    features; of more than 6 pairs the first 6 are drawn. For ratings, one column of correlations.
    `effects` and `verdict` are of an `AudioCheck`, `validity` is of `innerear.acoustics.tables`.
    """
    rated = SLOPE in set(effects["statistic"])
    contrasts = rows_of(effects, statistic=SLOPE if rated else HEDGES).fillna({"label_1": "", "label_2": ""})
    units = dict(zip(effects["feature"].tolist(), effects["unit"].tolist(), strict=True))
    shown = [name for name in SHOWN if name in units]
    differ = set(rows_of(effects, statistic=ANOVA).query("p_corrected <= @ALPHA")["feature"])
    pairs = list(dict.fromkeys(zip(contrasts["label_1"], contrasts["label_2"], strict=True)))
    columns = len(pairs[:MAX_CONTRASTS]) + 1
    width = max(1.55, 7 / columns)
    how = _how(verdict, columns - 1, len(pairs), int(9 * width * columns))
    look = {"subtitle": how, "panel": (width, 0.26 * len(shown) + 0.75), "sharey": True}
    figure, axes = new_figure(1, columns, title=f"Does the audio differ? {model}", **look)
    ends = rows_of(contrasts, feature=shown)[["ci_lo", "ci_hi", "estimate"]].to_numpy(float)
    limit = 1.3 * float(np.nanmax(np.abs(ends))) if np.isfinite(ends).any() else 1.0
    for panel, (first, second) in zip(axes[0], pairs[:MAX_CONTRASTS], strict=False):
        rows = rows_of(contrasts, label_1=first, label_2=second)
        _draw_contrast(panel, rows, shown, differ, limit)
        panel.set_title("rating" if rated else f"{short(first)}\n− {short(second)}", fontsize=8)
        if not rated:
            _log_beyond_one(panel, limit)
    _draw_validity(axes[0, -1], validity, shown)
    axes[0, 0].set_yticks(range(len(shown)), [feature_label(name, units[name]) for name in shown])
    axes[0, 0].set_ylim(len(shown) - 0.5, -0.5)
    difference = "Hedges g of prompt means, in standard deviations (linear to ±1, logarithmic beyond)"
    figure.supxlabel("Pearson r of prompt means with ratings" if rated else difference, fontsize=9)
    return {"audio_check": figure}


def _how(verdict: pd.DataFrame, drawn: int, pairs: int, width: int) -> str:
    row = verdict.iloc[0]
    left_out = "" if drawn == pairs else f"; {drawn} of {pairs} pairs"
    bars = "grey: 95 % intervals"
    anova = f"ANOVA of prompt means ({row['n_perm']} permutations, Benjamini-Hochberg)"
    filled = f"filled: the feature differs, p ≤ {ALPHA} by {anova}"
    how = f"n: {row['n_prompts']} prompts{left_out}; {bars}; {filled}"
    return "\n".join(textwrap.fill(text, width) for text in (str(row["verdict"]), how))


def _draw_contrast(
    axes: Axes, rows: pd.DataFrame, shown: Sequence[str], differ: set[str], limit: float
) -> None:
    axes.axvline(0, color="0.6", linewidth=0.8)
    for y, name in enumerate(shown):
        row = rows_of(rows, feature=name).iloc[0]
        if np.isnan(row["estimate"]):
            axes.text(0, y, "no value", ha="center", va="center", fontsize=6.5, color="0.35")
            continue
        # An interval may be narrower than a mark, so it is the taller of the two.
        axes.plot([row["ci_lo"], row["ci_hi"]], [y, y], color="0.7", linewidth=6, solid_capstyle="butt")
        face = "black" if name in differ else "white"
        axes.plot(row["estimate"], y, "o", color="black", markersize=3, markerfacecolor=face)
    axes.set_xlim(-limit, limit)


def _log_beyond_one(axes: Axes, limit: float) -> None:
    """Scale x linearly to ±1 and logarithmically beyond, with a tick at each labelled size below `limit`."""
    axes.set_xscale("symlog", linthresh=1, linscale=0.5)
    sizes = [size for size in (1, 3, 10, 30, 100) if size < limit]
    ticks = [*(-size for size in reversed(sizes)), 0, *sizes]
    axes.set_xticks(ticks, [str(tick) for tick in ticks], fontsize=6.5)
    axes.minorticks_off()


def _draw_validity(axes: Axes, validity: pd.DataFrame, shown: Sequence[str]) -> None:
    colours = palette(distinct(validity, "emotion"))
    for i, (emotion, colour) in enumerate(colours.items()):
        percent = 100 * rows_of(validity, emotion=emotion).set_index("feature")["share"].reindex(list(shown))
        y = np.arange(len(shown)) + 0.5 * ((i + 0.5) / len(colours) - 0.5)
        axes.plot(percent, y, "o", color=colour, markersize=3)
    axes.set(xlim=(-5, 105), xticks=[0, 100])
    axes.set_title("clips with\na value (%)", fontsize=8)
    handles = [dot(short(str(name)), color=colour, markersize=4) for name, colour in colours.items()]
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7)
