"""The page of findings: what is established, for what, and how large an effect may be that is not."""

import ast
import re
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

import innerear.analyses
from innerear.analyses.audio_check import ACCURACY, ANOVA
from innerear.errors import InputError
from innerear.io.tables import read_tables, write_table
from innerear.pages.findings import RANDOM_TWIN, Asked, collected, findings, read_controls
from innerear.statistics.claims import ESTABLISHED, NOT_ESTABLISHED, NOT_TESTED, SENTENCES
from innerear.statistics.finding import UNITS, Finding
from innerear.study.questions import QUESTIONS, words_for

FOLDER = Path(innerear.analyses.__file__).parent
ASKING = sorted(
    ".".join(("innerear.analyses", *path.relative_to(FOLDER).with_suffix("").parts)).removesuffix(".__init__")
    for path in FOLDER.rglob("*.py")
    if "\nFINDINGS" in path.read_text("utf-8")
)
ENTRY = Finding(
    "Is it there?",
    "Yes: {effect}.",
    {"branch": "uncond"},
    "map",
    "map",
    aside="Mind <this>.",
    meaning="a <share>",
)


def table(p, estimate=(0.1, 0.2, 0.3), branch="uncond", null="labels permuted", flip=0.01, ci_hi=0.4):
    """Rows of a tested map over three layers."""
    return pd.DataFrame(
        {
            "layer": range(len(p)),
            "branch": branch,
            "estimate": estimate,
            "ci_lo": 0.05,
            "ci_hi": ci_hi,
            "p_corrected": p,
            "p_flip_corrected": flip,
            "k": 9,
            "n_templates": 10,
            "min_p": 0.001,
            "n_perm": 999,
            "n_prompts": 20,
            "null": null,
            "family": "layers of a branch",
        }
    )


def answer(rows, entry=ENTRY, **asked):
    return findings({"map": rows}, [entry], asked=Asked(**asked)).iloc[0]


def test_the_surest_row_answers_and_of_ties_the_middle_one():
    """The largest of equal p would flatter; the answer names no layer."""
    row = answer(table([0.01, 0.01, 0.01, 0.2], (0.5, 0.2, 0.3, 0.9)))
    assert row["established"] == ESTABLISHED
    assert row["answer"] == "Yes: 30.0% of the variance. Mind <this>."
    assert (row["estimate"], row["effect"], row["meaning"]) == (0.3, "30.0% of the variance", "a <share>")
    assert row["source"] == "map: branch = uncond"
    assert row["figure"] == "map.svg"


@pytest.mark.parametrize(
    ("p", "flip", "expected"),
    [
        (0.05, 0.05, ESTABLISHED),
        (0.05, 0.051, SENTENCES),
        (0.01, np.nan, SENTENCES),
        (0.0501, 0.001, NOT_ESTABLISHED),
        (0.3, 0.3, NOT_ESTABLISHED),
    ],
)
def test_an_answer_is_established_where_both_p_hold(p, flip, expected):
    row = answer(table([p, 0.9, np.nan], flip=flip))
    assert row["established"] == expected
    assert ("these sentences only" in row["answer"]) == (expected == SENTENCES)
    assert row["answer"].startswith("Not established: the corrected p is") == (expected == NOT_ESTABLISHED)


def test_a_row_for_which_both_hold_is_surer_than_one_of_a_smaller_p():
    row = answer(table([0.001, 0.02, 0.3], flip=(0.2, 0.03, 0.01)))
    assert (row["established"], row["estimate"]) == (ESTABLISHED, 0.2)


def test_without_flips_nothing_is_more_than_for_these_sentences_and_the_page_says_why():
    few = table([0.001] * 3, flip=np.nan).assign(n_templates=5)
    assert "there are 5 templates, whose sign flips cannot reach a p below 0.062" in answer(few)["answer"]
    old = few.drop(columns=["p_flip_corrected", "k", "n_templates"])
    row = answer(old, n_templates=10)
    assert row["established"] == SENTENCES
    assert "this analysis has no sign flips" in row["answer"]
    assert "there are no templates" in answer(old, n_templates=0)["answer"]


def test_the_smallest_p_of_either_test_is_shown():
    row = answer(table([0.01] * 3))
    assert (row["min_p"], row["min_p_flip"]) == (0.001, 2**-9)


