"""Text or history: how much of a layer's states comes from the text, how much from the music so far.

Every clip was read again under every emotion's text of its template. The variance of the states over codes
and texts is divided, without bias, among text, history, their interaction, and the single clip
(`docs/text_or_history.md`).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from innerear.analyses.text_or_history.across_templates import PROBES, general_codes
from innerear.analyses.text_or_history.cells import (
    HISTORY,
    ON_POLICY,
    PARAPHRASE,
    TEXT,
    ReplayedTemplate,
    check_alike,
)
from innerear.analyses.text_or_history.overtaking import overtaken, told
from innerear.analyses.text_or_history.shares import (
    CLIP,
    COMPONENTS,
    GENERAL,
    LEAD,
    SHARE,
    Measure,
    Shares,
    probe_name,
)
from innerear.gram.reading import GramSource, analysed_cells
from innerear.statistics.design import Design
from innerear.statistics.significance import (
    CONFIDENCE,
    MAX_DROPPED,
    against_null,
    correct_over,
    null_table,
    percentile_interval,
    record,
)

OVERTAKING = "history overtakes text"
MAP_COLUMNS = ("listener", "statistic", "over")
ALPHA = 0.05
_GENERAL = (*(name + GENERAL for name in COMPONENTS), *(probe_name(*pair) for pair in PROBES))

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LayerDecomposition:
    """A long table with the common columns, and null maxima for `decomposition_map`."""

    table: pd.DataFrame
    null: pd.DataFrame


def layer_decomposition(
    grams: Mapping[str, GramSource],
    design: Design,
    *,
    model: str,
    listener: str,
    layer: int,
    n_permutations: int = 1000,
    n_bootstraps: int = 1000,
) -> LayerDecomposition:
    """Divide one layer's variance over codes and texts, at every complete step and in every window.

    Parameters
    ----------
    grams : template → its open file of rule ``counterfactual``, of this layer.
    design : of all clips, by emotion.
    model, listener, layer : for the table's columns; the listener is the model, or its random twin.
    n_permutations, n_bootstraps : rows of the design's tables to use.

    Returns
    -------
    Rows of these statistics; shares are relative to half the mean squared distance of two cells of
    different seeds.

    - text, history, interaction, clip: shares that sum to 1. The first three are cross-validated over seeds,
      so that they may be slightly negative, and tested; history once more with the pairing of clips and
      emotions shuffled: a control.
    - on-policy emotion: of clips that are read under their own texts (tested); text and history,
      off-policy: of all other cells.
    - paraphrase, another emotion's text: half the squared distance that swapping the own text for either
      makes.
    - text, history, interaction, general: what templates have in common (tested), of the same total.
    - probe A → B: balanced accuracy of probes trained on what A does in all templates but one, for what B
      does in that one; chance 1/E; in windows only (tested).
    - ‖delta‖ ÷ ‖cond‖ of clips under their own texts; history − text; when history overtakes text.

    Intervals resample templates, then seeds. What the design does not allow is NaN with the reason.

    Raises
    ------
    InputError: files of other clips than the design's, or of other emotions in one template than in another.
    """
    why_not = _refusal(grams, design)
    nulls: list[tuple[dict[str, str], np.ndarray]] = []
    if why_not:
        log.warning("decomposition, layer %s: %s", layer, why_not)
        table = _blank([*COMPONENTS, CLIP, ON_POLICY, LEAD, *_GENERAL, OVERTAKING], why_not)
    else:
        by_name = {name: ReplayedTemplate(gram, design) for name, gram in grams.items()}
        check_alike(by_name)
        templates = list(by_name.values())
        cells = analysed_cells(templates[0].gram)
        n_steps = int(np.count_nonzero(cells["over"] == "steps"))
        shares = Shares(templates, design, n_permutations, n_bootstraps)
        measures = shares.within()
        frames = [_overtaking(shares, cells.iloc[:n_steps])]
        if len(templates) > 1:
            codes = general_codes(templates)
            measures += [*shares.general(codes), *shares.probes(codes, n_steps)]
        else:
            frames.append(_blank(_GENERAL, "there is one template, and a general code needs two"))
        if PARAPHRASE not in shares.found:
            frames.append(_blank([PARAPHRASE], "not every template has a paraphrase of its texts"))
        for measure in measures:
            frame, maxima = _tabled(measure, cells, design, n_permutations)
            frames.append(frame)
            nulls += [({"listener": listener} | name, null_max) for name, null_max in maxima]
        table = pd.concat(frames, ignore_index=True)
    table = table.assign(model=model, listener=listener, layer=layer, n_prompts=design.n_prompts)
    estimates = ["estimate", "ci_lo", "ci_hi"]
    table[estimates] = table[estimates].round(6)
    return LayerDecomposition(
        table.reindex(columns=_COLUMNS),
        null_table(nulls, design.permutation_hash(n_permutations), list(MAP_COLUMNS), n_permutations),
    )


_COLUMNS = pd.Index(
    [
        *("model", "listener", "layer", "branch", "over", "step", "seconds", "window", "statistic", "unit"),
        *("estimate", "chance", "ci_lo", "ci_hi", "interval", "reading", "p", "p_corrected", "score"),
        *("n_prompts", "n_perm", "min_p", "null", "family"),
    ]
)


def decomposition_map(tables: Sequence[pd.DataFrame], nulls: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join layers and listeners, and correct `p_corrected` over layers × steps (or windows) of a listener.

    Parameters
    ----------
    tables, nulls : of each listener and layer, from `LayerDecomposition`.

    Returns
    -------
    All rows; `OVERTAKING` is NaN, with the reason, in layers where neither text nor history is significant
    over the whole clip: where there is nothing, nothing is overtaken.
    """
    table = correct_over(tables, nulls, MAP_COLUMNS, "layers × ")
    tested = table["family"] != ""
    table["family"] = table["family"].where(~tested, table["family"] + table["over"])
    whole = table["statistic"].isin([TEXT, HISTORY]) & (table["window"] == "whole")
    found = table.iloc[np.flatnonzero(whole & (table["p_corrected"] <= ALPHA))]
    places = set(zip(found["listener"], found["layer"], strict=True))
    lacking = [place not in places for place in zip(table["listener"], table["layer"], strict=True)]
    gated = (table["statistic"] == OVERTAKING) & table["estimate"].notna() & np.array(lacking)
    table.loc[gated, ["estimate", "ci_lo", "ci_hi"]] = np.nan
    reason = "none: neither text nor history is significant over the whole clip"
    table.loc[gated, ["interval", "null"]] = reason
    table.loc[gated, "reading"] = ""
    return table


