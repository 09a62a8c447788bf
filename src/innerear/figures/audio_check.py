"""Does the audio differ between emotions? Effect sizes by contrast, and how many clips have a value."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from innerear.acoustics.features import feature_label
from innerear.analyses.audio_check import ANOVA, HEDGES, SLOPE
from innerear.figures.acoustics import SHOWN
from innerear.figures.maps import distinct, rows_of
from innerear.figures.style import new_figure, palette, styled
from innerear.statistics.significance import ALPHA

MAX_CONTRASTS = 6


def draw(
    effects: pd.DataFrame, verdict: pd.DataFrame, validity: pd.DataFrame, *, model: str, contrast: str
) -> dict[str, Figure]:
    """Draw the figure of an `AudioCheck` by file name; `validity` is of `innerear.acoustics.tables`."""
    return {"audio_check": forest(effects, validity, verdict, model=model)}


@styled
def forest(
    effects: pd.DataFrame,
    validity: pd.DataFrame,
    verdict: pd.DataFrame,
    *,
    model: str,
    features: Sequence[str] = SHOWN,
) -> Figure:
    """Draw Hedges' g with its interval, a row per feature and a column per pair of labels.

    Parameters
    ----------
    features : which to draw; those that `effects` lacks are left out.

    Returns
    -------
    Filled marks where the feature differs between the labels, by ANOVA of prompt means corrected over
    features; of more than 6 pairs the first 6 are drawn. For ratings, one column of correlations.
    """
    rated = SLOPE in set(effects["statistic"])
    contrasts = rows_of(effects, statistic=SLOPE if rated else HEDGES).fillna({"label_1": "", "label_2": ""})
    anova = rows_of(effects, statistic=ANOVA)
    shown = [name for name in features if name in set(effects["feature"])]
    differ = set(anova["feature"][anova["p_corrected"] <= ALPHA])
    pairs = list(dict.fromkeys(zip(contrasts["label_1"], contrasts["label_2"], strict=True)))
    drawn = pairs[:MAX_CONTRASTS]
    width = max(1.55, 7 / (len(drawn) + 1))
    how = _how(verdict, len(drawn), len(pairs), int(9 * width * (len(drawn) + 1)))
    look = {"subtitle": how, "panel": (width, 0.26 * len(shown) + 0.75), "sharey": True}
    figure, axes = new_figure(1, len(drawn) + 1, title=f"Does the audio differ? {model}", **look)
    ends = contrasts.loc[contrasts["feature"].isin(shown), ["ci_lo", "ci_hi", "estimate"]].to_numpy(float)
    limit = 1.05 * float(np.nanmax(np.abs(ends))) if np.isfinite(ends).any() else 1.0
    for panel, (first, second) in zip(axes[0], drawn, strict=False):
        rows = rows_of(contrasts, label_1=first, label_2=second)
        _draw_contrast(panel, rows, shown, differ, limit)
        panel.set_title("rating" if rated else f"{first}\n− {second}", fontsize=8)
    _draw_validity(axes[0, -1], validity, shown)
    units = dict(zip(effects["feature"].tolist(), effects["unit"].tolist(), strict=True))
    axes[0, 0].set_yticks(range(len(shown)), [feature_label(name, units[name]) for name in shown])
    axes[0, 0].set_ylim(len(shown) - 0.5, -0.5)
    difference = "Hedges g of prompt means (difference in standard deviations)"
    figure.supxlabel("Pearson r of prompt means with ratings" if rated else difference, fontsize=9)
    return figure


def _how(verdict: pd.DataFrame, drawn: int, pairs: int, width: int) -> str:
    row = verdict.iloc[0]
    left_out = "" if drawn == pairs else f"; {drawn} of {pairs} pairs"
    how = (
        f"n: {row['n_prompts']} prompts{left_out}; lines: 95 % over templates, then seeds; filled: the "
        f"feature differs, p ≤ {ALPHA} by ANOVA of prompt means ({row['n_perm']} permutations, "
        "Benjamini-Hochberg)"
    )
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
        axes.plot([row["ci_lo"], row["ci_hi"]], [y, y], color="black", linewidth=1)
        face = "black" if name in differ else "white"
        axes.plot(row["estimate"], y, "o", color="black", markersize=4.5, markerfacecolor=face)
    axes.set_xscale("symlog", linthresh=2)
    axes.set_xlim(-limit, limit)
    end = 10 if limit > 10 else 2 if limit > 2 else 1
    axes.set_xticks([-end, 0, end], [f"{tick:g}" for tick in (-end, 0, end)])
    axes.minorticks_off()


def _draw_validity(axes: Axes, validity: pd.DataFrame, shown: Sequence[str]) -> None:
    emotions = distinct(validity, "emotion")
    colours = palette(emotions)
    for i, emotion in enumerate(emotions):
        rows = rows_of(validity, emotion=emotion)
        share = dict(zip(rows["feature"].tolist(), rows["share"].tolist(), strict=True))
        percent = [100 * share.get(name, np.nan) for name in shown]
        y = np.arange(len(shown)) + 0.5 * ((i + 0.5) / len(emotions) - 0.5)
        axes.plot(percent, y, "o", color=colours[emotion], markersize=3)
    axes.set_xlim(-5, 105)
    axes.set_xticks([0, 100])
    axes.set_title("clips with\na value (%)", fontsize=8)
    handles = [
        Line2D([], [], marker="o", linestyle="", color=colours[name], markersize=4, label=str(name))
        for name in emotions
    ]
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7)
