"""Dictionaries with their controls, and features compared with dimensions and the random twin."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from innerear.analyses.features import BEYOND_CHANCE, DIMENSIONS, FEATURES, TWIN
from innerear.analyses.features.probes import ACCURACY, KS
from innerear.figures.drawing.style import dot, legend_below, markers, new_figure, styled
from innerear.figures.drawing.tables import intervals, n_prompts, rows_of, span
from innerear.statistics.significance import ALPHA

_WITHIN = "FVU within steps"
# From Paul Tol's muted scheme, distinct also for readers who are colour-blind.
_OWN, _ROSE, _TEAL, _PURPLE, _WINE = "#332288", "#CC6677", "#44AA99", "#AA4499", "#882255"
# (what was trained on, what wrote it) -> label and colour
_WRITTEN = {
    ("uncond", "dictionary"): ("dictionary", _OWN),
    ("delta", "dictionary"): ("dictionary of delta", _WINE),
    ("uncond", "components"): ("k components", _ROSE),
    ("uncond", "frozen decoder"): ("frozen decoder", _TEAL),
    ("random_init", "dictionary"): ("random weights", "0.5"),
    ("gaussian", "dictionary"): ("Gaussian noise", "#DDCC77"),
}
_AGREEING = ("uncond", "random_init")
# edit of `innerear.features.splice` -> label and colour
_EDITS = {
    "both": ("dictionary", _OWN),
    "cond only": ("dictionary, cond only", "#999933"),
    "base + delta": ("dictionary and that of delta", _WINE),
    "components": ("k components", _ROSE),
    "shared noise": ("noise, shared by the branches", "#88CCEE"),
    "independent noise": ("noise, independent", _PURPLE),
}
_KINDS = {
    FEATURES: _OWN,
    DIMENSIONS: _ROSE,
    "rotated dimensions": _TEAL,
    "principal components": _PURPLE,
    TWIN: "0.5",
}
_SHAPES = markers([label for label, _ in (*_WRITTEN.values(), *_EDITS.values())]) | markers(list(_KINDS))


@styled
def draw(
    table: pd.DataFrame,
    measures: pd.DataFrame,
    costs: pd.DataFrame,
    known: pd.DataFrame,
    *,
    model: str,
    contrast: str = "",
) -> dict[str, Figure]:
    """Draw the measures of dictionaries by layer, and the features' shares and probes."""
    return {
        "dictionaries": _dictionaries(table, measures, costs, known, model),
        "features": _features(table, model, contrast),
    }


def _dictionaries(
    table: pd.DataFrame, measures: pd.DataFrame, costs: pd.DataFrame, known: pd.DataFrame, model: str
) -> Figure:
    found = ", ".join(f"{share:.2f}" for share in known["found"]) if len(known) else "not run"
    title = f"Dictionaries, {model}; known embeddings found, by codebook: {found}"
    held, guided = rows_of(measures, clips="held-out clips"), rows_of(costs, distribution="guided")
    where = "on held-out clips" if len(held) else "on the clips of training: none is held out"
    held = held if len(held) else measures
    how = f"{n_prompts(table)}, measured {where}; costs: {span(costs, 'n_clips')} clips"
    figure, axes = new_figure(1, 3, title=title, subtitle=how, panel=(4, 3.6))
    fit, seeds, cost = axes[0]
    for (of, by), (label, colour) in _WRITTEN.items():
        _line(fit, rows_of(held, of=of, written_by=by, measure=_WITHIN), label, colour, _SHAPES[label])
    fit.set(xlabel="layer", ylabel="variance unexplained\nwithin steps")
    fit.set_ylim(0, 1.05 * max(1, fit.dataLim.ymax))
    for of in _AGREEING:
        label, colour = _WRITTEN[of, "dictionary"]
        rows = rows_of(held, of=of, written_by="dictionary", measure="agreement")
        _line(seeds, rows, label, colour, _SHAPES[label])
    by_chance = rows_of(held, of="uncond", measure="agreement by chance")
    _line(seeds, by_chance, "by chance", "black", "", style=":")
    seeds.set(xlabel="layer", ylabel="share of latents that\nanother seed finds", ylim=(-0.02, 1))
    for edit, (label, colour) in _EDITS.items():
        _line(cost, rows_of(guided, edit=edit), label, colour, _SHAPES[label], of="cost")
    cost.set(xlabel="layer", ylabel="cost under guidance, nats a token", yscale="log")
    for panel in (fit, seeds, cost):
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=7)
    return figure


