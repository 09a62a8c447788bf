"""The study's answers on one page: question, answer, estimate with interval, corrected p, figure.

Each analysis states its questions itself: `FINDINGS`, at the end of its module.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pandas as pd

from innerear.errors import InputError
from innerear.figures.tables import rows_of
from innerear.pages.templates import fill
from innerear.statistics.finding import NO_BRANCH, Finding
from innerear.statistics.significance import ALPHA

COLUMNS = (
    *("question", "answer", "established", "estimate", "ci_lo", "ci_hi", "p_corrected", "min_p"),
    *("n_prompts", "null", "figure", "source"),
)
_PACKAGES = ("innerear.analyses", "innerear.analyses.text_or_history")


def collected(tables: Iterable[str]) -> tuple[Finding, ...]:
    """Return the findings of the analyses that tables are named after, in their order.

    A table of another name, or of an analysis without `FINDINGS`, adds none; others may name it.
    """
    found: list[Finding] = []
    for table in tables:
        for module in (f"{package}.{table}" for package in _PACKAGES):
            if find_spec(module):
                entries = getattr(import_module(module), "FINDINGS", ())
                found += [replace(entry, table=entry.table or table) for entry in entries]
    return tuple(found)


def findings(
    tables: Mapping[str, pd.DataFrame], entries: Sequence[Finding] | None = None, *, contrast: str = "emotion"
) -> pd.DataFrame:
    """Answer each question from the row with the smallest corrected p, or say why it is not established.

    Parameters
    ----------
    tables : name → table with ``estimate, p_corrected, null`` and, where there are any, ``ci_lo, ci_hi``.
    entries : the questions; those `collected` for the tables unless given.
    contrast : the label that the study asks about.

    Returns
    -------
    One row per question, in order, with the columns `COLUMNS`. `established` is ``"yes"`` where corrected
    p ≤ `ALPHA`, ``"no"`` where it is larger or no test was possible, ``"not tested"`` for plain measurements.

    Raises
    ------
    InputError: a finding names a table, a column or a statistic that there is not.
    """
    rated = contrast in ("valence", "arousal")
    plural = "emotions" if contrast == "emotion" else f"{'ratings' if rated else 'values'} of {contrast}"
    words = {"contrast": contrast, "contrasts": plural}
    rows = []
    for entry in collected(tables) if entries is None else entries:
        if entry.table not in tables:
            raise InputError(f"{_asks(entry, 'table', entry.table)}; the tables are {', '.join(tables)}")
        rows.append(_answer(entry, tables[entry.table], words))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _answer(entry: Finding, table: pd.DataFrame, words: Mapping[str, str]) -> dict[str, object]:
    """Return one row of `findings`."""
    rows = _select(entry, table, entry.where)
    conditions = ", ".join(f"{name} = {value}" for name, value in entry.where.items())
    answer: dict[str, object] = {
        "question": entry.question.format(**words),
        "established": "no",
        "figure": f"{entry.figure}.svg" if entry.figure else "",
        "source": f"{entry.table}: {conditions}".rstrip(": "),
    }
    p, estimate = rows["p_corrected"].to_numpy(float), rows["estimate"].to_numpy(float)
    usable = np.flatnonzero(np.isfinite(p if entry.tested else estimate))
    if len(usable):
        # The smallest p; of equal ones the largest estimate.
        best = min(usable, key=lambda i: (p[i] if entry.tested else 0, -estimate[i]))
        row = rows.iloc[best].to_dict()
        answer |= {name: row[name] for name in COLUMNS if name in row and name not in answer}
        text = entry.sentence.format(**row | words)
        if not entry.tested:
            answer["established"] = "not tested"
        elif p[best] <= ALPHA:
            answer["established"] = "yes"
        else:
            least = f", and no p can be below {row['min_p']:.2g}" if row.get("min_p", 0) > ALPHA else ""
            text = f"Not established: the smallest corrected p is {p[best]:.2g}{least}."
    else:
        reasons = [str(null).removeprefix("none: ") for null in rows["null"]] or [_why_absent(entry, table)]
        text = f"Not established: no test is possible ({reasons[0]})."
    return answer | {"answer": f"{text} {entry.aside.format(**words)}".strip()}


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
        return f"the table has no such rows{alone}"
    near = _select(entry, table, {name: entry.where[name] for name in entry.where.keys() - statistic})
    texts = [str(text) for name in ("null", "interval") if name in near.columns for text in near[name]]
    reasons = [text.removeprefix("none: ") for text in texts if text.startswith("none: ")]
    if reasons and near["estimate"].isna().to_numpy().all():
        return reasons[0]
    raise InputError(
        f"{_asks(entry, 'statistic', statistic.get('statistic'))}, which table {entry.table!r} lacks without "
        "a reason; take the name from the analysis's own constant"
    )


def findings_page(table: pd.DataFrame, *, title: str, model: str) -> str:
    """Return the table of `findings` as one HTML page without scripts; `title` and `model` head it."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return fill("findings.html", title=title, model=model, rows=rows)
