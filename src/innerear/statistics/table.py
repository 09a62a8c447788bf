"""Tables of results: the columns that all analyses share, and tests written into them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from innerear.io.tables import write_table
from innerear.stacks.gram_file import Arrays, Coords, GramFile, layer_name
from innerear.statistics.design import Design
from innerear.statistics.design.flips import agreeing, flipped_sums
from innerear.statistics.significance import FLIP, against_null, correct_over, write_test

#: what a test says of a row, and what it was tested against
TEST = (
    *("p", "p_corrected", "p_flip", "p_flip_corrected", "k", "n_templates", "score", "flip_score"),
    *("n_prompts", "n_perm", "min_p", "null", "family"),
)
#: an estimate and its interval
INTERVAL = ("estimate", "ci_lo", "ci_hi")
_UNTESTED = dict.fromkeys((*INTERVAL, *TEST), np.nan) | {"n_perm": 0, "null": "", "family": ""}


#: a row of a tested family, which names its map, and the family's null maxima [m]
Maxima = tuple[Mapping[str, object], np.ndarray]


@dataclass(frozen=True)
class LayerResult:
    """The results of an analysis in one layer.

    Attributes
    ----------
    table : long, one row per estimate, with the common columns.
    null : null maxima of each tested family, as `null_table` makes them; for the map over layers.
    arrays, coords : arrays for later jobs, as `GramFile.write` takes them.
    further : name → another table.
    maxima : what `record` returned, before `null` is made of it.
    remarks : what a reader of the log must know.
    """

    table: pd.DataFrame
    null: pd.DataFrame | None = None
    arrays: Arrays = field(default_factory=dict)
    coords: Coords = field(default_factory=dict)
    further: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    maxima: Sequence[Maxima] = ()
    remarks: Sequence[str] = ()

    def write(self, outputs: Mapping[str, str], attrs: Mapping[str, object] | None = None) -> None:
        """Write each named output: ``table``, ``null``, a further table, or (``.h5``) the arrays."""
        for name, path in outputs.items():
            if path.endswith(".tsv"):
                write_table(self.tables[name], path)
            else:
                GramFile.write(path, self.arrays, self.coords, attrs)

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """All tables by the names of outputs."""
        null = {} if self.null is None else {"null": self.null}
        return {"table": self.table, **null, **self.further}


def write_layers(found: Iterable[tuple[LayerResult, Mapping[str, Any]]], outputs: Mapping[str, str]) -> None:
    """Write what an analysis found in several layers: by name a table of all, or a folder of arrays.

    Arrays are written layer by layer, as ``{folder}/layer_NN.h5``, and not kept.

    Parameters
    ----------
    found : of each layer, with the attributes of its arrays, of which ``layer`` is one.
    """
    tables: dict[str, list[pd.DataFrame]] = {}
    for result, attrs in found:
        for name, path in outputs.items():
            if path.endswith(".tsv"):
                tables.setdefault(name, []).append(result.tables[name])
            else:
                GramFile.write(Path(path, layer_name(attrs["layer"])), result.arrays, result.coords, attrs)
        del result  # before the next layer is analysed
    for name, parts in tables.items():
        write_table(pd.concat(parts, ignore_index=True), outputs[name])


def columns(*own: str) -> pd.Index:
    """Order a table's columns: model and layer, its own ones, then what `TEST` names."""
    return pd.Index(["model", "layer", *own, *TEST])


def blank(rows: pd.DataFrame | Mapping[str, object], design: Design, **values: object) -> pd.DataFrame:
    """Return rows without estimates and tests yet: NaN, `n_perm` 0, and no null unless `values` says why.

    Parameters
    ----------
    rows : columns that say what each row is of; scalars are repeated.
    values : further columns.

    Examples
    --------
    >>> samples = pd.DataFrame({"sample_id": ["a/0", "b/0"], "prompt_id": ["a", "b"], "template": "t",
    ...                         "emotion": ["happy", "sad"], "seed": 0})
    >>> blank({"branch": ["cond", "uncond"]}, Design(samples, "emotion"), estimate=0.5)[["branch", "p"]]
       branch   p
    0    cond NaN
    1  uncond NaN
    """
    own = set(rows) if isinstance(rows, Mapping) else set(rows.columns)
    common = _UNTESTED | {"n_prompts": design.n_prompts, "n_templates": design.n_templates}
    filled = {name: value for name, value in common.items() if name not in own} | values
    return pd.DataFrame(rows).assign(**filled)


