"""What edits of the states change: dose and effect above dose and cost, ablation, and patched states."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.acoustics.features import feature_label
from innerear.analyses.interventions import (
    ABLATION,
    ACCURACY,
    EFFECT,
    MEASURES,
    PATCHED,
    PROBABILITY,
    UNTOUCHED,
)
from innerear.figures.style import dot, new_figure, styled
from innerear.figures.tables import distinct, rows_of
from innerear.statistics.significance import ALPHA

_SOURCES = {"means": "#332288", "probe": "#117733", "delta": "#882255"}
_KINDS = {UNTOUCHED: "0.4", "labels": "#882255", "random": "#999933"}
_DIFFERS = {"text": "#332288", "history": "#999933"}
_THIN = {"linewidth": 0.5, "alpha": 0.35}
_SHOWN = (PROBABILITY, "loudness", "centroid")


def draw(table: pd.DataFrame, curves: pd.DataFrame, *, model: str, contrast: str) -> dict[str, Figure]:
    """Draw the figures of `innerear.analyses.interventions`."""
    return {
        "steering": dose_curves(table, curves, model=model),
        "ablation": ablation(table, curves, model=model, contrast=contrast),
        "patching": patching(table, curves, model=model),
    }


@styled
def dose_curves(table: pd.DataFrame, curves: pd.DataFrame, *, model: str) -> Figure:
    """Draw measures over the dose, above what it costs; a column per layer.

    Thick: means over templates, a colour per source; thin: single templates of the first source; grey: the
    range of random directions; dashed: the random twin. A star marks p ≤ .05 in both tests at the largest dose.
    """
    own = rows_of(curves, kind="dose", weights="trained")
    layers = sorted(set(own["layer"].astype(float)))
    start, end = (str(table[name].iloc[0]) for name in ("start", "end"))
    rows = [*_SHOWN, "nll"]
    figure, axes = new_figure(
        len(rows),
        len(layers),
        title=f"Neutral clips moved from {start} to {end}, {model}",
        subtitle=_how(table),
        panel=(2.6, 1.7),
        sharex=True,
        sharey="row",
    )
    twin = rows_of(curves, kind="dose", weights="random_init")
    for column, layer in enumerate(layers):
        for row, measure in enumerate(rows):
            panel: Axes = axes[row, column]
            _curve(panel, own[own["layer"].astype(float) == layer], measure, _SOURCES)
            _curve(panel, twin[twin["layer"].astype(float) == layer], measure, {"means": "0.3"}, dashed=True)
            if not column:
                panel.set_ylabel(_label(measure, end))
            star = _significant(table, layer, measure)
            panel.set_title(f"layer {layer:g}" * (row == 0) + (" *" if star else ""), loc="left", fontsize=8)
        axes[-1, column].set_xlabel("dose, share of the way")
    line = {"marker": "", "linestyle": "-"}
    entries = [
        dot(name, color=_SOURCES[name], **line) for name in distinct(own, "source") if name in _SOURCES
    ]
    entries.append(dot("random directions", color="0.8", marker="s"))
    if len(twin):
        entries.append(dot("random twin", color="0.3", marker="", linestyle="--"))
    figure.legend(handles=entries, loc="outside lower center", ncols=len(entries))
    return figure


def _curve(
    panel: Axes, values: pd.DataFrame, measure: str, colours: dict[str, str], *, dashed: bool = False
) -> None:
    """Draw one measure of one layer over the dose."""
    values = values[values["measure"] == measure]
    drawn = values[(values["source"] == "random")].dropna(subset=["value"])
    if len(drawn):
        ends = drawn.groupby("dose")["value"]
        panel.vlines(list(ends.groups), ends.min(), ends.max(), color="0.8", linewidth=5, zorder=0)
    base = values[values["source"] == UNTOUCHED]
    for number, (source, colour) in enumerate(colours.items()):
        of = values[(values["source"] == source) & (values["branch"] == "both")]
        if of.empty:
            continue
        of = pd.concat([of, base])
        if not number and not dashed:
            for _, single in of.groupby("template"):
                single = single.sort_values("dose")
                panel.plot(single["dose"], single["value"], color=colour, **_THIN)
        mean = of.groupby("dose")["value"].mean()
        panel.plot(mean.index, mean, color=colour, linestyle="--" if dashed else "-", linewidth=1.6)
    panel.axvline(0, color="0.85", linewidth=0.6, zorder=0)


def _label(measure: str, end: str) -> str:
    if measure == "nll":
        return "cost: nats a token"
    return f"probability of {end}" if measure == PROBABILITY else feature_label(measure, MEASURES[measure])


def _significant(table: pd.DataFrame, layer: float, measure: str) -> bool:
    rows = rows_of(table, statistic=EFFECT, weights="trained", source="means", branch="both", measure=measure)
    rows = rows[rows["layer"].astype(str) == f"{layer:g}"]
    return bool(len(rows)) and bool(rows[["p_corrected", "p_flip_corrected"]].max(axis=1).iloc[0] <= ALPHA)


def _how(table: pd.DataFrame) -> str:
    rows = rows_of(table, statistic=EFFECT, weights="trained")
    tested = rows.dropna(subset=["random"])
    n = f"n: {rows['n_templates'].iloc[0]:g} templates"
    if tested.empty:
        return n
    null = str(tested["null"].iloc[0]).replace(", of equal length", ",\nof equal length")
    return f"{n}; *: p ≤ {ALPHA} over layers against {null}, and by sign flips of templates"


@styled
def ablation(table: pd.DataFrame, curves: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw the share of clips that are named right, untouched and without a subspace, paired by template."""
    own = rows_of(curves, kind="ablation")
    where = [layer for layer in distinct(own, "layer") if layer != UNTOUCHED]
    figure, axes = new_figure(
        1,
        len(where),
        title=f"Clips named after their {contrast} by their sound, {model}",
        subtitle=f"thin: templates; *: p ≤ {ALPHA} by permutation and sign flips,\nlabels' subspace against random",
        panel=(2.6, 2.4),
        sharey=True,
    )
    for panel, layer in zip(axes[0], where, strict=True):
        kinds = list(_KINDS)
        named = [UNTOUCHED, layer, layer]
        wide = np.stack(
            [_by_template(rows_of(own, layer=at, source=kind)) for at, kind in zip(named, kinds, strict=True)]
        )
        panel.plot(range(3), wide, color="0.5", **_THIN)
        panel.scatter(range(3), wide.mean(axis=1), color=list(_KINDS.values()), zorder=3)
        rows = rows_of(table, statistic=ABLATION)
        test = rows[rows["layer"].astype(str) == str(layer)]
        sure = len(test) and test[["p_corrected", "p_flip_corrected"]].max(axis=1).iloc[0] <= ALPHA
        panel.set_title(
            f"edited: {'all layers' if layer == 'all' else f'layer {layer}'}{' *' if sure else ''}"
        )
        panel.set_xticks(range(3), ["untouched", "without\nlabels'", "without\nrandom"])
    axes[0, 0].set_ylabel(ACCURACY)
    return figure


