"""The page of findings: established up to .05, otherwise it says that it is not, and why."""

import ast
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

import innerear.analyses
from innerear.errors import InputError
from innerear.io.tables import read_tables, write_table
from innerear.pages.findings import collected, findings, findings_page
from innerear.statistics.finding import Finding

FOLDER = Path(innerear.analyses.__file__).parent
ASKING = sorted(
    ".".join(("innerear.analyses", *path.relative_to(FOLDER).with_suffix("").parts))
    for path in FOLDER.rglob("*.py")
    if "\nFINDINGS" in path.read_text("utf-8")
)
ENTRY = Finding(
    "Is it there?", "Yes, in layer {layer}.", {"branch": "uncond"}, "map", "map", aside="Mind <this>."
)


def table(p, estimate=(0.1, 0.2, 0.3), branch="uncond", null="labels permuted"):
    return pd.DataFrame(
        {
            "layer": range(len(p)),
            "branch": branch,
            "estimate": estimate,
            "ci_lo": 0.05,
            "ci_hi": 0.4,
            "p_corrected": p,
            "min_p": 0.001,
            "n_prompts": 20,
            "null": null,
        }
    )


def answer(rows, entry=ENTRY):
    return findings({"map": rows}, [entry]).iloc[0]


def test_the_smallest_p_answers_and_of_ties_the_largest_estimate():
    row = answer(table([0.01, 0.2, 0.01]))
    assert row["established"] == "yes"
    assert row["answer"] == "Yes, in layer 2. Mind <this>."
    assert row["estimate"] == 0.3
    assert row["source"] == "map: branch = uncond"
    assert row["figure"] == "map.svg"


@pytest.mark.parametrize(("p", "established"), [(0.05, "yes"), (0.0501, "no"), (0.3, "no")])
def test_above_a_twentieth_it_is_not_established(p, established):
    row = answer(table([p, 0.9, np.nan]))
    assert row["established"] == established
    assert row["answer"].startswith("Not established: the smallest corrected p") == (established == "no")
    assert row["estimate"] == 0.1


def test_rows_of_another_branch_do_not_answer():
    rows = pd.concat([table([0.5, 0.6, 0.7]), table([0.001] * 3, branch="cond")])
    assert answer(rows)["established"] == "no"


def test_no_test_gives_the_reason_and_no_number():
    row = answer(table([np.nan] * 3, null="none: one prompt per emotion"))
    assert row["established"] == "no"
    assert "no test is possible (one prompt per emotion)" in row["answer"]
    assert np.isnan(row["estimate"])
    assert "the study has no uncond: with" in answer(table([0.01] * 3, branch="cond"))["answer"]


def test_a_design_that_cannot_reach_a_twentieth_says_so():
    row = answer(table([0.3, 0.4, 0.5]).assign(min_p=1 / 6))
    assert "no p can be below 0.17" in row["answer"]
    assert "no p can" not in answer(table([0.3, 0.4, 0.5]).assign(min_p=0.05))["answer"]


def test_what_is_not_tested_is_no_finding():
    entry = Finding("How large?", "At most {estimate:.1f}.", table="map", tested=False)
    row = answer(table([np.nan] * 3), entry)
    assert (row["established"], row["answer"]) == ("not tested", "At most 0.3.")


NAMED = Finding("Is it there?", "Yes.", {"statistic": "rise", "branch": "uncond"}, table="map")


def test_a_statistic_that_a_table_lacks_is_an_error():
    """A renamed statistic must not read as an answer, though other rows of the table have no value."""
    renamed = table([0.01, np.nan, 0.2], (1, np.nan, 1), null="none: deterministic").assign(statistic="fall")
    with pytest.raises(InputError, match=r"Is it there\?.*'rise'.*'map'"):
        answer(renamed, NAMED)
    with pytest.raises(InputError, match=r"'rise'.*'map'"):
        answer(renamed.iloc[:0], NAMED)
    cond = renamed.assign(statistic="rise", branch="cond")
    assert "the study has no uncond" in answer(cond, NAMED)["answer"]
    late = Finding("Is it there?", "Yes.", {"statistic": "rise", "window": "late"}, table="map")
    assert "no such rows; the study has no uncond" in answer(cond.assign(window="whole"), late)["answer"]
    both = pd.concat([cond, renamed.assign(statistic="fall")])
    assert "no such rows" in answer(both, NAMED)["answer"]


