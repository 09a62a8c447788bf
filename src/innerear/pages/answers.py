"""Answer a question from its table: choose the row, judge how sure it is, and write the sentence."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from innerear.acoustics.features import FEATURES, feature_label
from innerear.errors import InputError
from innerear.figures.drawing.tables import rows_of
from innerear.statistics.claims import (
    ESTABLISHED,
    NOT_ESTABLISHED,
    NOT_TESTED,
    SENTENCES,
    level,
    upper_bound,
    why_no_flips,
)
from innerear.statistics.finding import NO_BRANCH, UNITS, Finding, Unit
from innerear.statistics.significance import ALPHA, T_INTERVAL
from innerear.study.power import smallest_flip_p

_SURE = (ESTABLISHED, SENTENCES, NOT_ESTABLISHED)


@dataclass(frozen=True)
class Choice:
    """The row that answers a question; `row` is None, with the `reason`, where none can.

    `p` and `p_flip` are corrected over all rows that this one was chosen from; `upper` bounds the effect in
    all of them; `fields` are further values for the sentence. `n_found` counts the layers at which an answer
    is established, or for these sentences, by itself. NaN stands for what there is not.
    """

    entry: Finding
    row: dict[str, Any] | None = None
    reason: str = ""
    chance: float = 0.0
    p: float = np.nan
    p_flip: float = np.nan
    min_p: float = np.nan
    min_p_flip: float = np.nan
    n_templates: float = np.nan
    upper: float = np.nan
    family: str = ""
    fields: Mapping[str, object] = field(default_factory=dict)
    n_found: Mapping[str, int] = field(default_factory=dict)


def choose(
    entry: Finding, table: pd.DataFrame, *, n_labels: int, n_templates: float, n_flips: float = np.inf
) -> Choice:
    """Choose the surest row; of equally sure ones that of the middle estimate, since the largest flatters.

    Of at most `n_flips` sign flips, which a row's `n_perm` need not tell: random edits are fewer.

    Raises
    ------
    InputError: a finding names a column or a statistic that there is not.
    """
    rows = _select(entry, table, entry.where)
    estimate = rows["estimate"].to_numpy(float)
    p = rows["p_corrected"].to_numpy(float) if entry.tested else np.zeros(len(rows))
    flips = (
        rows["p_flip_corrected"].to_numpy(float) if "p_flip_corrected" in rows else np.full(len(rows), np.nan)
    )
    usable = np.flatnonzero(np.isfinite(p) & np.isfinite(estimate))
    if not len(usable):
        reasons = [str(null).removeprefix("none: ") for null in rows["null"]] or [_why_absent(entry, table)]
        return Choice(entry, reason=reasons[0])
    sure = {i: (_SURE.index(level(p[i], flips[i])), max(p[i], np.nan_to_num(flips[i]))) for i in usable}
    ties = [i for i in usable if sure[i] == min(sure.values())]
    best = sorted(ties, key=lambda i: estimate[i])[(len(ties) - 1) // 2]
    row = _within(entry, rows.iloc[best].to_dict())
    among = rows.iloc[usable]
    families = len(among[list(entry.choices)].drop_duplicates()) if entry.choices else 1
    n_templates = float(row["n_templates"]) if np.isfinite(row.get("n_templates", np.nan)) else n_templates
    chance = _chance(entry, row, n_labels)
    family = str(row.get("family", ""))
    if families > 1:
        family += f"; × {families} (Bonferroni over {', '.join(entry.choices)})"
    layers = among["layer"].to_numpy() if "layer" in among else np.zeros(len(among))
    alone = np.array([_SURE.index(level(families * p[i], families * flips[i])) for i in usable])
    ends = (number_text(UNITS[entry.unit], end(estimate[usable])) for end in (np.min, np.max))
    fields = {
        "n_layers": len(np.unique(layers)),
        "range": " to ".join(dict.fromkeys(ends)),
        "effect": _write(entry, float(row["estimate"]), chance),
    }
    tested = np.isfinite(row.get("p_flip_corrected", np.nan))
    return Choice(
        entry,
        row,
        chance=chance,
        p=_at_most_1(families * p[best]) if entry.tested else np.nan,
        p_flip=_at_most_1(families * flips[best]) if tested else np.nan,
        min_p=_at_most_1(families * float(row.get("min_p", np.nan))),
        min_p_flip=_at_most_1(families * smallest_flip_p(n_templates, n_flips)) if tested else np.nan,
        n_templates=n_templates,
        upper=_bound(entry, among, n_templates),
        family=family,
        fields=fields,
        n_found={one: len(np.unique(layers[alone <= _SURE.index(one)])) for one in (ESTABLISHED, SENTENCES)},
    )


def has_rows(entry: Finding, table: pd.DataFrame) -> bool:
    """Return whether a table has rows that a question asks for."""
    return len(_select(entry, table, entry.where)) > 0


def effect_text(choice: Choice, value: float) -> str:
    """Return a value in the plain unit of its question."""
    return _write(choice.entry, value, choice.chance)


def smallest_text(choice: Choice, smallest: Mapping[str, float]) -> tuple[str, str]:
    """Return the smallest effect of interest, and whether the bound lies below it; "" where there is none."""
    unit = UNITS[choice.entry.unit]
    if unit.kind not in smallest:
        return "", ""
    least = _write(choice.entry, choice.chance + smallest[unit.kind], choice.chance)
    if np.isnan(choice.upper):
        return least, ""
    return least, "yes" if choice.upper - choice.chance < smallest[unit.kind] else "no"


def with_level(
    choice: Choice, p: float, p_flip: float, smallest: Mapping[str, float], words: Mapping[str, str]
) -> tuple[str, str]:
    """Return how sure an answer is, by its p's over the page, and the sentence that says it."""
    row = choice.row or {}
    row = row | {"feature": _in_words(row["feature"])} if "feature" in row else row
    sure = level(p, p_flip) if choice.entry.tested else NOT_TESTED
    fields = {**row, **words, **choice.fields, "n_found": choice.n_found.get(sure, 0)}
    text = with_minus(choice.entry.sentence.format(**fields))
    if sure in (NOT_TESTED, ESTABLISHED):
        return sure, text
    if sure == SENTENCES:
        why = f"over templates p is {p_flip:.2g}" if np.isfinite(p_flip) else why_no_flips(choice.n_templates)
        return sure, f"{text} Established for these sentences only: {why}."
    least = f", and no p can be below {choice.min_p:.2g}" if choice.min_p > ALPHA else ""
    page = f" ({choice.p:.2g} in its family)" if choice.p <= ALPHA else ""
    return sure, f"Not established: the corrected p is {p:.2g}{page}{least}. {_bounded(choice, smallest)}"


