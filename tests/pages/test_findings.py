"""The page of findings: established only below .05, otherwise it says that it is not, and why."""

import numpy as np
import pandas as pd
import pytest

from innerear.io.tables import read_tables, write_table
from innerear.pages.findings import FINDINGS, Finding, findings, findings_page

ENTRY = Finding(
    "Is it there?", "map", "Yes, in layer {layer}.", {"branch": "uncond"}, "map.svg", aside="Mind <this>."
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


@pytest.mark.parametrize("p", [0.05, 0.3])
def test_from_a_twentieth_on_it_is_not_established(p):
    row = answer(table([p, 0.9, np.nan]))
    assert row["established"] == "no"
    assert row["answer"].startswith("Not established: the smallest corrected p")
    assert row["estimate"] == 0.1


def test_rows_of_another_branch_do_not_answer():
    rows = pd.concat([table([0.5, 0.6, 0.7]), table([0.001] * 3, branch="cond")])
    assert answer(rows)["established"] == "no"


def test_no_test_gives_the_reason_and_no_number():
    row = answer(table([np.nan] * 3, null="none: one prompt per emotion"))
    assert row["established"] == "no"
    assert "no test is possible (one prompt per emotion)" in row["answer"]
    assert np.isnan(row["estimate"])
    assert "no such rows" in answer(table([0.01] * 3, branch="cond"))["answer"]


def test_a_design_that_cannot_reach_a_twentieth_says_so():
    row = answer(table([0.3, 0.4, 0.5]).assign(min_p=1 / 6))
    assert "no p can be below 0.17" in row["answer"]


def test_what_is_not_tested_is_no_finding():
    entry = Finding("How large?", "map", "At most {estimate:.1f}.", tested=False)
    row = answer(table([np.nan] * 3), entry)
    assert (row["established"], row["answer"]) == ("not tested", "At most 0.3.")


def test_the_page_escapes_and_names_all():
    rows = findings({"map": table([0.01, 0.2, 0.3])}, [ENTRY])
    page = findings_page(rows, title="study", model="nano")
    assert "Mind &lt;this&gt;." in page
    assert "nano" in page
    assert "map.svg" in page
    assert 'class="yes"' in page


def test_every_question_has_its_own_words_and_a_figure():
    assert len({entry.question for entry in FINDINGS}) == len(FINDINGS)
    assert all(entry.figure.endswith(".svg") for entry in FINDINGS)


def test_tables_of_all_layers_are_read_as_one(tmp_path):
    for layer in range(2):
        write_table(pd.DataFrame({"layer": [layer]}), tmp_path / f"{layer}.tsv")
    paths = [str(tmp_path / f"{layer}.tsv") for layer in range(2)]
    assert read_tables(paths)["layer"].tolist() == [0, 1]
    assert read_tables(paths[1])["layer"].tolist() == [1]
