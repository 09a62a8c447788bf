"""Effects of edited states: dose and effect above dose and cost, ablation, and patched states."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.acoustics.features import feature_label
from innerear.analyses.interventions import (
    ABLATION,
    ACCURACY,
    DISTANCE,
    EFFECT,
    MEASURES,
    NLL,
    PATCHED,
    PROBABILITY,
    RANDOM,
    SWAPPED,
    UNTOUCHED,
)
from innerear.figures.drawing.style import dot, legend_below, new_figure, styled
from innerear.figures.drawing.tables import distinct, rows_of
from innerear.statistics.significance import ALPHA

_SOURCES = {"means": "#332288", "probe": "#117733", "delta": "#882255", "features": "#999933"}
_KINDS = {UNTOUCHED: "0.4", "labels": "#882255", "random": "#999933"}
_DIFFERS = ("text", "history")
#: of what part of the clip patching is judged: colours of Paul Tol's that are no emotion's or branch's
_WINDOWS = {"whole": ("0.2", "o"), "first half": ("#AA4499", "<"), "second half": ("#88CCEE", ">")}
_THIN: dict[str, Any] = {"linewidth": 0.5, "alpha": 0.35}
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
    """Draw measures over the dose, above what it costs and how far it moves the states; a column per layer.

    Thick: means over templates, a colour per source; thin: single templates of the main source; grey: the
    range of random directions; dashed: the random twin. A star: p ≤ .05 in both tests of the main source at
    the largest dose.
    Features steer only templates that their dictionaries have not seen, and are drawn over these.
    """
    own, twin = (_doses(curves, weights) for weights in ("trained", "random_init"))
    layers = sorted({key.layer for key in own})
    start, end = (str(table[name].iloc[0]) for name in ("start", "end"))
    rows, effects = [*_SHOWN, NLL, DISTANCE], _main_effects(table)
    main = effects["source"].iloc[0]
    figure, axes = new_figure(
        len(rows),
        len(layers),
        title=f"Neutral clips moved from {start} to {end}, {model}",
        subtitle=_how(effects, main),
        panel=(2.6, 1.7),
        sharex=True,
        sharey="row",
    )
    for column, layer in enumerate(layers):
        for row, measure in enumerate(rows):
            panel: Axes = axes[row, column]
            _curve(panel, own, layer, measure, main)
            _curve(panel, twin, layer, measure, main, dashed=True)
            if not column:
                panel.set_ylabel(_label(measure, end))
            star = any(map(_sure, _of_layer(rows_of(effects, measure=measure), layer)))
            panel.set_title(f"layer {layer}" * (row == 0) + (" *" if star else ""), loc="left", fontsize=8)
        axes[-1, column].set_xlabel("dose, share of the way")
    line: dict[str, Any] = {"marker": "", "linestyle": "-"}
    there = {key.source for key in own}
    entries = [dot(name, color=colour, **line) for name, colour in _SOURCES.items() if name in there]
    entries.append(dot("random directions", color="0.8", marker="s"))
    if twin:
        entries.append(dot("random twin", color="0.3", marker="", linestyle="--"))
    legend_below(figure, entries, len(entries))
    return figure


class _Dose(NamedTuple):
    layer: int
    source: str
    measure: str
    dose: float


def _doses(curves: pd.DataFrame, weights: str) -> dict[_Dose, dict[str, float]]:
    """Return the values of one model's steered clips: by template, or along random directions by number."""
    found: dict[_Dose, dict[str, float]] = {}
    rows: list[dict[str, Any]] = rows_of(curves, kind="dose", weights=weights).to_dict("records")
    for row in rows:
        if row["branch"] == "both":
            key = _Dose(int(float(row["layer"])), row["source"], row["measure"], float(row["dose"]))
            own = found.setdefault(key, {})
            own[str(row["template"]) if row["source"] != RANDOM else str(len(own))] = float(row["value"])
    return found


def _curve(
    panel: Axes,
    values: dict[_Dose, dict[str, float]],
    layer: int,
    measure: str,
    main: str,
    *,
    dashed: bool = False,
) -> None:
    """Draw one measure of one layer over the dose, of the source `main` with its templates."""
    own = {key: of for key, of in values.items() if (key.layer, key.measure) == (layer, measure)}
    for key, of in own.items():
        if key.source == RANDOM and np.isfinite(list(of.values())).any():
            ends = np.nanmin(list(of.values())), np.nanmax(list(of.values()))
            panel.plot([key.dose] * 2, ends, color="0.8", linewidth=5, zorder=0, solid_capstyle="butt")
    for source, colour in _SOURCES.items():
        of_source = {key.dose: of for key, of in own.items() if key.source in (source, UNTOUCHED)}
        if len(of_source) < 2:
            continue
        doses = sorted(of_source)
        # A source that does not steer every template is drawn of its own ones.
        steered = set.intersection(*map(set, of_source.values()))
        means = [float(np.nanmean([of_source[dose][one] for one in steered])) for dose in doses]
        if source == main and not dashed:
            for template in of_source[doses[0]]:
                panel.plot(doses, [of_source[dose][template] for dose in doses], color=colour, **_THIN)
        look: dict[str, Any] = (
            {"color": "0.3", "linestyle": "--"} if dashed else {"color": colour, "linestyle": "-"}
        )
        panel.plot(doses, means, linewidth=1.6, **look)
    panel.axvline(0, color="0.85", linewidth=0.6, zorder=0)


def _label(measure: str, end: str) -> str:
    if measure == NLL:
        return "cost: nats a token"
    if measure == DISTANCE:
        return "states' distance,\n× the usual"
    return f"probability of {end}" if measure == PROBABILITY else feature_label(measure, MEASURES[measure])


