"""Text or history: the shares of a layer's states that come from the text and from the music so far.

Every clip was read again under every emotion's text of its template. The variance of the states over codes
and texts is divided, without bias, into shares of text, history, their interaction, and the single clip
(`docs/text_or_history.md`).
"""

import logging
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from innerear.analyses.text_or_history.across_templates import PROBES, general_codes
from innerear.analyses.text_or_history.cells import (
    COMPONENTS,
    HISTORY,
    ON_POLICY,
    PARAPHRASE,
    TEXT,
    replayed_templates,
)
from innerear.analyses.text_or_history.shares import CLIP, GENERAL, LEAD, SHARE, Measure, Shares, probe_name
from innerear.gram.reading import GramSource, analysed_cells
from innerear.statistics.design import Design
from innerear.statistics.finding import Finding
from innerear.statistics.significance import ALPHA, CONFIDENCE, MAX_DROPPED, null_table, percentile_interval
from innerear.statistics.table import LayerResult, Maxima, blank, columns, record, record_flip_null
from innerear.study.questions import QUESTIONS

OVERTAKING = "history overtakes text"
MAP_COLUMNS = ("weights", "statistic", "over")
FAMILY = "layers × {over}"
NO_SWAPS = "no texts were swapped: counterfactual is off, or no template holds every emotion once"
_COLUMNS = columns(
    *("weights", "branch", "over", "step", "seconds", "window", "statistic", "unit"),
    *("estimate", "chance", "ci_lo", "ci_hi", "interval", "reading"),
)
_USUAL = {
    **{"branch": "cond", "over": "windows", "window": "whole", "unit": SHARE, "chance": np.nan},
    **{"estimate": np.nan, "ci_lo": np.nan, "ci_hi": np.nan, "seconds": np.nan, "reading": ""},
}
_OF_OVERTAKING = {"unit": ["step", "s"], "over": "clip", "window": ""}
_GENERAL = (*(name + GENERAL for name in COMPONENTS), *(probe_name(*pair) for pair in PROBES))

log = logging.getLogger(__name__)


def of_layer(
    grams: Mapping[str, GramSource], design: Design, *, model: str, weights: str, layer: int
) -> LayerResult:
    """Divide one layer's variance over codes and texts, at every complete step and in every window.

    Parameters
    ----------
    grams : template → its open file of rule ``counterfactual``, of this layer.
    design : of all clips, by emotion, of which those of these templates count.
    model, layer : for the table's columns.
    weights : of the model that read the clips: ``"trained"`` or ``"random_init"``.

    Returns
    -------
    Rows of these statistics. Shares are relative to half the mean squared distance of two cells of different
    seeds.

    - text, history, interaction, clip: shares that sum to 1. The first three are cross-validated over seeds
      (and may be slightly negative), and tested. A control: history with the pairing of clips and emotions
      shuffled.
    - on-policy emotion: of clips that are read under their own texts (tested); text and history,
      off-policy: of all other cells.
    - paraphrase, another emotion's text: half the squared distance between the states under the own text
      and under the paraphrase, or another emotion's text.
    - text, history, interaction, general: what templates have in common (tested), of the same total.
    - probe A → B: balanced accuracy of probes trained on what A does in all templates but one, for what B
      does in that one; chance 1/E; in windows only (tested).
    - ‖delta‖ ÷ ‖cond‖ of clips under their own texts; history − text; when history overtakes text.

    `p_flip` is of sign flips of templates: of each one's component for rows within templates, of the products
    of two templates for general ones. Probes share training templates and have none.

    Intervals resample templates, then seeds. What the design does not allow is NaN with the reason.

    Raises
    ------
    InputError: files of other clips than the design's, or of other emotions in one template than in another.
    """
    why_not, nulls = _why_not(grams, design), []
    if why_not:
        log.warning("decomposition, layer %s: %s", layer, why_not)
        names = [*COMPONENTS, CLIP, ON_POLICY, LEAD, *_GENERAL]
        frames = [
            _absent(names, why_not, design),
            _absent([OVERTAKING, OVERTAKING], why_not, design, **_OF_OVERTAKING),
        ]
    else:
        design = design.of_templates(grams)
        templates = replayed_templates(grams, design)
        times = analysed_cells(templates[0].gram)
        steps = times.iloc[: np.count_nonzero(times["over"] == "steps")]
        shares = Shares(templates)
        measures = shares.within()
        frames = [_overtaking(shares, steps)]
        if len(templates) > 1:
            products, windows = general_codes(templates)
            measures += [*shares.general(products), *shares.probes(windows)]
        else:
            frames.append(_absent(_GENERAL, "there is one template, and a general code needs two", design))
        if PARAPHRASE not in shares.found:
            frames.append(_absent([PARAPHRASE], "not every template has a paraphrase of its texts", design))
        for measure in measures:
            frame, maxima = _tested(measure, times, design)
            frames.append(frame)
            of = {"weights": weights, "statistic": measure.name}
            nulls += [({**named, **of}, null_max) for named, null_max in maxima]
    table = pd.concat(frames, ignore_index=True).assign(model=model, weights=weights, layer=layer)
    estimates = ["estimate", "ci_lo", "ci_hi"]
    table[estimates] = table[estimates].round(6)
    return LayerResult(
        table.reindex(columns=_COLUMNS).astype({"step": "Int64"}),
        null_table(nulls, design.permutation_hash(), MAP_COLUMNS, design.n_permutations, design.flip_hash()),
    )


