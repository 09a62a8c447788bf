"""Seeds of all prompts, or of each template alone."""

from itertools import product

import pytest

from innerear.errors import InputError
from innerear.study.prompts import Prompt
from innerear.study.sample_settings import study_settings
from innerear.study.seeds import seeds_of_prompts
from innerear.study.study import Study

from .conftest import DEFAULT, SCHEMA


def prompts_of(*templates):
    crossed = product(("happy", "sad"), templates)
    return [Prompt(f"{t}-{emotion}", f"{t} {emotion}", t, emotion) for emotion, t in crossed]


def seeds(section, *templates):
    """Seeds by template; a template is an id, or (id, its own seeds)."""
    named = [one if isinstance(one, tuple) else (one, None) for one in templates]
    settings = [{"id": name} | ({} if own is None else {"seeds": own}) for name, own in named]
    prompts = prompts_of(*(name for name, _ in named))
    found = seeds_of_prompts(section, prompts, settings)
    assert list(found) == [prompt.id for prompt in prompts]
    return {prompt.template: found[prompt.id] for prompt in prompts}


def test_a_list_holds_the_seeds_of_all_prompts():
    assert seeds([7, 3], "a", "b") == {"a": [7, 3], "b": [7, 3]}


def test_each_template_has_the_next_seeds():
    assert seeds({"each_template": 3}, "a", "b") == {"a": [0, 1, 2], "b": [3, 4, 5]}


def test_a_template_inserted_with_its_own_seeds_changes_no_other():
    before = seeds({"each_template": 2}, "a", ("b", [2, 3]))
    after = seeds({"each_template": 2}, "a", ("new", [4, 5]), ("b", [2, 3]))
    assert after == before | {"new": [4, 5]}


def test_a_template_more_at_a_sheets_end_changes_no_other(tmp_path):
    def sheet(*rows):
        lines = ["id\ttext\temotion\ttemplate", *(f"{t}-{e}\t{e} {t}\t{e}\t{t}" for e, t in rows)]
        (tmp_path / "sheet.tsv").write_text("\n".join(lines))
        prompts = {"sheet": str(tmp_path / "sheet.tsv"), "templates": [], "emotions": []}
        settings = {"study": "s", "model": {"name": "nano"}, "generation": {"duration": 1}}
        settings |= {"prompts": prompts, "seeds": {"each_template": 2}}
        return Study.from_settings(settings, SCHEMA).seeds

    rows = [("happy", "a"), ("sad", "b")]
    before = sheet(*rows)
    assert before == {"a-happy": [0, 1], "b-sad": [2, 3]}
    assert sheet(*rows, ("happy", "c")) == before | {"c-happy": [4, 5]}


@pytest.mark.parametrize(
    ("section", "templates", "message"),
    [
        ([5, 6, 5], ("a",), "entries 1 and 3 are both 5"),
        ({"each_template": 2}, ("a", ("b", [1, 2])), "'a' and 'b' would both have seed 1"),
        ({"each_template": 2}, (("a", [9]), "b"), "'a': seeds: 1 are given, but seeds.each_template is 2"),
        ({"each_template": 2}, (("a", [9, 9]), "b"), "entries 1 and 2 are both 9"),
        ([0, 1], ("a", ("b", [2, 3])), "'b' names seeds of its own, but seeds lists those of all"),
        ({"each_template": 2}, ("",), "have no templates; name one for each, or list the seeds"),
        (range(600_000), ("a",), "more than 1,000,000 samples"),
    ],
)
def test_seeds_that_cannot_be_used_are_refused(section, templates, message):
    with pytest.raises(InputError, match=message):
        seeds(section, *templates)


def test_the_default_study_has_ten_templates_of_two_seeds_each():
    study = Study.from_settings(DEFAULT, SCHEMA)
    by_template = {}
    for sample in study.samples:
        by_template.setdefault(sample.prompt.template, set()).add(sample.seed)
    assert list(by_template.values()) == [{2 * k, 2 * k + 1} for k in range(10)]
    assert study.own_seeds
    assert len(study.samples) == study.estimate.n_samples == 80
    assert {len(block.texts) for block in study.swaps.blocks.values()} == {6}


def test_the_default_templates_fit_every_emotion_word():
    for sample in Study.from_settings(DEFAULT, SCHEMA).samples:
        assert " a e" not in f" {sample.prompt.text}"
    others = [
        template.get("neutral", "") + template["paraphrase"] for template in DEFAULT["prompts"]["templates"]
    ]
    assert not any("a {emotion}" in f" {text}" for text in others)


def test_settings_of_samples_are_of_their_own_seeds():
    prompts = [{"id": f"{t}-happy", "text": t, "template": t, "emotion": "happy"} for t in "ab"]
    settings = study_settings(prompts, {"a-happy": [0], "b-happy": [1]}, study="s", capture={}, generation={})
    assert list(settings) == ["a-happy/seed-0", "b-happy/seed-1"]


def test_a_published_comparison_needs_the_same_seeds():
    templates = [{"id": one, "text": one + " {emotion}"} for one in ("a", "b")]
    emotions = [{"id": "happy"}]
    settings = DEFAULT | {"prompts": {"templates": templates, "emotions": emotions}, "replication": True}
    with pytest.raises(InputError, match=r"replication: .*list the seeds of all prompts"):
        Study.from_settings(settings, SCHEMA)