def _main_effects(table: pd.DataFrame) -> pd.DataFrame:
    """Return the tested effects of the plan's first source, which stars and thin lines are of."""
    return rows_of(table, statistic=EFFECT, weights="trained", branch="both", main=True)


def _of_layer(rows: pd.DataFrame, layer: object) -> list[dict[str, Any]]:
    """Return the rows of a layer; a table holds its number, or its name where there are others."""
    every: list[dict[str, Any]] = rows.to_dict("records")
    return [row for row in every if _name(row["layer"]) == _name(layer)]


def _name(layer: object) -> str:
    text = str(layer)
    return text.removesuffix(".0")


def _sure(row: Mapping[str, Any]) -> bool:
    """Whether a row's p of permutations and its p of sign flips are both at most .05."""
    return row["p_corrected"] <= ALPHA and row["p_flip_corrected"] <= ALPHA


def _how(effects: pd.DataFrame, main: str) -> str:
    tested, drawn = (effects.dropna(subset=[name]) for name in ("p_corrected", "random"))
    how = f"n: {effects['n_templates'].iloc[0]:g} templates; thin: templates moved along {main}"
    if tested.empty:
        return how
    null = "by permutation"
    if len(drawn):
        null = "against " + str(drawn["null"].iloc[0]).replace(", of equal length", ",\nof equal length")
    return f"{how}\n*: {main}, p ≤ {ALPHA} over layers {null}, and by sign flips of templates"


@styled
def ablation(table: pd.DataFrame, curves: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw the share of clips that are named right, untouched and without a subspace, paired by template."""
    own = rows_of(curves, kind="ablation")
    where = [layer for layer in distinct(own, "layer") if layer != UNTOUCHED]
    losses = rows_of(table, statistic=ABLATION)
    by_chance = float(rows_of(table, statistic=ACCURACY)["chance"].iloc[0])
    how = f"n: {losses['n_templates'].iloc[0]:g} templates (thin); dotted: by chance"
    figure, axes = new_figure(
        1,
        len(where),
        title=f"Clips named after their {contrast} by their sound, {model}",
        subtitle=f"{how}\n*: p ≤ {ALPHA} by permutation and sign flips, labels' against random",
        panel=(2.9, 2.4),
        sharey=True,
    )
    for panel, layer in zip(axes[0], where, strict=True):
        kinds = list(_KINDS)
        named = [UNTOUCHED, layer, layer]
        values = np.array(
            [_by_template(rows_of(own, layer=at, source=kind)) for at, kind in zip(named, kinds, strict=True)]
        )
        panel.axhline(by_chance, color="0.4", linestyle=":", linewidth=0.8)
        panel.plot(range(3), values, color="0.5", **_THIN)
        panel.scatter(range(3), values.mean(axis=1), color=list(_KINDS.values()), zorder=3)
        sure = any(map(_sure, _of_layer(losses, layer)))
        panel.set_title(
            f"edited: {'all layers' if layer == 'all' else f'layer {layer}'}{' *' if sure else ''}"
        )
        panel.set_xticks(range(3), ["untouched", "without\nlabels'", "without\nrandom"], fontsize=8)
        panel.set_xlim(-0.4, 2.4)  # room for the names at both ends
    axes[0, 0].set_ylabel(ACCURACY)
    return figure


def _by_template(rows: pd.DataFrame) -> np.ndarray:
    values = dict(zip(rows["template"].tolist(), rows["value"].tolist(), strict=True))
    return np.array([values[template] for template in sorted(values)], float)


@styled
def patching(table: pd.DataFrame, curves: pd.DataFrame, *, model: str) -> Figure:
    """Draw what cond's states of another run cost a clip's tokens, by layer, for text and for history."""
    rows = rows_of(table, statistic=[PATCHED, SWAPPED])
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
        of_kind = rows_of(rows, source=kind)
        layers = [layer for layer in distinct(of_kind, "layer") if _name(layer) != UNTOUCHED]
        for window in windows:
            for place, layer in enumerate(layers):
                found = _of_layer(rows_of(of_kind, measure=window), layer)
                single = _of_layer(rows_of(own, source=kind, measure=window), layer)
                _patched(panel, found, [row["value"] for row in single], place, window)
        for row in _of_layer(of_kind, UNTOUCHED):
            panel.axhline(row["estimate"], color="0.5", linestyle=":", linewidth=1)
        panel.set_ylim(bottom=min(0.0, panel.get_ylim()[0]))
        panel.set_xticks(range(len(layers)), [_name(layer) for layer in layers])
        panel.set(xlabel="layer that is patched", title=f"another {kind}")
    axes[0, 0].set_ylabel("nats a token, in cond")
    entries = [
        dot(window, color=colour, marker=marker)
        for window, (colour, marker) in _WINDOWS.items()
        if window in windows
    ]
    entries.append(dot("read under the other text", color="0.5", marker="", linestyle=":"))
    legend_below(figure, entries, 2)
    return figure


def _patched(panel: Axes, rows: Sequence[Mapping], values: Sequence[float], place: int, window: str) -> None:
    """Draw the cost of one window in one layer, with its templates."""
    (colour, marker), x = _WINDOWS[window], place + 0.15 * (list(_WINDOWS).index(window) - 1)
    panel.scatter([x] * len(values), values, s=4, color=colour, alpha=0.3, linewidth=0)
    for row in rows:
        face = colour if _sure(row) else "white"
        look = {"s": 28, "marker": marker, "edgecolor": colour, "facecolor": face, "zorder": 3}
        panel.scatter([x], [row["estimate"]], **look)