def _features(table: pd.DataFrame, model: str, contrast: str) -> Figure:
    accuracies = rows_of(table, statistic=ACCURACY)
    layers = sorted(set(accuracies["layer"].astype(int)))
    title = f"What sparse features tell, {model}, uncond, held-out templates"
    how = f"{n_prompts(table)}; left: 95 % of a jackknife over templates; "
    how += f"right: probes on k of them, filled: p ≤ {ALPHA} by max-T\n{intervals(accuracies, 'right, bars')}"
    figure, axes = new_figure(1, 1 + len(layers), title=title, subtitle=how, panel=(3.2, 3))
    share, *probes = axes[0]
    for number, kind in enumerate((FEATURES, DIMENSIONS, TWIN)):
        rows = rows_of(table, statistic=BEYOND_CHANCE, kind=kind, branch="uncond").sort_values("layer")
        middle, low, high = (rows[name].to_numpy(float) for name in ("estimate", "ci_lo", "ci_hi"))
        x = rows["layer"].to_numpy(float) + 0.08 * (number - 1)
        around = np.nan_to_num(np.abs(np.stack([middle - low, high - middle])))
        look = {"color": _KINDS[kind], "marker": _SHAPES[kind], "markersize": 4, "capsize": 2}
        share.errorbar(x, middle, around, **look)
    _by_chance(share, ALPHA)
    share.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    share.set(xlabel="layer", ylabel=f"share that differs by {contrast}", ylim=(0, 1.05))
    for panel, layer in zip(probes, layers, strict=True):
        _by_chance(panel, float(accuracies["chance"].iloc[0]))
        for number, (kind, colour) in enumerate(_KINDS.items()):
            rows = rows_of(accuracies, kind=kind, layer=layer)
            ends = rows["k_features"] * 1.06 ** (number - 2), rows["ci_lo"], rows["ci_hi"]
            panel.vlines(*ends, color=colour, linewidth=0.8, alpha=0.6)
            _line(panel, rows, kind, colour, _SHAPES[kind], over="k_features")
            sure = rows[rows["p_corrected"] <= ALPHA]
            panel.scatter(sure["k_features"], sure["estimate"], color=colour, marker=_SHAPES[kind], s=18)
        panel.set(
            xlabel="k",
            ylabel="balanced accuracy",
            title=f"layer {layer}",
            ylim=(0, 1.05),
            xscale="log",
            xticks=KS,
            xticklabels=KS,
        )
        panel.minorticks_off()
    there = set(table["kind"])
    entries = [
        dot(kind, color=colour, marker=_SHAPES[kind], linestyle="-", markersize=4)
        for kind, colour in _KINDS.items()
        if kind in there
    ]
    entries.append(dot("by chance", marker="", linestyle=":"))
    legend_below(figure, entries, len(entries))
    return figure


def _by_chance(axes: Axes, value: float) -> None:
    """Draw a line at what chance gives, if that is known."""
    if np.isfinite(value):
        axes.axhline(value, color="0.4", linestyle=":", linewidth=0.8)


def _line(
    axes: Axes,
    rows: pd.DataFrame,
    label: str,
    colour: str,
    marker: str,
    *,
    over: str = "layer",
    of: str = "estimate",
    style="-",
) -> None:
    """Draw a line over a column; nothing where there are no rows."""
    rows = rows.sort_values(over)
    if len(rows):
        look = {"color": colour, "marker": marker, "markersize": 4, "mfc": "none", "label": label}
        axes.plot(rows[over], rows[of], style, **look)
