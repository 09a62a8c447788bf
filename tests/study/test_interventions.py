"""Which clips a study steers, or why it steers none."""

from copy import deepcopy

import pytest

from innerear.errors import InputError
from innerear.study.interventions import Condition
from innerear.study.study import Study

from .conftest import DEFAULT, SCHEMA


def study(**sections):
    settings = deepcopy(DEFAULT)
    for name, section in sections.items():
        settings[name] = settings.get(name, {}) | section
    return Study.from_settings(settings, SCHEMA)


def test_the_default_study_steers_from_least_to_most_arousal_at_three_depths():
    plan = study().interventions
    assert plan.poles == ("calm", "energetic")
    assert plan.layers == (0, 3, 5)
    assert len(plan.neutral) == 10
    assert plan.seeds["electronic"] == 2
    assert len(plan.drawn_templates) == len(set(plan.drawn_templates)) == 3


def test_every_clip_is_counted_before_anything_runs():
    found = study(interventions={"draws": 19, "draw_templates": 2, "control": False})
    plan = found.interventions
    conditions = list(plan.conditions())
    assert conditions[0] == Condition("none")
    assert len(conditions) == len(set(conditions)) == 1 + 4 + 2 * 3
    assert {one.dose for one in conditions if one.source == "means"} == {0.25, 0.5, -0.25, -0.5}
    assert len(list(plan.draws())) == 2 * 19
    assert plan.n_steered == 9 * 10 + 2 * 6 + 2 * 19 * 2
    assert plan.n_clips(4) == 3 * plan.n_steered + 4 * 4 * 10
    assert f"steered   {plan.n_clips(4):,} clips from calm to energetic" in found.announcement


def test_steered_clips_are_as_long_as_the_studys_or_as_asked():
    def seconds(duration, asked):
        found = study(generation={"duration": duration}, interventions={"duration": asked})
        assert f"10 neutral texts for {found.interventions.settings['duration']:g} s," in found.announcement
        return found.interventions.settings["duration"]

    assert seconds(4, None) == seconds(4, 6) == 4
    assert seconds(4, 2.5) == 2.5


def test_the_random_twin_is_counted_where_there_is_one():
    trained, twin = (study(model={"random_init": random}).interventions for random in (False, True))
    assert trained.settings["control"]
    assert not twin.settings["control"]
    assert trained.n_clips(4) - twin.n_clips(4) == 3 * 3 * 10


def test_layers_are_those_that_are_recorded():
    assert study(capture={"layers": [1, 4]}).interventions.layers == (1, 4)
    assert study(interventions={"layers": [5, 2]}).interventions.layers == (2, 5)
    with pytest.raises(InputError, match=r"interventions\.layers: \[2\] are not recorded"):
        study(capture={"layers": [1, 4]}, interventions={"layers": [2, 4]})


def test_poles_are_emotions_of_the_study():
    assert study(interventions={"poles": ["sad", "happy"]}).interventions.poles == ("sad", "happy")
    with pytest.raises(InputError, match=r"no prompt is 'clam' \(did you mean 'calm'\?\)"):
        study(interventions={"poles": ["clam", "happy"]})
    with pytest.raises(InputError, match="both are 'sad'"):
        study(interventions={"poles": ["sad", "sad"]})
    unrated = {"emotions": [{"id": "gentle"}, {"id": "wild"}]}
    assert study(prompts=unrated).interventions.poles == ("gentle", "wild")


def test_single_branches_are_steered_beside_both():
    assert study(interventions={"branches": ["both", "cond"]}).interventions
    with pytest.raises(InputError, match=r"interventions\.branches: \['cond'\] lacks both"):
        study(interventions={"branches": ["cond"]})


def test_one_branch_has_no_delta_and_is_edited_as_it_runs():
    plan = study(generation={"guidance": None}, counterfactual={"enabled": False}).interventions
    assert plan.settings["sources"] == ["means", "probe"]
    assert plan.settings["branches"] == ["both"]


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"generation": {"guidance": None}, "interventions": {"sources": ["means"]}}, []),
        (
            {"capture": {"branches": ["uncond"]}, "interventions": {"sources": ["delta"]}},
            ["not along delta: uncond alone is recorded; along means in its place"],
        ),
        (
            {
                "generation": {"guidance": None},
                "interventions": {"sources": ["delta", "probe"], "branches": ["uncond"]},
            },
            ["not along delta: cond alone is recorded", "not in uncond apart: cond alone is recorded"],
        ),
        (
            {"features": {"enabled": False}, "interventions": {"sources": ["features"]}},
            ["not along features: the study has no dictionaries; along means in its place"],
        ),
        (
            {"capture": {"branches": ["cond"]}, "interventions": {"sources": ["features", "delta"]}},
            ["not along features: ", "not along delta: cond alone is recorded; along means in its place"],
        ),
    ],
)
def test_what_is_edited_in_place_of_what_was_asked_for_is_said(sections, said):
    sections["interventions"] |= {"branches": sections["interventions"].get("branches", ["both"])}
    text = study(**sections, counterfactual={"enabled": False}).announcement
    assert [line for line in said if f"\n            {line}" not in text] == []
    assert text.count("not along") + text.count("not in ") == len(said)


