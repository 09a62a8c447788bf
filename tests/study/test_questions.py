"""The primary questions are named before anything runs, with the reason where one cannot be answered."""

import pytest

from innerear.errors import InputError
from innerear.statistics.finding import SMALLEST_EFFECTS, UNITS
from innerear.study.questions import QUESTIONS, words_for
from innerear.study.study import Study

from .conftest import DEFAULT, SCHEMA

STATISTICS = SCHEMA["properties"]["statistics"]["properties"]


def announcement(**changes):
    return Study.from_settings(DEFAULT | changes, SCHEMA).announcement


def test_the_dry_run_names_three_questions():
    said = announcement()
    for key in ("sound", "uncond", "text"):
        assert QUESTIONS[key].format(**words_for("emotion")) in said
    assert QUESTIONS["history"] not in said
    assert "cannot be answered" not in said


def test_a_question_that_the_study_cannot_answer_says_why():
    said = announcement(counterfactual={"enabled": False}, generation={"guidance": None, "duration": 1})
    assert "(cannot be answered: counterfactual.enabled is false)" in said
    assert "(cannot be answered: without guidance there is no uncond)" in said


def test_one_seed_or_one_emotion_answers_nothing_about_the_text():
    said = announcement(seeds=[0], statistics={"primary": ["text", "tokens"]})
    assert said.count("cannot be answered") == 1
    assert f"{QUESTIONS['text']} (cannot be answered: it compares seeds, and there is one)" in said
    prompts = {"templates": [{"id": "a", "text": "{emotion} a"}], "emotions": [{"id": "calm"}]}
    said = announcement(prompts=prompts, statistics={"primary": ["tokens"]})
    assert "(cannot be answered: no template has texts to swap)" in said


def test_a_study_may_name_its_own_questions_and_none_that_there_is_not():
    said = announcement(statistics={"primary": ["history"]})
    assert QUESTIONS["history"] in said
    assert QUESTIONS["sound"].format(**words_for("emotion")) not in said
    with pytest.raises(InputError, match="primary"):
        announcement(statistics={"primary": ["mood"]})


def test_the_schema_knows_all_questions_and_the_smallest_effects():
    assert set(STATISTICS["primary"]["items"]["enum"]) == set(QUESTIONS)
    smallest = STATISTICS["smallest_effect"]["properties"]
    assert {name: part["default"] for name, part in smallest.items()} == dict(SMALLEST_EFFECTS)
    assert {unit.kind for unit in UNITS.values()} - {""} == set(SMALLEST_EFFECTS)