@pytest.mark.parametrize("column", ["null", "interval"])
def test_a_table_may_say_why_it_lacks_a_statistic(column):
    rows = table([np.nan] * 3, np.nan, null="").assign(statistic="fall", interval="")
    assert "(too few steps)" in answer(rows.assign(**{column: "none: too few steps"}), NAMED)["answer"]


def test_of_several_statistics_one_is_enough():
    """Contrasts of labels and of ratings have statistics of their own; a study has one of them."""
    either = Finding("Is it there?", "Yes.", {"statistic": ["rise", "slope"]}, table="map")
    assert answer(table([0.01] * 3).assign(statistic="slope"), either)["established"] == "yes"


def test_a_column_or_table_that_there_is_not_is_an_error():
    with pytest.raises(InputError, match=r"column 'statistic'.*'map'"):
        answer(table([0.01] * 3), NAMED)
    with pytest.raises(InputError, match="table 'map'; the tables are other"):
        findings({"other": table([0.01] * 3)}, [ENTRY])


def test_findings_are_collected_in_the_order_of_the_tables(monkeypatch):
    def analysis(name, *entries):
        module = ModuleType(name)
        module.FINDINGS = entries
        module.__spec__ = __spec__
        monkeypatch.setitem(sys.modules, name, module)

    other = Finding("Elsewhere?", "Yes.", table="plain")
    analysis("innerear.analyses.second", Finding("Own?", "Yes."), other)
    analysis("innerear.analyses.text_or_history.first", ENTRY)
    found = collected(["first", "plain", "second"])
    assert [(one.question, one.table) for one in found] == [
        ("Is it there?", "map"),
        ("Own?", "second"),
        ("Elsewhere?", "plain"),
    ]


def test_the_page_escapes_and_names_all():
    rows = findings({"map": table([0.01, 0.2, 0.3])}, [ENTRY])
    page = findings_page(rows, title="study <1>", model="nano")
    assert "Mind &lt;this&gt;." in page
    assert "study &lt;1&gt;" in page
    assert "nano" in page
    assert "map.svg" in page
    assert 'class="yes"' in page


def literals(value, private):
    """Texts that stand in an expression, itself or by way of the module's private names."""
    for node in ast.walk(value):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.Name) and node.id in private:
            yield from literals(private[node.id], private)


@pytest.mark.parametrize("name", ASKING)
def test_a_finding_names_its_statistic_by_a_constant_of_its_analysis(name):
    """So that a renamed statistic takes its finding along."""
    body = ast.parse(Path(import_module(name).__file__).read_text("utf-8")).body
    assigned = [
        node for node in body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    ]
    private = {node.targets[0].id: node.value for node in assigned if node.targets[0].id.startswith("_")}
    for node in (node for assignment in assigned for node in ast.walk(assignment)):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "statistic":
                    assert not list(literals(value, private))


def test_every_question_has_its_own_words_and_a_figure():
    entries = [entry for name in ASKING for entry in import_module(name).FINDINGS]
    assert len(entries) >= 1
    assert len({entry.question for entry in entries}) == len(entries)
    assert all(entry.figure and not entry.figure.endswith(".svg") for entry in entries)


def test_tables_of_all_layers_are_read_as_one(tmp_path):
    for layer in range(2):
        write_table(pd.DataFrame({"layer": [layer]}), tmp_path / f"{layer}.tsv")
    paths = [str(tmp_path / f"{layer}.tsv") for layer in range(2)]
    assert read_tables(paths)["layer"].tolist() == [0, 1]
    assert read_tables(paths[1])["layer"].tolist() == [1]