def test_the_smallest_p_of_flips_is_of_the_flips_and_there_is_none_without_them():
    """Random edits, which are few, are another null: their number does not bound the p of flips."""
    edits = table([0.025] * 3, flip=2**-9).assign(n_perm=39, min_p=0.025)
    row = answer(edits)
    assert row["min_p_flip"] == row["p_flip_corrected"] == 2**-9
    assert answer(edits, n_permutations=99)["min_p_flip"] == 0.01
    assert np.isnan(answer(edits.assign(p_flip_corrected=np.nan))["min_p_flip"])


def test_a_bound_is_read_off_a_t_interval_as_such():
    bounds = [
        answer(table([0.01] * 3).assign(interval=text))["upper"]
        for text in ("95% t interval of 10 folds", "95% of 1000 bootstraps of templates")
    ]
    assert bounds[0] == pytest.approx(0.3 + 0.1 * t.ppf(0.95, 9) / t.ppf(0.975, 9))
    assert bounds[0] < bounds[1]


def test_choosing_among_families_is_paid_for():
    """Three branches, each a family of its own: p times three, and so are the smallest ones."""
    entry = Finding("Anywhere?", "Yes.", table="map", choices=("branch",))
    rows = pd.concat([table([0.02] * 3, branch=branch) for branch in ("cond", "uncond", "delta")])
    row = answer(rows, entry)
    assert row["established"] == NOT_ESTABLISHED
    assert row["p_corrected"] == pytest.approx(0.06)
    assert row["min_p"] == pytest.approx(0.003)
    assert "× 3 (Bonferroni over branch)" in row["family"]
    assert answer(rows[rows["branch"] == "cond"], entry)["established"] == ESTABLISHED


def test_primary_questions_are_corrected_after_holm_the_others_after_benjamini_and_hochberg():
    entries = [
        Finding(f"{i}?", "Yes.", {"branch": str(i)}, table="map", key=key)
        for i, key in enumerate(["sound", "uncond", "text", "delta", "", ""])
    ]
    p = [0.01, 0.03, 0.04, 0.01, 0.02, 0.3]
    rows = pd.concat([table([one], [0.1], branch=str(i)) for i, one in enumerate(p)])
    found = findings({"map": rows}, entries, asked=Asked(primary=("sound", "uncond", "text")))
    assert found["primary"].tolist() == ["primary"] * 3 + ["exploratory"] * 3
    np.testing.assert_allclose(found["p_page"], [0.03, 0.06, 0.06, 0.03, 0.03, 0.3])
    assert found["established"].tolist() == [
        *(ESTABLISHED, NOT_ESTABLISHED, NOT_ESTABLISHED),
        *(ESTABLISHED, ESTABLISHED, NOT_ESTABLISHED),
    ]
    assert "0.06 (0.03 in its family)" in found["answer"][1]


def test_of_two_questions_with_one_key_the_first_that_has_rows_is_primary():
    entries = [Finding(f"{i}?", "Yes.", {"branch": str(i)}, table="map", key="sound") for i in range(2)]
    both = pd.concat([table([0.01], [0.1 + i / 10], branch=str(i)) for i in range(2)])
    asked = Asked(primary=("sound",))
    found = findings({"map": both}, entries, asked=asked)
    announced = QUESTIONS["sound"].format(**words_for("emotion"))
    assert found[["question", "primary", "estimate"]].to_numpy().tolist() == [
        *([announced, "primary", 0.1], ["1?", "exploratory", 0.2])
    ]
    found = findings({"map": both[both["branch"] == "1"]}, entries, asked=asked)
    assert found[["question", "primary", "estimate"]].to_numpy().tolist() == [[announced, "primary", 0.2]]


@pytest.mark.parametrize(("contrast", "verdict"), [("emotion", ACCURACY), ("valence", ANOVA)])
def test_the_sound_is_asked_about_as_the_dry_run_announces(contrast, verdict):
    """No judge names ratings: of them the features are asked."""
    stated = {"audio_check": ANOVA, "audio_verdict": verdict}
    rows = {name: table([0.01], [0.5]).assign(statistic=one, feature="tempo") for name, one in stated.items()}
    found = findings(rows, asked=Asked(contrast=contrast, primary=("sound",)))
    first = found[found["primary"] == "primary"]
    assert first["question"].tolist() == [QUESTIONS["sound"].format(**words_for(contrast))]
    assert found["question"].is_unique


