"""The study's answers as one table: question, answer, effect in plain units, p, control, figure.

Each analysis states its questions itself: `FINDINGS`, at the end of its module.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from innerear.errors import InputError
from innerear.io.tables import read_table
from innerear.pages.answers import Choice, choose, effect_text, has_rows, smallest_text, with_level
from innerear.statistics.claims import NOT_ESTABLISHED, NOT_TESTED, benjamini_hochberg, holm
from innerear.statistics.finding import SMALLEST_EFFECTS, Finding
from innerear.study.controls import SHUFFLED
from innerear.study.questions import QUESTIONS, words_for

COLUMNS = (
    *("question", "primary", "control", "answer", "established", "effect", "meaning"),
    *("estimate", "ci_lo", "ci_hi", "upper", "smallest_effect", "within_smallest"),
    *("p_corrected", "p_page", "min_p", "p_flip_corrected", "p_flip_page", "min_p_flip", "k", "n_templates"),
    *("n_prompts", "null", "family", "unit", "chance", "formula", "figure", "source"),
)
#: what a row with random weights in place of the model's is called
RANDOM_TWIN = "random weights"
_PACKAGES = ("innerear.analyses", "innerear.analyses.text_or_history")
#: table → the same of a control
Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Asked:
    """The study's label, primary questions, smallest effects of interest, and size of the design.

    `n_templates` stands in where a table does not say it; NaN without templates. `n_permutations` bounds the
    number of sign flips.
    """

    contrast: str = "emotion"
    primary: Sequence[str] = ()
    smallest: Mapping[str, float] = field(default_factory=lambda: dict(SMALLEST_EFFECTS))
    n_labels: int = 4
    n_templates: float = np.nan
    n_permutations: float = np.inf


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


def read_controls(paths: Iterable[str]) -> dict[str, dict[str, pd.DataFrame]]:
    """Read the maps of controls, ``…/control/analysis/map.tsv``, by name of the control and of the analysis.

    A control is called by its folder, and by its model where the table says that it is another one's.
    """
    read: dict[str, dict[str, pd.DataFrame]] = {}
    for path in map(Path, paths):
        table = read_table(path)
        name, model = path.parts[-3], str(table["model"].iloc[0])
        read.setdefault(f"labels {name}" if name == SHUFFLED else f"{name}, {model}", {})[path.parts[-2]] = (
            table
        )
    return read


def findings(
    tables: Tables,
    entries: Sequence[Finding] | None = None,
    *,
    asked: Asked | None = None,
    controls: Mapping[str, Tables] | None = None,
) -> pd.DataFrame:
    """Answer each question from the row that is surest, corrected over all rows that it is chosen from.

    Parameters
    ----------
    tables : name → table with ``estimate, p_corrected, null`` and, where there are any, ``ci_lo, ci_hi``,
        ``p_flip_corrected, k, n_templates``. Rows with ``weights`` random_init are controls of trained ones.
    entries : the questions; those `collected` for the tables unless given.
    controls : name of a control → its tables, by the same names.

    Returns
    -------
    One row per question, in order, and below it a row per control, with the columns `COLUMNS`. `established`
    is ``"established"`` where the p of permutations and the p of sign flips of templates, both corrected over
    the page (`holm` over the primary questions, `benjamini_hochberg` over the others), are at most `ALPHA`;
    ``"established for these sentences"`` where the first is; ``"not established"``, with an upper bound of
    the effect; ``"not tested"`` for plain measurements. Controls are corrected as families only.

    Raises
    ------
    InputError: a finding names a table, a column or a statistic that there is not.
    """
    asked, entries = asked or Asked(), collected(tables) if entries is None else entries
    words = words_for(asked.contrast)
    for entry in entries:
        if entry.table not in tables:
            there = ", ".join(tables)
            raise InputError(
                f"finding {entry.question!r} asks for table {entry.table!r}; the tables are {there}"
            )
    entries = _keyed_once(entries, tables)
    chosen = [_choice(entry, tables[entry.table], asked) for entry in entries]
    primary = np.array([entry.key != "" and entry.key in asked.primary for entry in entries], bool)
    pages = [_over_page(np.array([getattr(one, of) for one in chosen]), primary) for of in ("p", "p_flip")]
    rows = []
    for entry, choice, first, p, p_flip in zip(entries, chosen, primary, *pages, strict=True):
        answer = _answer(choice, p, p_flip, asked, words) | {"primary": "primary" if first else "exploratory"}
        rows.append(answer)
        for name, other in _controls(entry, tables, controls or {}, asked):
            of_control = _answer(other, other.p, other.p_flip, asked, words)
            rows.append(of_control | {"control": name, "primary": "control"})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _keyed_once(entries: Sequence[Finding], tables: Tables) -> list[Finding]:
    """Give each key to one question: the first that the study's tables have rows for, in the key's words.

    Those before it are left out, and those after it are asked without the key.
    """
    kept: list[Finding] = []
    for number, entry in enumerate(entries):
        others = {one.key for one in entries[number + 1 :]}
        if entry.key and entry.key in {one.key for one in kept}:
            kept.append(replace(entry, key=""))
        elif not entry.key or entry.key not in others or has_rows(entry, tables[entry.table]):
            kept.append(replace(entry, question=QUESTIONS.get(entry.key, entry.question)))
    return kept


def _choice(entry: Finding, table: pd.DataFrame, asked: Asked) -> Choice:
    sizes = {"n_templates": asked.n_templates, "n_flips": asked.n_permutations}
    return choose(entry, table, n_labels=asked.n_labels, **sizes)


def _over_page(p: np.ndarray, primary: np.ndarray) -> np.ndarray:
    """Correct the p of all questions: primary ones after Holm, others after Benjamini and Hochberg."""
    corrected = np.array(p, float)
    corrected[primary] = holm(corrected[primary])
    corrected[~primary] = benjamini_hochberg(corrected[~primary])
    return corrected


def _controls(
    entry: Finding, tables: Tables, controls: Mapping[str, Tables], asked: Asked
) -> Iterable[tuple[str, Choice]]:
    """Yield the controls of a question that have rows for it: the same rows of other labels or weights."""
    if entry.where.get("weights") == "trained":
        table, twin = tables[entry.table], replace(entry, where={**entry.where, "weights": "random_init"})
        if "random_init" in set(table["weights"]):
            yield RANDOM_TWIN, _choice(twin, table, asked)
    for name, others in controls.items():
        if entry.table in others:
            yield name, _choice(entry, others[entry.table], asked)


def _answer(
    choice: Choice, p: float, p_flip: float, asked: Asked, words: Mapping[str, str]
) -> dict[str, object]:
    """Return one row of `findings` from its chosen row and the p's corrected over the page."""
    entry = choice.entry
    conditions = ", ".join(f"{name} = {value}" for name, value in entry.where.items())
    answer: dict[str, object] = {
        "question": entry.question.format(**words),
        "established": NOT_ESTABLISHED if entry.tested else NOT_TESTED,
        "control": "",
        "meaning": entry.meaning.format(**words),
        "unit": entry.unit,
        "formula": entry.formula,
        "figure": f"{entry.figure}.svg" if entry.figure else "",
        "source": f"{entry.table}: {conditions}".rstrip(": "),
    }
    if choice.row is None:
        no = "Not established: no test is possible" if entry.tested else "Not measured"
        text = f"{no} ({choice.reason})."
    else:
        answer["established"], text = with_level(choice, p, p_flip, asked.smallest, words)
        answer |= {name: choice.row[name] for name in COLUMNS if name in choice.row and name not in answer}
        answer |= {"effect": effect_text(choice, choice.row["estimate"]), "family": choice.family}
        answer |= {"chance": choice.chance, "upper": choice.upper, "n_templates": choice.n_templates}
        if entry.tested:
            answer |= {"p_corrected": choice.p, "p_page": p, "min_p": choice.min_p}
            answer |= {
                "p_flip_corrected": choice.p_flip,
                "p_flip_page": p_flip,
                "min_p_flip": choice.min_p_flip,
            }
            answer["smallest_effect"], answer["within_smallest"] = smallest_text(choice, asked.smallest)
    aside = f"{entry.aside} {entry.unshown if answer['established'] == NOT_ESTABLISHED else ''}"
    return answer | {"answer": f"{text} {aside.format(**words)}".strip()}