def _by_template(rows: pd.DataFrame) -> np.ndarray:
    return rows.sort_values("template")["value"].to_numpy(float)


@styled
def patching(table: pd.DataFrame, curves: pd.DataFrame, *, model: str) -> Figure:
    """Draw what cond's states of another run cost a clip's tokens, by layer, for text and for history."""
    rows = rows_of(table, statistic=PATCHED)
    differs = [kind for kind in _DIFFERS if kind in set(rows["source"])]
    windows, n = distinct(rows, "measure"), f"n: {rows['n_templates'].iloc[0]:g}"
    own = rows_of(curves, kind="patch")
    figure, axes = new_figure(
        1,
        len(differs),
        title=f"What the states of another run cost a clip's tokens, {model}",
        subtitle=f"{n} templates; filled: p ≤ {ALPHA} by permutation and sign flips",
        panel=(3.0, 2.4),
    )
    for panel, kind in zip(axes[0], differs, strict=True):
        of_kind = rows[(rows["source"] == kind) & (rows["layer"].astype(str) != UNTOUCHED)]
        layers = distinct(of_kind, "layer")
        for number, window in enumerate(windows):
            _patched(
                panel,
                rows_of(of_kind, measure=window),
                rows_of(own, source=kind, measure=window),
                layers,
                number,
            )
        whole = rows[(rows["source"] == kind) & (rows["layer"].astype(str) == UNTOUCHED)]
        if len(whole):
            panel.axhline(whole["estimate"].iloc[0], color="0.5", linestyle=":", linewidth=1)
        panel.set_ylim(bottom=min(0.0, panel.get_ylim()[0]))
        panel.set_xticks(range(len(layers)), [str(layer) for layer in layers])
        panel.set(xlabel="layer that is patched", title=f"another {kind}")
    axes[0, 0].set_ylabel("nats a token, in cond")
    entries = [dot(window, color=f"C{number}") for number, window in enumerate(windows)]
    entries.append(dot("read under the other text", color="0.5", marker="", linestyle=":"))
    figure.legend(handles=entries, loc="outside lower center", ncols=2)
    return figure


def _patched(panel: Axes, rows: pd.DataFrame, curves: pd.DataFrame, layers: Sequence, number: int) -> None:
    """Draw the cost of one window over the layers, with its templates."""
    colour, shift = f"C{number}", 0.12 * (number - 1)
    for place, layer in enumerate(layers):
        values = curves[curves["layer"].astype(str) == str(layer)]["value"].to_numpy(float)
        panel.scatter(np.full(len(values), place + shift), values, s=4, color=colour, alpha=0.3, linewidth=0)
        for row in rows[rows["layer"].astype(str) == str(layer)].to_dict("records"):
            sure = max(row["p_corrected"], row["p_flip_corrected"]) <= ALPHA
            face = colour if sure else "white"
            panel.scatter(
                [place + shift], [row["estimate"]], s=28, edgecolor=colour, facecolor=face, zorder=3
            )