def test_too_few_templates_are_a_remark_and_a_control_of_labels_has_no_clips():
    two = DEFAULT["prompts"]["templates"][:2]
    few = study(prompts={"templates": two})
    assert few.interventions is None
    assert "steered   nothing: templates with each emotion once and a neutral text: 2;" in few.announcement
    shuffled = study(statistics={"shuffle_labels": True})
    assert shuffled.interventions is None
    assert "steered   nothing: with statistics.shuffle_labels the study is a control" in shuffled.announcement
    off = study(interventions={"enabled": False})
    assert off.interventions is None
    assert "steered" not in off.announcement


FEATURES = {"sources": ["means", "features"], "draws": 19, "draw_templates": 2}


def test_features_steer_templates_that_their_dictionaries_have_not_seen():
    plan = study(interventions=FEATURES).interventions
    assert plan.seen == ("piano", "electronic", "guitar", "orchestral")  # the first .4 of ten
    scored = {template for condition, template in plan.clips() if condition.source == "features"}
    assert scored == set(plan.scored("features")) == set(plan.neutral) - set(plan.seen)
    assert set(plan.scored("means")) == set(plan.neutral)
    assert not set(plan.drawn_templates) & set(plan.seen)
    assert plan.n_steered == 5 * 10 + 2 * 6 + 2 * 19 * 2


def test_finished_dictionaries_say_what_they_have_seen(tmp_path):
    for layer in (0, 3, 5):
        folder = tmp_path / f"uncond/layer_{layer:02d}/seed-0"
        folder.mkdir(parents=True)
        (folder / "cfg.json").write_text('{"metadata": {"training_prompts": ["song-calm", "elsewhere"]}}')
    found = study(interventions=FEATURES, features={"dictionaries": str(tmp_path)})
    assert found.interventions.seen == ("song",)
    # A published one says nothing.
    (tmp_path / "uncond/layer_00/seed-0/cfg.json").write_text("{}")
    assert study(interventions=FEATURES, features={"dictionaries": str(tmp_path)}).interventions


@pytest.mark.parametrize(
    ("sections", "why"),
    [
        ({"features": {"enabled": False}}, "the study has no dictionaries"),
        ({"features": {"layers": [0, 3]}}, r"layer 5 has no dictionary (features.layers: [0, 3])"),
        ({"interventions": FEATURES | {"layers": [1]}}, "layer 1 has no dictionary"),
        ({"features": {"train_share": 0.9}}, "dictionaries were trained on all but 1 of the templates"),
        ({"features": {"train_share": 0.8}}, "dictionaries were trained on all but 2 of the templates"),
        ({"generation": {"duration": 0.2}}, "the study has no dictionaries"),
    ],
)
def test_where_features_cannot_steer_the_others_do_and_the_study_says_why(sections, why):
    found = study(**{"interventions": FEATURES, **sections})
    plan = found.interventions
    assert (plan.settings["sources"], plan.seen) == (["means"], ())
    assert f"not along features: {why}" in found.announcement
    assert (
        plan.drawn_templates
        == study(interventions=FEATURES | {"sources": ["means"]}).interventions.drawn_templates
    )


def test_features_are_not_missed_where_nobody_asked_for_them():
    found = study(interventions=FEATURES | {"sources": ["means"]}, features={"enabled": False})
    assert "features" not in found.announcement


def test_random_directions_take_templates_that_dictionaries_saw_where_there_are_too_few_others():
    plan = study(interventions=FEATURES | {"draw_templates": 6}, features={"train_share": 0.7}).interventions
    assert len(set(plan.drawn_templates)) == 6
    assert set(plan.drawn_templates) > set(plan.neutral) - set(plan.seen)


def test_features_are_not_the_first_source():
    with pytest.raises(InputError, match="features comes first"):
        study(interventions={"sources": ["features"]})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("doses", [0]),
        ("draws", 5),
        ("sources", ["feature"]),
        ("branches", []),
        ("poles", ["a"]),
        ("duration", 0.2),
    ],
)
def test_values_out_of_range_are_refused(key, value):
    with pytest.raises(InputError, match=rf"interventions\.{key}"):
        study(interventions={key: value})


def test_emotions_of_equal_arousal_have_the_first_and_the_last_as_poles(settings):
    for emotion in settings["prompts"]["emotions"]:
        emotion["arousal"] = 0.5
    names = [emotion["id"] for emotion in settings["prompts"]["emotions"]]
    assert Study.from_settings(settings, SCHEMA).interventions.poles == (names[0], names[-1])


def test_one_edited_layer_is_ablated_once():
    one, three = (study(interventions={"layers": layers}).interventions for layers in ([3], [0, 3, 5]))
    assert one.ablated == {"3": [3]}
    assert three.ablated == {"3": [3], "all": [0, 3, 5]}
    assert one.n_clips(4) == one.n_steered + 2 * 4 * 10 + 3 * 10