def test_what_is_not_established_has_a_bound_over_all_rows():
    """The bound is the largest of the rows', at T = 10 about the upper end of the interval."""
    row = answer(table([0.3, 0.4, 0.5], (0.001, 0.002, 0.0), ci_hi=(0.002, 0.008, 0.005)))
    assert row["upper"] == pytest.approx(0.008, rel=0.02)
    assert row["within_smallest"] == "yes"
    assert "the smallest effect of interest (1.0% of the variance), which is ruled out" in row["answer"]
    row = answer(table([0.3, 0.4, 0.5]))
    assert (row["within_smallest"], row["smallest_effect"]) == ("no", "1.0% of the variance")
    assert "is not ruled out" in row["answer"]
    assert "there is no interval" in answer(table([0.3] * 3, ci_hi=np.nan))["answer"]


def test_chance_is_where_an_effect_begins():
    entry = Finding("Right?", "Yes: {effect}.", table="map", unit="right", chance="labels")
    row = answer(table([0.3] * 3, 0.26, ci_hi=0.28), entry, n_labels=4)
    assert row["effect"] == "26% named right, chance 25%"
    assert row["smallest_effect"] == "30% named right, chance 25%"
    assert row["within_smallest"] == "yes"


def test_an_effect_of_either_sign_is_bounded_on_both_sides():
    entry = Finding("Special?", "Yes.", table="map", signed=True)
    assert answer(table([0.3] * 3, -0.3, ci_hi=-0.1).assign(ci_lo=-0.5), entry)["upper"] == pytest.approx(
        0.5, rel=0.02
    )


def test_controls_stand_below_and_correct_nothing():
    trained = Finding("Text?", "Yes.", {"weights": "trained"}, table="map")
    rows = pd.concat(
        [table([0.03] * 3).assign(weights="trained"), table([0.4] * 3, 0.0).assign(weights="random_init")]
    )
    found = findings(
        {"map": rows}, [trained], controls={"labels shuffled": {"map": rows.assign(p_corrected=0.6)}}
    )
    assert found["control"].tolist() == ["", RANDOM_TWIN, "labels shuffled"]
    assert found["established"].tolist() == [ESTABLISHED, NOT_ESTABLISHED, NOT_ESTABLISHED]
    assert found["p_page"].tolist() == [0.03, 0.4, 0.6]


def test_another_finished_study_is_a_control_by_its_name(tmp_path):
    """As `statistics.controls` lists them: its maps, and those of the study's own shuffled labels."""
    for folder, model in (("control_words", "nano"), ("controls/shuffled", "nano (labels shuffled)")):
        path = tmp_path / folder / "map" / "map.tsv"
        path.parent.mkdir(parents=True)
        write_table(table([0.02] * 3, 0.1).assign(model=model), path)
    controls = read_controls(sorted(map(str, tmp_path.rglob("map.tsv"))))
    found = findings({"map": table([0.001] * 3)}, [ENTRY], controls=controls)
    assert found["control"].tolist() == ["", "control_words, nano", "labels shuffled"]
    assert found["primary"].tolist()[1:] == ["control"] * 2
    assert found["established"].tolist() == [ESTABLISHED] * 3
    assert found["estimate"].tolist() == [0.2, 0.1, 0.1]


def test_rows_of_another_branch_do_not_answer():
    rows = pd.concat([table([0.5, 0.6, 0.7]), table([0.001] * 3, branch="cond")])
    assert answer(rows)["established"] == NOT_ESTABLISHED


def test_no_test_gives_the_reason_and_no_number():
    row = answer(table([np.nan] * 3, null="none: one prompt per emotion"))
    assert row["established"] == NOT_ESTABLISHED
    assert "no test is possible (one prompt per emotion)" in row["answer"]
    assert np.isnan(row["estimate"])
    assert "the study has no uncond: with" in answer(table([0.01] * 3, branch="cond"))["answer"]


def test_a_design_that_cannot_reach_a_twentieth_says_so():
    row = answer(table([0.3, 0.4, 0.5]).assign(min_p=1 / 6))
    assert "no p can be below 0.17" in row["answer"]
    assert "no p can" not in answer(table([0.3, 0.4, 0.5]).assign(min_p=0.05))["answer"]


