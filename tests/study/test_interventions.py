"""Which clips a study steers, or why it steers none."""

from pathlib import Path

import pytest
import yaml

from innerear.errors import InputError
from innerear.study.interventions import Condition
from innerear.study.study import Study

ROOT = Path(__file__).parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())


def study(**sections):
    settings = yaml.safe_load((ROOT / "config.yaml").read_text())
    for name, section in sections.items():
        settings[name] = settings.get(name, {}) | section
    return Study.from_settings(settings, SCHEMA)


def test_the_default_study_steers_from_least_to_most_arousal_at_three_depths():
    plan = study().interventions
    assert plan.poles == ("calm", "energetic")
    assert plan.layers == (0, 3, 5)
    assert len(plan.neutral) == 10
    assert plan.seeds["electronic"] == 2
    assert len(plan.drawn_templates) == len(set(plan.drawn_templates)) == 4


def test_every_clip_is_counted_before_anything_runs():
    found = study(interventions={"draws": 19, "draw_templates": 2, "control": False})
    plan = found.interventions
    conditions = list(plan.conditions())
    assert conditions[0] == Condition("none")
    assert len(conditions) == len(set(conditions)) == 1 + 4 + 2 * 2
    assert {one.dose for one in conditions if one.source == "means"} == {0.25, 0.5, -0.25, -0.5}
    assert len(list(plan.draws())) == 2 * 19
    assert plan.n_steered == 9 * 10 + 2 * 19 * 2
    assert plan.n_clips(4) == 3 * plan.n_steered + 4 * 4 * 10
    assert f"steered   {plan.n_clips(4):,} clips from calm to energetic" in found.announcement


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


def test_too_few_templates_are_a_remark_and_a_control_of_labels_has_no_clips():
    two = yaml.safe_load((ROOT / "config.yaml").read_text())["prompts"]["templates"][:2]
    few = study(prompts={"templates": two})
    assert few.interventions is None
    assert "steered   nothing: templates with each emotion once and a neutral text: 2;" in few.announcement
    shuffled = study(statistics={"shuffle_labels": True})
    assert shuffled.interventions is None
    assert "steered" not in shuffled.announcement
    off = study(interventions={"enabled": False})
    assert off.interventions is None
    assert "steered" not in off.announcement


@pytest.mark.parametrize(
    ("key", "value"),
    [("doses", [0]), ("draws", 5), ("sources", ["features"]), ("branches", []), ("poles", ["a"])],
)
def test_values_out_of_range_are_refused(key, value):
    with pytest.raises(InputError, match=rf"interventions\.{key}"):
        study(interventions={key: value})