def _bounded(choice: Choice, smallest: Mapping[str, float]) -> str:
    """Say how large an effect may be that was not found."""
    least, within = smallest_text(choice, smallest)
    if np.isnan(choice.upper):
        return "How large an effect may be is not known: there is no interval."
    most = f"An effect is at most {effect_text(choice, choice.upper)} (one-sided 95 % bound)"
    if not least:
        return f"{most}."
    if within == "yes":
        return f"{most}, less than the smallest effect of interest ({least}), which is ruled out."
    return f"{most}; the smallest effect of interest ({least}) is not ruled out."


def number_text(unit: Unit, value: float) -> str:
    """Write a number as its unit is written; what rounds to 0 has no sign.

    Examples
    --------
    >>> number_text(UNITS["cosine"], -0.01), number_text(UNITS["cosine"], -0.0001)
    ('−0.010', '0.000')
    """
    text = unit.number.format(value=value)
    return with_minus(text) if text.strip("+-0.%") else text.lstrip("+-")


def with_minus(text: str) -> str:
    """Put a minus before negative numbers, where Python writes a hyphen.

    Examples
    --------
    >>> with_minus("from -2 to -0.5 dB, 1e-05, cross-validated")
    'from −2 to −0.5 dB, 1e-05, cross-validated'
    """
    return re.sub(r"(?<!\w)-(?=[\d.])", "−", text)