def finish(table: pd.DataFrame) -> pd.DataFrame:
    """Drop `OVERTAKING` where neither text nor history is significant over the whole clip.

    Its estimate is then NaN, with the reason: where there is nothing, nothing is overtaken.
    """
    whole = table["statistic"].isin([TEXT, HISTORY]) & (table["window"] == "whole")
    found = (whole & (table["p_corrected"] <= ALPHA)).groupby([table["weights"], table["layer"]])
    gated = (table["statistic"] == OVERTAKING) & table["estimate"].notna() & ~found.transform("any")
    table.loc[gated, ["estimate", "ci_lo", "ci_hi"]] = np.nan
    reason = "none: neither text nor history is significant over the whole clip"
    table.loc[gated, ["interval", "null"]] = reason
    table.loc[gated, "reading"] = ""
    return table


def _why_not(grams: Mapping[str, GramSource], design: Design) -> str:
    if not grams:
        return NO_SWAPS
    if len(design.seeds) < 2:
        return "there is one seed, and only what two seeds share is counted (cross-validation)"
    if len(set(design.prompt_labels)) < 2:
        return f"all prompts have one {design.label}: there is no other text to swap"
    return ""


def _rows(rows: pd.DataFrame | Mapping[str, object], design: Design, **values: object) -> pd.DataFrame:
    """Return rows without a test; of the whole clip in cond unless `rows` or `values` says otherwise."""
    return blank({**_USUAL, **rows, **values}, design)


def _absent(names: Sequence[str], why_not: str, design: Design, **of: object) -> pd.DataFrame:
    """Rows without values, of the whole clip unless said, and the reason."""
    return _rows({"statistic": names}, design, null=f"none: {why_not}", interval=f"none: {why_not}", **of)


def _tested(measure: Measure, times: pd.DataFrame, design: Design) -> tuple[pd.DataFrame, list[Maxima]]:
    """Table one statistic, tested over steps and over windows; return the null maxima of each too."""
    low, high, interval = percentile_interval(measure.estimate, measure.boots, measure.resampled)
    of = {"statistic": measure.name, "branch": measure.branch, "unit": measure.unit, "chance": measure.chance}
    found = {"estimate": measure.estimate, "ci_lo": low, "ci_hi": high, "interval": interval}
    times = times.tail(len(measure.estimate)).reset_index(drop=True)
    table = _rows(times, design, **of, **found, null="none: an estimate")
    maxima = []
    for over in ("steps", "windows"):
        mine = np.flatnonzero(table["over"] == over)
        if measure.null is None or not np.isfinite(measure.estimate[mine]).any():
            continue
        maxima += record(
            *(table, mine, design, measure.estimate[mine], measure.null[:, mine]),
            family=f"{over} of this layer",
            moved=measure.moved,
            of=measure.of,
            why_not="no variance between cells (deterministic)",
        )
        if measure.flipped is not None and measure.agree is not None:
            table.loc[mine, "k"] = np.where(np.isfinite(measure.estimate[mine]), measure.agree[mine], np.nan)
            maxima += record_flip_null(table, mine, design, measure.flipped[:, mine])
    shown = np.isfinite(measure.estimate) | (measure.unit == SHARE)
    return table.iloc[np.flatnonzero(shown)], maxima


# ---- overtaking -------------------------------------------------------------------------------


def overtaken(text: np.ndarray, history: np.ndarray) -> np.ndarray:
    """Return the step at which history starts to explain more variance than text, [...] of curves [..., S].

    0: history leads from the start; S: never. The k that makes Σ_{s < k} (text − history) largest: the one
    change from text to history that agrees with as much of both curves as possible. A single noisy step does
    not move it, as it moves the first crossing. Of equal ones the earliest; steps without a value count for
    neither.

    Examples
    --------
    >>> int(overtaken(np.array([3, 1, 0, 3, 0, 0, 1]), np.ones(7)))
    4
    """
    lead = np.nan_to_num(np.asarray(text, float) - history)
    lead = np.concatenate([np.zeros((*lead.shape[:-1], 1)), np.cumsum(lead, axis=-1)], axis=-1)
    return lead.argmax(axis=-1)