def test_what_is_not_tested_is_no_finding():
    entry = Finding("How large?", "{range}.", table="map", tested=False)
    row = answer(table([np.nan] * 3), entry)
    assert (row["established"], row["estimate"]) == (NOT_TESTED, 0.2)
    assert row["answer"] == "10.0% to 30.0%."
    assert answer(table([np.nan] * 3, 0.2), entry)["answer"] == "20.0%."


def test_layers_are_counted_by_what_the_answer_claims():
    """By permutation all six of a study held, by sign flips one: the answer is established at one layer."""
    entry = Finding("Where?", "{n_found} of {n_layers}, {effect} in {layer}, {range}.", table="map")
    p, estimate = [0.01, 0.001, 0.04, 0.2], (0.3, 0.2, 0.1, 0.4)
    row = answer(table(p, estimate, flip=(0.02, 0.3, 0.06, 0.01)), entry)
    assert row["answer"] == "1 of 4, 30.0% of the variance in 0, 10.0% to 40.0%."
    assert answer(table(p, estimate, flip=0.3), entry)["answer"].startswith("3 of 4,")
    assert answer(table(p, estimate, flip=np.nan), entry)["answer"].startswith("3 of 4,")


def test_layers_are_counted_with_the_p_that_choosing_costs():
    entry = Finding("Where?", "{n_found} of {n_layers}.", table="map", choices=("branch",))
    rows = pd.concat([table([0.01, 0.02], 0.1, branch=branch) for branch in ("cond", "uncond", "delta")])
    assert answer(rows, entry)["answer"] == "1 of 2."


def test_what_an_absent_effect_licenses_is_said_where_it_is_absent():
    entry = replace(ENTRY, unshown="It licenses nothing.")
    assert "licenses" not in answer(table([0.01] * 3), entry)["answer"]
    assert answer(table([0.3] * 3), entry)["answer"].endswith("Mind <this>. It licenses nothing.")
    assert answer(table([np.nan] * 3, null="none: one"), entry)["answer"].endswith("It licenses nothing.")


def test_an_interval_ends_where_values_do():
    """No share exceeds 1; a share below 0 is an estimate's error, but a correlation is at least -1."""
    rows = table([0.01] * 3, 0.9, ci_hi=1.08).assign(ci_lo=-1.2)
    row = answer(rows)
    assert (row["ci_lo"], row["ci_hi"]) == (-1.2, 1)
    row = answer(rows, replace(ENTRY, unit="r", signed=True))
    assert (row["ci_lo"], row["ci_hi"]) == (-1, 1)


def test_a_smallest_p_that_is_not_known_is_none():
    assert np.isnan(answer(table([0.01] * 3).assign(min_p=np.nan))["min_p"])
    assert np.isnan(answer(table([0.01] * 3).drop(columns="min_p"))["min_p"])


def test_negative_numbers_have_a_minus_and_zero_no_sign():
    entry = Finding("Which way?", "By {effect}, lag {lag}.", table="map", unit="dB", signed=True)
    row = answer(table([0.01], [-2.0]).assign(lag=-3), entry)
    assert row["answer"] == "By −2.0 dB, lag −3."
    assert answer(table([0.01], [-0.01]).assign(lag=0), entry)["effect"] == "0.0 dB"


def test_a_sparse_feature_is_named_by_its_number():
    entry = Finding("Which?", "{effect} in {feature}.", table="map")
    assert answer(table([0.01], [0.5]).assign(feature=79.0), entry)["answer"].endswith("variance in 79.")


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


def test_a_statistic_may_be_absent_for_a_reason_that_the_finding_gives():
    pairs = replace(NAMED, absent="there is one layer")
    rows = table([0.2] * 3).assign(statistic="fall")
    assert "(there is one layer)" in answer(rows, pairs)["answer"]


@pytest.mark.parametrize("column", ["null", "interval"])
def test_a_table_may_say_why_it_lacks_a_statistic(column):
    rows = table([np.nan] * 3, np.nan, null="").assign(statistic="fall", interval="")
    assert "(too few steps)" in answer(rows.assign(**{column: "none: too few steps"}), NAMED)["answer"]


