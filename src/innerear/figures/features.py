"""Dictionaries beside their controls, and what features tell beside dimensions and the random twin."""

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.analyses.feature_probes import ACCURACY, KS
from innerear.analyses.features import BEYOND_CHANCE, DIMENSIONS, FEATURES, TWIN
from innerear.figures.style import new_figure, styled
from innerear.figures.tables import n_prompts, rows_of
from innerear.statistics.significance import ALPHA

_WITHIN = "FVU within steps"
# From Paul Tol's muted scheme, distinct also for readers who are colour-blind.
_COLOURS = ("#332288", "#CC6677", "#44AA99", "#AA4499", "#882255", "#999933", "#88CCEE")
_OWN, _ROSE, _TEAL, _PURPLE, _WINE = _COLOURS[:5]
# (what was trained on, what wrote it) -> label and colour
_WRITTEN = {
    ("uncond", "dictionary"): ("dictionary", _OWN),
    ("delta", "dictionary"): ("dictionary of delta", _WINE),
    ("uncond", "components"): ("k components", _ROSE),
    ("uncond", "frozen decoder"): ("frozen decoder", _TEAL),
    ("random_init", "dictionary"): ("random weights", "0.5"),
}
_AGREEING = {"uncond": _OWN, "random_init": "0.5"}
_KINDS = {
    FEATURES: _OWN,
    DIMENSIONS: _ROSE,
    "rotated dimensions": _TEAL,
    "principal components": _PURPLE,
    TWIN: "0.5",
}


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
        "dictionaries": _dictionaries(measures, costs, known, model),
        "features": _features(table, model, contrast),
    }


def _dictionaries(measures: pd.DataFrame, costs: pd.DataFrame, known: pd.DataFrame, model: str) -> Figure:
    found = ", ".join(f"{share:.2f}" for share in known["found"]) if len(known) else "not run"
    title = f"Dictionaries, {model}; known embeddings found, by codebook: {found}"
    held = rows_of(measures, clips="held-out clips")
    where = "on held-out clips" if len(held) else "on the clips of training: none is held out"
    held = held if len(held) else measures
    figure, axes = new_figure(1, 3, title=title, subtitle=f"measured {where}", panel=(4, 3))
    fit, seeds, cost = axes[0]
    for (of, by), (label, colour) in _WRITTEN.items():
        _line(fit, rows_of(held, of=of, written_by=by, measure=_WITHIN), label, colour)
    fit.set(xlabel="layer", ylabel="variance unexplained\nwithin steps", ylim=(0, 1.05))
    for of, colour in _AGREEING.items():
        rows = rows_of(held, of=of, written_by="dictionary")
        _line(seeds, rows_of(rows, measure="agreement"), of, colour)
    _line(seeds, rows_of(held, of="uncond", measure="agreement by chance"), "chance", "black", style=":")
    seeds.set(xlabel="layer", ylabel="share of latents that\nanother seed finds", ylim=(-0.02, 1))
    guided = rows_of(costs, distribution="guided")
    edits = dict.fromkeys(guided.loc[guided["edit"] != "none", "edit"])
    for colour, edit in zip(cycle(_COLOURS), edits, strict=False):
        _line(cost, rows_of(guided, edit=edit), edit, colour, of="cost")
    cost.set(xlabel="layer", ylabel="cost under guidance, nats", yscale="log")
    cost.set_ylim(top=300)  # room for the legend
    for panel in (fit, seeds, cost):
        panel.legend(frameon=False, fontsize=7)
    return figure


def _features(table: pd.DataFrame, model: str, contrast: str) -> Figure:
    layers = sorted(set(rows_of(table, statistic=ACCURACY)["layer"].astype(int)))
    title = f"What sparse features tell, {model}, uncond, held-out templates"
    how = f"{n_prompts(table)}; left: 95 % of a jackknife over templates, dotted: by chance; "
    how += f"right: probes on k of them, filled: p ≤ {ALPHA} by max-T"
    figure, axes = new_figure(1, 1 + len(layers), title=title, subtitle=how, panel=(3.2, 3))
    share, *probes = axes[0]
    for number, kind in enumerate((FEATURES, DIMENSIONS, TWIN)):
        rows = rows_of(table, statistic=BEYOND_CHANCE, kind=kind, branch="uncond").sort_values("layer")
        middle, low, high = (rows[name].to_numpy(float) for name in ("estimate", "ci_lo", "ci_hi"))
        x = rows["layer"].to_numpy(float) + 0.08 * (number - 1)
        around = np.nan_to_num(np.abs(np.stack([middle - low, high - middle])))
        share.errorbar(x, middle, around, color=_KINDS[kind], marker="o", capsize=2, label=kind)
    share.axhline(ALPHA, color="0.4", linestyle=":", linewidth=0.8)
    share.set(xlabel="layer", ylabel=f"share that differs by {contrast}", ylim=(0, 1.05))
    share.legend(frameon=False, fontsize=7)
    for panel, layer in zip(probes, layers, strict=True):
        for kind, colour in _KINDS.items():
            rows = rows_of(table, statistic=ACCURACY, kind=kind, layer=layer).sort_values("k_features")
            _line(panel, rows, kind, colour, over="k_features")
            sure = rows[rows["p_corrected"] <= ALPHA]
            panel.scatter(sure["k_features"], sure["estimate"], color=colour, s=18)
        panel.set(
            xlabel="k",
            ylabel="accuracy",
            title=f"layer {layer}",
            ylim=(0, 1.05),
            xscale="log",
            xticks=KS,
            xticklabels=KS,
        )
        panel.minorticks_off()
    if probes:
        probes[-1].legend(frameon=False, fontsize=7)
    return figure


def _line(
    axes: Axes,
    rows: pd.DataFrame,
    label: str,
    colour: str,
    *,
    over: str = "layer",
    of: str = "estimate",
    style="-",
) -> None:
    """Draw a line over a column; nothing where there are no rows."""
    rows = rows.sort_values(over)
    if len(rows):
        axes.plot(
            rows[over], rows[of], style, color=colour, marker="o", markersize=3, mfc="none", label=label
        )
