"""Relate sparse features to label and sound, on prompts that no dictionary was trained on.

Features are compared with bases that need no dictionary (single and rotated dimensions, principal
components) and with features of the model with random weights. A share of features that differ says nothing
without them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from innerear.analyses.features.probes import probe_rows
from innerear.analyses.features.sound import SOUND_BEYOND, sound_rows
from innerear.analyses.features.time import FeatureSteps, time_rows
from innerear.gram.reading import GramSource
from innerear.statistics.anova import Anova, f_without_each
from innerear.statistics.claims import benjamini_hochberg
from innerear.statistics.design import Design
from innerear.statistics.design.resampling import jackknife
from innerear.statistics.design.template_contrasts import label_contrasts, of_features
from innerear.statistics.finding import OMEGA_SQUARED, Finding
from innerear.statistics.significance import ALPHA
from innerear.statistics.table import INTERVAL, LayerResult, Maxima, blank, columns, record, record_flips

MAP_COLUMNS = ("statistic", "kind")
FAMILY = "layers × branches × {kind}"
FEATURES, TWIN, DIMENSIONS = "features", "features of the random twin", "dimensions"
BY_FEATURE = "prompt-mean ANOVA, ω²"
BEYOND_CHANCE = "share past F's 5 % point"
AGAINST = "share past F's 5 % point, features − {kind}"
NAMED = "surest feature that may be named, ω²"
#: features on the page
SHOWN = 24
FOUND, AGREE, BEYOND_TWIN = "found by all seeds", "agree in all templates", "beyond the twin"
_NOTHING_HELD_OUT = (
    "none: dictionaries were trained on all prompts; add templates, or take finished dictionaries"
)
COLUMNS = columns(
    *("branch", "kind", "measure", "feature", "k_features", "sound", "statistic", *INTERVAL, "interval"),
    *("chance", "f", "q", "stable", "twin_cosine", "beyond_twin", "named", "n_named", "note"),
)


@dataclass(frozen=True)
class _Cells:
    """Clip values [N, F] of one kind, branch and measure."""

    kind: str
    branch: str
    measure: str
    values: np.ndarray


def of_layer(
    gram: GramSource,
    design: Design,
    clips: GramSource,
    acoustics: pd.DataFrame,
    steps: FeatureSteps | None = None,
) -> LayerResult:
    """Test the features of one layer, reduced to clips, on held-out prompts.

    Parameters
    ----------
    gram : of the layer, for its single dimensions.
    clips : means and firing rates of each clip, from rule ``dictionaries``.
    acoustics : clip features of the sound: sample_id, feature, value.
    steps : activations in uncond at each step, beside the sound; without them nothing is asked over time.

    Notes
    -----
    Rows by `statistic`:

    - *prompt-mean ANOVA, ω²*: each feature (kind ``features``: mean activation and firing rate in cond,
      uncond and delta), each dimension, and each feature of the random twin. `p_corrected` is max-T over the
      features, branches and layers of a kind, `p_flip_corrected` the same by sign flips of templates, `q`
      Benjamini & Hochberg's within layer, branch and measure. Intervals are a jackknife over templates.
    - *share past F's 5 % point*, and the same of features less that of dimensions and of the twin, with a
      jackknife over templates.
    - *accuracy of k …*: sparse probes, see `innerear.analyses.features.probes`.
    - correlations with sound: see `innerear.analyses.features.sound`; over time, see
      `innerear.analyses.features.time`.
    """
    held = np.flatnonzero(~clips.read("training"))
    why_not = "" if len(held) else _NOTHING_HELD_OUT
    rows = held if len(held) else np.arange(design.n_samples)
    own = design.subset(rows)
    cells = _cells(gram, clips, rows)
    reason = why_not.removeprefix("none: ")
    fewer = own.without_each_template()
    tables, maxima = [_shares(cells, own, fewer, why_not)], list[Maxima]()
    for kind in dict.fromkeys(one.kind for one in cells):
        of_kind = [one for one in cells if one.kind == kind]
        table, found = _by_feature(of_kind, own, fewer, reason)
        if kind == FEATURES:
            mine = (table["branch"] == "uncond").to_numpy()
            for name in ("stable", "twin_cosine"):
                table.loc[mine, name] = np.tile(
                    clips.read(name), sum(one.branch == "uncond" for one in of_kind)
                )
        tables.append(table)
        maxima += found
    mean, rate = (one.values for one in cells if (one.kind, one.branch) == (FEATURES, "uncond"))
    for more in (
        sound_rows(mean, rate, acoustics, own, reason),
        time_rows(steps.subset(rows), rate, own, reason) if steps else (pd.DataFrame(), []),
        probe_rows(_for_probes(cells), own, why_not),
    ):
        tables.append(more[0])
        maxima += more[1]
    remarks = [f"estimates without p: {why_not.removeprefix('none: ')}"] if why_not else []
    table = pd.concat([one for one in tables if len(one)], ignore_index=True)
    return LayerResult(table, maxima=maxima, remarks=remarks)


def _cells(gram: GramSource, clips: GramSource, rows: np.ndarray) -> list[_Cells]:
    """Return the clip values of all kinds, of some of the samples."""
    found = []
    for branch in ("cond", "uncond", "delta"):
        for name, measure in (("mean", "mean activation"), ("rate", "firing rate")):
            if f"{name}_{branch}" in clips:
                values = clips.read(f"{name}_{branch}")[rows].astype(float)
                found.append(_Cells(FEATURES, branch, measure, values))
    if "mean_random_init" in clips:
        values = clips.read("mean_random_init")[rows].astype(float)
        found.append(_Cells(TWIN, "uncond", "mean activation", values))
    for branch in gram.labels("branch"):
        values = gram.read("window_mean", branch=branch, window="whole")[rows].astype(float)
        found.append(_Cells(DIMENSIONS, branch, "mean", values))
    return found


#: `Design.without_each_template`
_Fewer = list[tuple[np.ndarray, Design]]


def _by_feature(
    cells: list[_Cells], design: Design, fewer: _Fewer, why_not: str
) -> tuple[pd.DataFrame, list[Maxima]]:
    """Test each feature of one kind, by permutations of labels and by sign flips of templates."""
    values = np.hstack([one.values for one in cells])  # [N, cells × F]
    sizes = [one.values.shape[1] for one in cells]
    means, anova = values[design.rows].mean(axis=1), Anova(design)
    f = anova.f(means)
    estimate = anova.share(f)
    left = np.array([part.share(less) for part, less in f_without_each(values, fewer)])
    low, high, interval = jackknife(estimate, left)
    rows = {
        "branch": np.repeat([one.branch for one in cells], sizes),
        "kind": cells[0].kind,
        "measure": np.repeat([one.measure for one in cells], sizes),
        "feature": np.concatenate([np.arange(n) for n in sizes]),
        **{"f": f, "estimate": estimate, "ci_lo": low, "ci_hi": high, "interval": interval},
    }
    table = blank(rows, design, statistic=BY_FEATURE)
    every = np.arange(len(table))
    constant = [why_not or ("" if np.isfinite(one) else "equal in all clips") for one in f]
    observed = np.full(len(f), np.nan) if why_not else f
    family = f"{cells[0].kind} × branches of this layer"
    maxima = record(table, every, design, observed, anova.null(means), family=family, why_not=constant)
    agreement = of_features(label_contrasts(design), means)  # [F, T, T]
    # In units of what a feature varies between the labels of single templates, which no flip changes.
    own = np.einsum("ftt->f", agreement)
    agreement /= np.where((own > 0) & np.isfinite(observed), own, np.nan)[:, None, None]
    maxima += record_flips(table, every, design, agreement, standardise=False)
    for mine in table.groupby(["branch", "measure"]).indices.values():
        table.loc[mine, "q"] = benjamini_hochberg(table["p"].to_numpy(float)[mine])
    return table, maxima


def _shares(cells: list[_Cells], design: Design, fewer: _Fewer, why_not: str) -> pd.DataFrame:
    """Return shares of what differs by kind, and of features less the controls, with their intervals."""
    compared = [one for one in cells if one.measure != "firing rate"]
    whole = _share_past(compared, design)
    boots = np.full((len(fewer), len(compared)), np.nan)
    for row, (kept, other) in zip(boots, fewer, strict=True):
        row[:] = _share_past([replace(one, values=one.values[kept]) for one in compared], other)
    rows = []

    def add(one: _Cells, statistic: str, estimate: float, of_parts: np.ndarray) -> None:
        low, high, interval = jackknife(estimate, of_parts)
        row = {"branch": one.branch, "kind": one.kind, "measure": one.measure, "statistic": statistic}
        rows.append(row | {"estimate": estimate, "ci_lo": low, "ci_hi": high, "interval": interval})

    for i, one in enumerate(compared):
        add(one, BEYOND_CHANCE, whole[i], boots[:, i])
        for j, other in enumerate(compared):
            same = other.branch == one.branch and one.kind == FEATURES
            if same and other.kind in (TWIN, DIMENSIONS):
                gap = boots[:, i] - boots[:, j]
                add(one, AGAINST.format(kind=other.kind), whole[i] - whole[j], gap)
    null = why_not or "none: a share of tests, described with an interval"
    return blank(pd.DataFrame(rows), design, null=null)


def _share_past(cells: list[_Cells], design: Design) -> np.ndarray:
    """Return for each cell the share of values with F past its 5 % point, among the values that vary."""
    anova = Anova(design)
    return np.array([anova.share_past(anova.f(one.values[design.rows].mean(axis=1))) for one in cells])


def _for_probes(cells: list[_Cells]) -> dict[str, np.ndarray]:
    """Return clip values in uncond by kind."""
    return {one.kind: one.values for one in cells if one.branch == "uncond" and one.measure != "firing rate"}


def finish(table: pd.DataFrame) -> pd.DataFrame:
    """Say which features are named, once p is corrected over layers, and count them by layer.

    A feature of uncond is named when all seeds find it, its p by max-T is at most `ALPHA`, all held-out
    templates agree in its direction, and no feature of the random twin in its layer differs as much.
    """
    rows = (table["statistic"] == BY_FEATURE) & (table["measure"] != "firing rate")
    mine = np.array(rows & (table["kind"] == FEATURES) & (table["branch"] == "uncond"), bool)
    of_twin = np.array(rows & (table["kind"] == TWIN), bool)
    f, layers = table["f"].to_numpy(float), table["layer"].to_numpy(int)
    # Without a twin nothing is beyond it.
    highest = {n: np.max(f[of_twin & (layers == n)], initial=-np.inf) for n in np.unique(layers)}
    strongest = np.array([highest[n] if of_twin.any() else np.inf for n in layers])
    conditions = {
        FOUND: np.array([is_true(one) for one in table["stable"]]),
        "past max-T": table["p_corrected"].to_numpy(float) <= ALPHA,
        AGREE: table["k"].to_numpy(float) == table["n_templates"].to_numpy(float),
        BEYOND_TWIN: f > strongest,
    }
    named = np.logical_and.reduce([*conditions.values(), mine])
    beyond = pd.Series(conditions[BEYOND_TWIN], table.index).where(mine)
    table = table.assign(beyond_twin=beyond, named=named)
    surest = []
    for layer in np.unique(layers[mine]):
        own = np.flatnonzero(mine & (layers == layer))
        of_layer = {name: met[own] for name, met in conditions.items()}
        surest.append(_surest(table.iloc[own], of_layer))
    return pd.concat([table, pd.DataFrame(surest)], ignore_index=True).reindex(columns=table.columns)


def surest(table: pd.DataFrame, kind: str = FEATURES) -> pd.DataFrame:
    """Return the rows of `SHOWN` features of uncond: named ones first, then by p and effect."""
    where = {"statistic": BY_FEATURE, "kind": kind, "branch": "uncond", "measure": "mean activation"}
    keep = np.logical_and.reduce([table[name].to_numpy() == value for name, value in where.items()])
    rows = table.iloc[np.flatnonzero(keep & np.isfinite(table["f"].to_numpy(float)))]
    named = np.array([is_true(one) for one in rows["named"]], bool)
    p, f = np.array(rows["p_corrected"], float), np.array(rows["f"], float)
    order = np.lexsort((-f, np.nan_to_num(p, nan=2), ~named))
    return rows.assign(named=named).iloc[order[:SHOWN]]


def is_true(value: object) -> bool:
    """Return whether a cell says yes, which a table with empty cells reads as a number or a text."""
    return str(value) in ("True", "1", "1.0")


def _surest(own: pd.DataFrame, conditions: Mapping[str, np.ndarray]) -> dict[str, object]:
    """Return the row of a layer on its surest feature that may be named.

    Of the features that all seeds find, those that also meet what is not tested are asked for the least p.
    If there are none, the strongest that all seeds find stands there, with p 1. The interval ends where the
    highest of theirs does: none of them has a larger effect.
    """
    found = conditions[FOUND]
    may = found & conditions[AGREE] & conditions[BEYOND_TWIN]
    p, p_flip, f = (own[name].to_numpy(float) for name in ("p_corrected", "p_flip_corrected", "f"))
    order = np.lexsort((-f, p_flip, p, ~may, ~found))
    best = int(order[0])
    row = own.iloc[best].to_dict() | {"statistic": NAMED, "n_named": own["named"].sum()}
    met = ", ".join(f"{one.sum()} {what}" for what, one in conditions.items())
    row["note"] = f"{row['n_named']} named of {len(own)}: {met}"
    if not may[best]:
        row |= dict.fromkeys(("p", "p_flip"), np.nan)
        row |= dict.fromkeys(("p_corrected", "p_flip_corrected"), 1.0 if np.isfinite(p).any() else np.nan)
    if found.any():
        row |= {"ci_lo": own["ci_lo"].to_numpy(float)[found].max()}
        row |= {"ci_hi": own["ci_hi"].to_numpy(float)[found].max()}
    return row


_OF_VARIANCE = "share of what prompts of a template differ by, which labels explain; 0 without an effect"
FINDINGS = (
    Finding(
        "Do sparse features differ between {contrasts}, on templates that no dictionary was trained on?",
        "Yes, at {n_found} of {n_layers} layers some do: the {contrast} explains {effect} in feature "
        "{feature} of layer {layer}.",
        {"statistic": BY_FEATURE, "kind": FEATURES, "branch": "uncond"},
        "features",
        aside="Single dimensions, and features of random weights, may differ as well: see the figure.",
        meaning=_OF_VARIANCE,
        formula=OMEGA_SQUARED,
    ),
    Finding(
        "Are there features that all seeds find, that hold in all templates, and that the random twin lacks?",
        "Yes, at {n_found} of {n_layers} layers: the {contrast} explains {effect} in feature {feature} of "
        "layer {layer} ({range} over layers).",
        {"statistic": NAMED, "kind": FEATURES},
        "features",
        aside="Another basis may tell {contrasts} apart as well: see the figure.",
        meaning=_OF_VARIANCE,
        formula=OMEGA_SQUARED,
    ),
    Finding(
        "Do features follow the sound beyond prompt and seed?",
        "Yes, at {n_found} of {n_layers} layers some do: feature {feature} of layer {layer} with {effect}.",
        {"statistic": SOUND_BEYOND, "kind": FEATURES},
        "features",
        unit="r",
        signed=True,
        meaning="correlation of ranks of a feature and of an acoustic measure, of what prompt and seed leave",
        formula="Pearson's r of ranks, each less its prompt's mean and its seed's",
    ),
)
