"""The gate counts what must have been checked, judges it again, and lets nothing else through."""

import numpy as np
import pandas as pd
import pytest

from innerear.capture.checks import COLUMNS, MEANING
from innerear.capture.gate import require_passed
from innerear.errors import InputError
from innerear.io.tables import read_table, write_table

SAMPLES = [(prompt, f"{prompt}/seed-{seed}") for prompt in ("a-happy", "a-sad") for seed in (0, 1)]
PATHS = ["results/s/qc/checks.tsv", "results/s/qc/verification.tsv"]
INDEX = pd.DataFrame(SAMPLES, columns=["prompt_id", "sample_id"]).assign(
    content_sha256="0" * 64, recording=""
)


def tables(branches=("cond", "uncond"), *, witness=True, gap=True):
    """Tables of checks that all passed."""
    of_all = [name for name in MEANING if not name.startswith(("replay", "witness", "regenerate"))]
    checks = [(check, sample) for _, sample in SAMPLES for check in of_all]
    parts = ["cond", "uncond", "delta", "level"] if len(branches) > 1 else [*branches, "level"]
    readers = ["replay", "witness"] if witness else ["replay"]
    firsts = ["a-happy/seed-0", "a-sad/seed-0"]
    again = [(f"{reader}_{part}", one) for one in firsts for reader in readers for part in parts]
    again.append(("regenerate", firsts[0]))
    missing = [] if "uncond" in branches else ["uncond_start", "uncond_prefix"]
    missing += [] if gap else ["same_input"]
    return [frame(checks, missing), frame(again, missing)]


def frame(checks, missing):
    rows = []
    for check, sample in checks:
        value = {"steps": 23.0, "varies": 1.0}.get(check, 0.0)
        tolerance = {"steps": 23.0, "varies": 0.0}.get(check, 1e-3)
        rows.append((check, sample, "0" * 16, "", np.nan if check in missing else value, tolerance, True))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def judge(checks, **expected):
    wanted = {"branches": ("cond", "uncond"), "same_input": True, "witness": True}
    require_passed(checks, PATHS, INDEX, **wanted | expected)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ({}, {}),
        ({"witness": False}, {"witness": False}),
        ({"branches": ("cond",), "gap": False}, {"branches": ("cond",), "same_input": False}),
        ({"gap": False}, {"same_input": False}),
    ],
)
def test_what_was_checked_as_the_study_asks_passes_and_nothing_less(made, expected):
    checks = tables(**made)
    judge(checks, **expected)
    for which, table in enumerate(checks):
        for row in table.index:
            lacking = checks.copy()
            lacking[which] = table.drop(row)
            with pytest.raises(InputError, match=r"lacks 1 checks, such as"):
                judge(lacking, **expected)


def test_the_first_track_must_be_encoded_again_and_the_first_clip_composed_again():
    index = INDEX.assign(recording=["", "", "", "a.wav"])
    wanted = {"branches": ("cond", "uncond"), "same_input": True, "witness": True}
    again = tables()
    with pytest.raises(InputError, match=r"lacks 1 checks, such as regenerate of a-sad/seed-1"):
        require_passed(again, PATHS, index, **wanted)
    track = again[1][again[1]["check"] == "regenerate"].assign(sample="a-sad/seed-1")
    require_passed([again[0], pd.concat([again[1], track])], PATHS, index, **wanted)


def cell(column, value):
    """Put a value into a row of the first table."""

    def change(checks):
        checks[0][column] = checks[0][column].astype(object)
        checks[0].loc[7, column] = value

    return change


def drop(which, **where):
    """Remove the rows with these values."""

    def change(checks):
        for column, value in where.items():
            checks[which] = checks[which][checks[which][column] != value]

    return change


def twice(checks):
    checks[0] = pd.concat([checks[0], checks[0].iloc[3:4]], ignore_index=True)


def swap_columns(checks):
    checks[1] = checks[1][[*COLUMNS[:-2], "pass", "tolerance"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop(0, check="finite"), r"checks\.tsv lacks 4 checks, such as finite of a-happy/seed-0.*--force"),
        (drop(0, sample="a-sad/seed-1"), r"lacks \d+ checks, such as audio of a-sad/seed-1"),
        (drop(1, check="replay_delta"), r"verification\.tsv lacks 2 checks, such as replay_delta"),
        (drop(1, check="witness_cond"), "lacks 2 checks, such as witness_cond"),
        (drop(1, check="regenerate"), "lacks 1 checks, such as regenerate"),
        (drop(0, check="length", sample="a-sad/seed-0"), "lacks"),
        (twice, "has 1 checks twice"),
        (swap_columns, "has the columns"),
        (cell("check", "finit"), "lacks 1 checks, such as"),
        (cell("sample", "b/seed-0"), "lacks 1 checks, such as"),
        (cell("value", "many"), "are not two numbers"),
        (cell("tolerance", np.nan), "are not two numbers"),
        (cell("pass", "yes"), "neither True nor False"),
        (cell("pass", np.nan), "neither True nor False"),
        (cell("value", np.nan), "has no value, but passed"),
        (cell("value", 1e9), "its verdict is True"),
        (cell("tolerance", -1.0), "its verdict is True"),
        (cell("content", "1" * 16), "another version of the stack"),
    ],
)
def test_what_is_missing_or_malformed_is_refused(change, message):
    checks = tables()
    change(checks)
    with pytest.raises(InputError, match=message):
        judge(checks)


@pytest.mark.parametrize("expected", [{"witness": False}, {"branches": ("cond",)}, {"same_input": False}])
def test_checks_that_the_study_does_not_ask_for_are_refused(expected):
    with pytest.raises(InputError, match=r"of no sample or check of the study|nothing to compare"):
        judge(tables(), **expected)


def test_a_value_is_required_where_there_is_something_to_compare():
    with pytest.raises(InputError, match=r"same_input of .* has no value, but passed"):
        judge(tables(gap=False))


@pytest.mark.parametrize("n_steps", [22.0, 24.0])
def test_another_number_of_steps_that_says_that_it_passed_is_refused(n_steps):
    checks = tables()
    of_steps = checks[0].index[checks[0]["check"] == "steps"][1]
    checks[0].loc[of_steps, "value"] = n_steps
    with pytest.raises(InputError, match="its verdict is True"):
        judge(checks)


def test_failures_are_named_with_the_command_that_remakes_them():
    checks = tables()
    checks[0].loc[7, ["value", "pass"]] = 3.0, False
    with pytest.raises(
        InputError,
        match=r"uncond_start: a-happy/seed-0 has 3(.|\n)*force results/s/stacks/a-happy/seed-0\.h5",
    ):
        judge(checks)


def test_tables_are_judged_as_they_are_read(tmp_path):
    def read(checks):
        for table, name in zip(checks, ("checks.tsv", "verification.tsv"), strict=True):
            write_table(table, tmp_path / name)
            yield read_table(tmp_path / name)

    checks, said = tables(), []
    judge(list(read(checks)))
    checks[0].loc[7, ["value", "pass"]] = 3.0, False
    for given in (checks, list(read(checks))):
        with pytest.raises(InputError) as refusal:
            judge(given)
        said.append(str(refusal.value))
    assert said[0] == said[1]
