"""Pass on a study's samples if every required check passed; checks are counted and judged again."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from innerear.capture.checks import COLUMNS, CONTENT_DIGITS, MEANING, OPTIONAL, made_again, passes
from innerear.errors import InputError
from innerear.io.names import command, remake

_AFTERWARDS = ("replay", "witness", "regenerate")
_SHOWN = 20


def require_passed(
    checks: Sequence[pd.DataFrame],
    paths: Sequence[str],
    index: pd.DataFrame,
    *,
    branches: Sequence[str],
    same_input: bool,
    witness: bool,
) -> None:
    """Refuse a study in which a check failed, is missing, or says something that it cannot.

    Parameters
    ----------
    checks : tables of `check_samples` and of `verify_samples`.
    paths : of the two, in the folder ``qc`` of the study's results.
    index : the samples that were to be checked.
    branches : that the stacks hold.
    same_input : whether the branches' inputs are compared: two branches run, in a model with cross-attention.
    witness : whether a second implementation was to read clips.

    Raises
    ------
    InputError: each failed check with its sample, value and tolerance, or what is wrong with a table.
    """
    compared = _compared(branches, same_input)
    wanted = (_of_every_sample(index), _of_some(index, branches, witness))
    for table, path, expected in zip(checks, paths, wanted, strict=True):
        _require_rows(table, path, expected, index, compared)
    every = pd.concat(checks, ignore_index=True)
    failed = [row for row in every.to_dict("records") if not row["pass"]]
    if not failed:
        return
    lines = [
        f"  - {row['check']}: {row['sample']} has {row['value']:g} (tolerance {row['tolerance']:g})"
        + (f" at {row['where']}" if row["where"] else "")
        for row in failed
    ]
    stack = Path(paths[0]).parent.parent / "stacks" / f"{failed[0]['sample']}.h5"
    raise InputError(
        f"{len(failed)} checks failed (all of them are in {' and '.join(paths)}):\n"
        + "\n".join(lines[:_SHOWN])
        + f"\nRemake a sample with, for the first: {command('--force', stack)}"
    )


def _compared(branches: Sequence[str], same_input: bool) -> dict[str, bool]:
    """Return which of the optional checks must have a value."""
    of = {"same_input": same_input, "cond_start": "cond" in branches}
    return of | dict.fromkeys(("uncond_start", "uncond_prefix"), "uncond" in branches)


def _of_every_sample(index: pd.DataFrame) -> set[tuple[str, str]]:
    names = [name for name in MEANING if not name.startswith(_AFTERWARDS)]
    return {(name, sample) for name in names for sample in index["sample_id"]}


def _of_some(index: pd.DataFrame, branches: Sequence[str], witness: bool) -> set[tuple[str, str]]:
    """Return the checks of each prompt's first sample, which is replayed, and of those made again."""
    firsts = index.drop_duplicates("prompt_id")["sample_id"].tolist()
    parts = [*branches, "level"] + (["delta"] if len(branches) > 1 else [])
    readers = ["replay", "witness"] if witness else ["replay"]
    replayed = {(f"{reader}_{part}", one) for reader in readers for part in parts for one in firsts}
    return replayed | {("regenerate", one) for one in made_again(index)["sample_id"]}


def _require_rows(
    table: pd.DataFrame,
    path: str,
    expected: set[tuple[str, str]],
    index: pd.DataFrame,
    compared: dict[str, bool],
) -> None:
    """Refuse a table of checks that lacks a row, or has one that no check of these samples gives."""
    if tuple(table.columns) != COLUMNS:
        raise InputError(f"{path} has the columns {list(table.columns)}, not {list(COLUMNS)}; {remake(path)}")
    found = list(zip(table["check"], table["sample"], strict=True))
    lacking, foreign = sorted(expected - set(found)), sorted(set(found) - expected, key=str)
    twice = len(found) - len(set(found))
    for wrong, what in ((lacking, "lacks"), (foreign, "has, of no sample or check of the study,")):
        if wrong:
            check, sample = wrong[0]
            raise InputError(
                f"{path} {what} {len(wrong)} checks, such as {check} of {sample}; {remake(path)}"
            )
    if twice:
        raise InputError(f"{path} has {twice} checks twice; {remake(path)}")
    contents = dict(zip(index["sample_id"], index["content_sha256"].str[:CONTENT_DIGITS], strict=True))
    for row in table.to_dict("records"):
        for reason in _faults(row, contents, compared):
            raise InputError(f"{path}: {row['check']} of {row['sample']} {reason}; {remake(path)}")


def _faults(row: dict, contents: dict[str, str], compared: dict[str, bool]) -> Iterator[str]:
    """Yield what a row of a table of checks says that it cannot."""
    value, tolerance, verdict = row["value"], row["tolerance"], row["pass"]
    if str(row["content"]) != contents[row["sample"]]:
        yield "is about another version of the stack than the index lists"
    elif not all(isinstance(one, int | float) for one in (value, tolerance)) or tolerance != tolerance:
        yield f"has the value {value!r} and the tolerance {tolerance!r}, which are not two numbers"
    elif not isinstance(verdict, bool):
        yield f"has the verdict {verdict!r}, which is neither True nor False"
    elif value != value and row["check"] in OPTIONAL and not compared[row["check"]]:
        if not verdict:
            yield "compares nothing, but failed"
    elif value != value and verdict:
        yield "has no value, but passed"
    elif row["check"] in OPTIONAL and not compared[row["check"]]:
        yield f"has the value {value!r}, where there is nothing to compare"
    elif verdict != passes(row["check"], value, tolerance):
        yield f"has {value:g} with the tolerance {tolerance:g}, but its verdict is {verdict}"