def _refusal(grams: Mapping[str, GramSource], design: Design) -> str:
    if not grams:
        return "no texts were swapped: counterfactual is off, or no template holds every emotion once"
    if len(design.seeds) < 2:
        return "there is one seed, and only what two seeds share is counted (cross-validation)"
    if len(set(design.prompt_labels)) < 2:
        return f"all prompts have one {design.label}: there is no other text to swap"
    return ""


def _row(statistic: str, **columns: object) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(
        ("estimate", "chance", "ci_lo", "ci_hi", "seconds", "p", "p_corrected", "score", "min_p"), np.nan
    )
    row |= {"over": "windows", "window": "whole", "step": pd.NA, "branch": "cond", "unit": SHARE}
    row |= {"interval": "", "reading": "", "n_perm": 0, "null": "", "family": ""}
    return row | {"statistic": statistic} | columns


def _blank(names: Sequence[str], why_not: str) -> pd.DataFrame:
    """Rows of the whole clip without values, and the reason."""
    rows = [_row(name, null=f"none: {why_not}", interval=f"none: {why_not}") for name in names]
    return pd.DataFrame(rows).astype({"step": "Int64"})


def _tabled(
    measure: Measure, cells: pd.DataFrame, design: Design, m: int
) -> tuple[pd.DataFrame, list[tuple[dict[str, str], np.ndarray]]]:
    """Table one statistic, with p-values over steps and over windows; return the null maxima too."""
    low, high, interval = percentile_interval(measure.estimate, measure.boots, measure.resampled)
    row = _row(
        measure.name, branch=measure.branch, unit=measure.unit, chance=measure.chance, interval=interval
    )
    row |= {"estimate": measure.estimate, "ci_lo": low, "ci_hi": high, "null": "none: an estimate"}
    table = cells.assign(**{name: value for name, value in row.items() if name not in cells})
    maxima = []
    for over in ("steps", "windows"):
        mine = np.flatnonzero(table["over"] == over)
        if measure.null is None or not np.isfinite(measure.estimate[mine]).any():
            continue
        min_p = design.smallest_p(m, of=measure.of)
        result = against_null(measure.estimate[mine], measure.null[:, mine], smallest=min_p)
        why_not = design.why_not(m, of=measure.of) or "no variance between cells (deterministic)"
        record(
            table,
            mine,
            result,
            min_p=min_p,
            null=measure.moved,
            family=f"{over} of this layer",
            why_not=[why_not] * len(mine),
        )
        if np.isfinite(result.p).any():
            maxima.append(({"statistic": measure.name, "over": over}, result.null_max))
    return table.iloc[np.flatnonzero(np.isfinite(measure.estimate) | (measure.unit == SHARE))], maxima


def _overtaking(shares: Shares, cells: pd.DataFrame) -> pd.DataFrame:
    """Rows of the step at which history overtakes text, of cells that are the complete steps."""
    n_steps = len(cells)
    (text, text_boots), (history, history_boots) = shares.found[TEXT], shares.found[HISTORY]
    k = int(overtaken(text[:n_steps], history[:n_steps]))
    whole = np.flatnonzero(np.isfinite(text_boots).any(axis=1))  # resamples with two seeds
    steps = cells["step"].to_numpy(int)
    reading, interval, ends = told(k, steps), "none: nothing to resample", (None, None)
    if len(whole) and len(whole) >= (1 - MAX_DROPPED) * len(text_boots):
        drawn = overtaken(text_boots[whole, :n_steps], history_boots[whole, :n_steps])
        tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
        ends = tuple(int(end) for end in np.quantile(drawn, tails, method="nearest"))
        interval = f"{CONFIDENCE:.0%} of {len(text_boots)} bootstraps of {shares.resamples.text}"
        reading += f" ({told(ends[0], steps)} – {told(ends[1], steps)})"
    null = "none: an estimate; text and history are tested"
    rows = []
    for unit, axis in (("step", steps.astype(float)), ("s", cells["seconds"].to_numpy(float))):
        # Never is told as the step after the last.
        places = np.append(axis, 2 * axis[-1] - axis[-2] if n_steps > 1 else np.nan)
        low, high = (np.nan if end is None else places[end] for end in ends)
        row = _row(OVERTAKING, unit=unit, interval=interval, reading=reading, null=null)
        rows.append(row | {"over": "clip", "window": "", "estimate": places[k], "ci_lo": low, "ci_hi": high})
    return pd.DataFrame(rows).astype({"step": "Int64"})