def test_of_several_statistics_one_is_enough():
    """Contrasts of labels and of ratings have statistics of their own; a study has one of them."""
    either = Finding("Is it there?", "Yes.", {"statistic": ["rise", "slope"]}, table="map")
    assert answer(table([0.01] * 3).assign(statistic="slope"), either)["established"] == ESTABLISHED


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


ENTRIES = [(name, entry) for name in ASKING for entry in import_module(name).FINDINGS]


def test_every_question_has_its_own_words_and_a_figure():
    entries = [entry for _, entry in ENTRIES]
    assert len(entries) >= 1
    assert len({entry.question for entry in entries}) == len(entries)
    assert all(entry.figure and not entry.figure.endswith(".svg") for entry in entries)
    assert all(entry.meaning and entry.formula for entry in entries)


@pytest.mark.parametrize(("module", "entry"), ENTRIES, ids=lambda value: getattr(value, "question", ""))
def test_an_answer_names_no_statistic(module, entry):
    """These are for the formula and the meaning, which unfold."""
    said = " ".join((entry.question, entry.sentence, entry.aside, entry.unshown, UNITS[entry.unit].text))
    assert not re.search(r"\bF\b|ω²|R²|CKA|AUC|FVU|ANOVA|CCA|\b[tz] (test|value)", said)


def test_every_question_that_may_be_primary_is_asked_once():
    first = dict(reversed([(entry.key, entry.question) for _, entry in ENTRIES if entry.key]))
    assert first == QUESTIONS


@pytest.mark.parametrize(("module", "entry"), ENTRIES, ids=lambda value: getattr(value, "question", ""))
def test_an_answer_names_the_layer_of_a_plain_effect_and_claims_no_other(module, entry):
    """One layer's value is not that of all; beside it stands at how many layers the answer holds."""
    assert entry.unit in UNITS
    assert entry.meaning
    assert "all layers" not in entry.sentence or not entry.tested
    assert "{n_found}" not in entry.sentence or re.search(r"[Ll]ayers? {layer}", entry.sentence)
    assert "middle" not in entry.sentence + entry.meaning
    assert "{estimate" not in entry.sentence
    assert not entry.tested or "{effect}" in entry.sentence


@pytest.mark.parametrize(("module", "entry"), ENTRIES, ids=lambda value: getattr(value, "question", ""))
def test_an_answer_pays_for_every_family_that_it_chooses_from(module, entry):
    """Columns that name a map, and of which the question does not fix one value, are choices."""
    several = {
        name
        for name in getattr(import_module(module), "MAP_COLUMNS", ())
        if not isinstance(entry.where.get(name), str) and entry.tested
    }
    # Of these two statistics a study has one.
    of_one_study = {"statistic"} if module.endswith("similarity") else set()
    assert several - of_one_study <= set(entry.choices)


@pytest.mark.parametrize("contrast", ["emotion", "arousal", "tempo"])
def test_questions_and_answers_read_with_every_label(contrast):
    words, gap = words_for(contrast), dict.fromkeys(("effect", "range", "n_components"), "1 %")
    gap |= {
        "feature": "rms",
        "target": "arousal",
        "lag": 1,
        "chosen": "1, 2",
        "reading": "never",
        "answer": "rises",
        "moment": "history",
        "ratio": 0.5,
        "distribution": "cond",
        "dose": 0.5,
        "start": "calm",
        "end": "energetic",
        "beside": "random directions make no difference",
    }
    gap |= {"n_found": 1, "n_layers": 6, "layer": 5, "layer_2": 6, "branch": "cond", "window": "whole"}
    gap |= {"statistic": "probe", "measure": "last half"}
    for _, entry in ENTRIES:
        parts = filter(None, (entry.question, entry.sentence, entry.aside, entry.meaning))
        text = " ".join(part.format(**words, **gap) for part in parts)
        assert "  " not in text
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou\W]|\b(\w+) \1\b", text), text
        if contrast != "arousal":
            assert not re.search(r"more similar|similar (emotion|value)|nearer", text), text


def test_tables_of_all_layers_are_read_as_one(tmp_path):
    for layer in range(2):
        write_table(pd.DataFrame({"layer": [layer]}), tmp_path / f"{layer}.tsv")
    paths = [str(tmp_path / f"{layer}.tsv") for layer in range(2)]
    assert read_tables(paths)["layer"].tolist() == [0, 1]
    assert read_tables(paths[1])["layer"].tolist() == [1]