def _overtaking(shares: Shares, times: pd.DataFrame) -> pd.DataFrame:
    """Table the step, and the second, at which history overtakes text; `times` are the complete steps."""
    n_steps, steps = len(times), times["step"].to_numpy(int)
    (text, text_boots), (history, history_boots) = shares.found[TEXT], shares.found[HISTORY]
    said = ["from the start", *(f"at step {step}" for step in steps[1:]), "never within the clip"]
    k = int(overtaken(text[:n_steps], history[:n_steps]))
    whole = np.flatnonzero(np.isfinite(text_boots).any(axis=1))  # resamples with two seeds
    reading, interval, ends = said[k], "none: nothing to resample", ()
    if len(whole) and len(whole) >= (1 - MAX_DROPPED) * len(text_boots):
        drawn = overtaken(text_boots[whole, :n_steps], history_boots[whole, :n_steps])
        tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
        ends = np.quantile(drawn, tails, method="nearest").astype(int)
        interval = f"{CONFIDENCE:.0%} of {len(text_boots)} bootstraps of {shares.resamples.text}"
        if ends[0] < ends[1]:
            reading += f" ({' – '.join(said[end] for end in ends)})"
    # "Never" stands in the table as the step after the last.
    axes = [times[name].to_numpy(float) for name in ("step", "seconds")]
    places = [np.append(one, 2 * one[-1] - one[-2] if n_steps > 1 else np.nan) for one in axes]
    low, high = zip(*(one[ends] if len(ends) else (np.nan, np.nan) for one in places), strict=True)
    of = _OF_OVERTAKING | {"statistic": OVERTAKING}
    estimate = [one[k] for one in places]
    found = {"estimate": estimate, "ci_lo": low, "ci_hi": high, "interval": interval, "reading": reading}
    return _rows(of | found, shares.design, null="none: an estimate; text and history are tested")


_TRAINED = {"weights": "trained", "over": "windows", "window": "whole"}
_finding = partial(Finding, table="decomposition")
FINDINGS = (
    _finding(
        QUESTIONS["text"],
        "Yes, at {n_found} of {n_layers} layers: the text explains {effect} over clips and texts in layer "
        "{layer} ({range} over layers).",
        _TRAINED | {"statistic": TEXT},
        "text_or_history",
        key="text",
        meaning="share of the variance over clips and texts, cross-validated over seeds; 0 without an effect",
        aside="Within a template texts differ only in the {contrast}'s word.",
        formula="Σ of products of a text's effect between two seeds ÷ the variance over clips and "
        "texts, by analysis of variance of code × text in a template",
    ),
    _finding(
        QUESTIONS["history"],
        "Yes, at {n_found} of {n_layers} layers: the clip's own {contrast} explains {effect} in layer "
        "{layer} ({range} over layers).",
        _TRAINED | {"statistic": HISTORY},
        "text_or_history",
        key="history",
        meaning="share of the variance over clips and texts, cross-validated over seeds; 0 without an effect",
        formula="Σ of products of an effect of the clip's own emotion between two seeds ÷ the "
        "variance over clips and texts, by analysis of variance of code × text in a template",
    ),
    _finding(
        "Which holds more of the emotion, the text or the music so far?",
        "History's share less the text's is {range} of the variance over the layers.",
        _TRAINED | {"statistic": LEAD},
        "text_or_history",
        tested=False,
        meaning="history's share less the text's, of the median layer",
        formula="share of history − share of text",
    ),
    _finding(
        "When along the clip does history overtake text?",
        "In the median layer ({layer}): {reading}; over all layers: {range} s.",
        {"weights": "trained", "statistic": OVERTAKING, "unit": "s"},
        "text_maps",
        tested=False,
        unit="seconds",
        meaning="the second from which history holds more than the text, of the median layer",
        formula="the step k, in seconds, that makes Σ (text − history) over steps before k largest",
    ),
    _finding(
        "Do text and history share one code: does a probe of one read the other?",
        "Yes, at {n_found} of {n_layers} layers: {effect} on held-out templates, {statistic} in layer "
        "{layer} ({range} over layers and directions).",
        _TRAINED | {"statistic": [probe_name(HISTORY, TEXT), probe_name(TEXT, HISTORY)]},
        "text_probes",
        unit="right",
        chance="chance",
        choices=("statistic",),
        meaning="balanced accuracy of a probe of one for the emotions of the other",
        aside="The null renames the emotions of the tested kind, alike in all templates.",
        formula="mean over labels of the share of its held-out cells that the probe names right",
    ),
)