def record(
    table: pd.DataFrame,
    rows: np.ndarray,
    design: Design,
    observed: np.ndarray,
    null: np.ndarray,
    *,
    family: str,
    moved: str = "",
    of: str = "labels",
    why_not: str | Sequence[str] = "",
    standardise: bool = True,
) -> list[Maxima]:
    """Test a family of rows against its permutation null, and write the results into the common columns.

    Parameters
    ----------
    table : from `blank`, changed in place; its index counts its rows.
    rows : [cells] positions of the family's rows.
    observed : [cells], larger is more extreme; NaN where a row is not to be tested.
    null : [≤ m, cells] the same under the design's first permutations, usually all m.
    family : what was corrected together, for the column.
    moved : what a permutation moves, in the study's table of them; the labels unless said. For ``of`` others
        than ``"labels"`` and ``"pairs"``, which are drawn from no table, the whole text of `null`.
    of : which permutations they were, see `Design.smallest_p`.
    why_not : why rows were not tested, where the design would allow it.
    standardise : see `against_null`.

    Returns
    -------
    The family's `Maxima`; none where nothing was tested.
    """
    m, used = design.n_permutations, len(null)
    smallest = design.smallest_p(used, of=of)
    result = against_null(observed, null, smallest=smallest, standardise=standardise)
    reasons = [why_not] * len(rows) if isinstance(why_not, str) else list(why_not)
    write_test(
        table,
        rows,
        result,
        min_p=smallest,
        null=design.null_text(m, moved or f"{design.label}s", used) if of in ("labels", "pairs") else moved,
        family=family,
        why_not=[design.why_not(m, of=of) or reason for reason in reasons],
    )
    return [(table.iloc[rows[0]].to_dict(), result.null_max)] if np.isfinite(result.p).any() else []


def record_flips(
    table: pd.DataFrame, rows: np.ndarray, design: Design, contrasts: np.ndarray, *, standardise: bool = True
) -> list[Maxima]:
    """Test a family of rows by sign flips of templates, and write p and the count of templates that agree.

    Parameters
    ----------
    table, rows : as in `record`.
    contrasts : [cells, T, T] products of templates' contrasts between labels; their sum over pairs of two
        templates is the statistic, larger is more extreme. NaN where a row is not to be tested.
    standardise : as in `against_null`. False for cells of few dimensions on one scale: their strongest
        effects have flips that are nearly as large, and so has noise, in units of its own flips.

    Returns
    -------
    As `record`; the same flips serve all rows, so that maps can be corrected together.
    """
    if not design.n_templates:
        return []
    known = np.isfinite(contrasts).all(axis=(1, 2))
    table.loc[rows, "k"] = np.where(known, agreeing(contrasts), np.nan)
    if design.why_no_flips():
        return []
    flipped = flipped_sums(contrasts, design.flips())
    return record_flip_null(table, rows, design, flipped, standardise=standardise)


def record_flip_null(
    table: pd.DataFrame, rows: np.ndarray, design: Design, flipped: np.ndarray, *, standardise: bool = True
) -> list[Maxima]:
    """Test a family of rows against a statistic [m', cells] under each of `Design.flips`, as `record_flips`.

    Row 0 is the observed statistic, larger is more extreme. `k` is not written.
    """
    if design.why_no_flips():
        return []
    smallest = design.smallest_flip_p()
    found = against_null(flipped[0], flipped[1:], smallest=smallest, standardise=standardise, of_flips=True)
    for name, values in (
        ("p_flip", found.p),
        ("p_flip_corrected", found.p_corrected),
        ("flip_score", found.score),
    ):
        table.loc[rows, name] = values
    row = table.iloc[rows[0]].to_dict() | {"moved": FLIP}
    return [(row, found.null_max)] if np.isfinite(found.p).any() else []


def layer_map(
    analysis: ModuleType, tables: Sequence[pd.DataFrame], nulls: Sequence[pd.DataFrame]
) -> pd.DataFrame:
    """Join an analysis's tables of all layers and correct `p_corrected` over the whole map.

    Parameters
    ----------
    analysis : a module of `innerear.analyses`; its MAP_COLUMNS name a map, its FAMILY says what is corrected
        together, and its `finish`, if it has one, completes the joined table.
    tables, nulls : of all layers, one or several in each, as `write_layers` writes them.

    Raises
    ------
    InputError: the layers were tested against different permutation tables.
    """
    table = correct_over(tables, nulls, analysis.MAP_COLUMNS, analysis.FAMILY)
    return analysis.finish(table) if hasattr(analysis, "finish") else table