def _write(entry: Finding, value: float, chance: float) -> str:
    unit = UNITS[entry.unit]
    return unit.text.format(number=number_text(unit, value), chance=number_text(unit, chance))


def _at_most_1(p: float) -> float:
    """Return a p that was multiplied, at most 1; NaN where there is none."""
    return float(np.minimum(p, 1))


def _within(entry: Finding, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its interval cut to the values that there are."""
    most = UNITS[entry.unit].most
    least = -most if entry.signed else -np.inf
    ends = [name for name in ("ci_lo", "ci_hi") if name in row]
    return row | {name: float(np.clip(row[name], least, most)) for name in ends}


def _chance(entry: Finding, row: Mapping[str, Any], n_labels: int) -> float:
    if entry.chance == "labels":
        return 1 / n_labels
    return float(row[entry.chance] if isinstance(entry.chance, str) else entry.chance)


def _bound(entry: Finding, rows: pd.DataFrame, n_templates: float) -> float:
    """Return a one-sided 95 % bound that holds in every row: the largest of theirs; NaN without intervals.

    That all effects are below δ is claimed at level .05 if each is (an intersection–union test).
    """
    if "ci_hi" not in rows or not np.isfinite(rows["ci_hi"].to_numpy(float)).any():
        return np.nan
    estimate = rows["estimate"].to_numpy(float)
    texts = rows["interval"].astype(str) if "interval" in rows else pd.Series("", rows.index)
    by_t = texts.str.contains(T_INTERVAL).to_numpy(bool)
    bounds = upper_bound(estimate, rows["ci_hi"].to_numpy(float), n_templates, by_t=by_t)
    if entry.signed:
        low = rows["ci_lo"].to_numpy(float)
        bounds = np.maximum(bounds, -upper_bound(estimate, low, n_templates, by_t=by_t))
    return float(min(np.nanmax(bounds), UNITS[entry.unit].most))


def _asks(entry: Finding, kind: str, name: object) -> str:
    return f"finding {entry.question!r} asks for {kind} {name!r}"


def _select(entry: Finding, table: pd.DataFrame, where: Mapping[str, object]) -> pd.DataFrame:
    for column in where.keys() - set(table.columns):
        raise InputError(f"{_asks(entry, 'column', column)}, which table {entry.table!r} lacks")
    return rows_of(table, **where)


def _why_absent(entry: Finding, table: pd.DataFrame) -> str:
    """Say why no row answers: none meets the other conditions, or those that do are empty for a reason.

    The study may lack the branch. Or else the analysis has no such statistic, which is an error.
    """
    branch, there = entry.where.get("branch"), set(table["branch"]) if "branch" in table else set()
    if branch and there and branch not in there:
        return NO_BRANCH.format(branch=branch)
    statistic = {name: value for name, value in entry.where.items() if name == "statistic"}
    if len(_select(entry, table, statistic)):
        alone = f"; {NO_BRANCH.format(branch='uncond')}" if there == {"cond"} else ""
        return entry.absent or f"the table has no such rows{alone}"
    near = _select(entry, table, {name: entry.where[name] for name in entry.where.keys() - statistic})
    texts = [str(text) for name in ("null", "interval") if name in near.columns for text in near[name]]
    reasons = [text.removeprefix("none: ") for text in texts if text.startswith("none: ")]
    if reasons and near["estimate"].isna().to_numpy().all():
        return reasons[0]
    if entry.absent:
        return entry.absent
    raise InputError(
        f"{_asks(entry, 'statistic', statistic.get('statistic'))}, which table {entry.table!r} lacks without "
        "a reason; take the name from the analysis's own constant"
    )


def _in_words(feature: object) -> object:
    """Return a clip feature's name in words, with what it is a measure of, or a sparse feature's number."""
    if isinstance(feature, float):
        return f"{feature:.0f}"
    known = FEATURES.get(str(feature))
    return f"{feature_label(str(feature))} ({known.group})" if known else feature
