"""A small study on nano with interventions, from clips to the page, and what their plan reruns."""

import hashlib
import json
import re

import pytest
import yaml

from innerear.analyses.listening_test import AGAINST
from innerear.io.tables import read_table

from .conftest import Workflow

WORDS = ("piano", "electronic", "guitar")
SMALL = {
    "study": "edited",
    "prompts": {
        "templates": [{"id": word, "text": f"{{emotion}} {word} music"} for word in WORDS],
        "emotions": [{"id": "calm"}, {"id": "energetic"}],
    },
    "seeds": {"each_template": 1},
    "generation": {"duration": 1},
    "capture": {"layers": [0, 5]},
    "counterfactual": {"enabled": False},
    "statistics": {"permutations": 49, "bootstraps": 50},
    "interventions": {
        "enabled": True,
        "sources": ["means"],
        "doses": [0.5],
        "draws": 19,
        "draw_templates": 1,
    },
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The study after its interventions have run."""
    folder = tmp_path_factory.mktemp("edited")
    (folder / "config.yaml").write_text(yaml.safe_dump(SMALL))
    workflow = Workflow(folder)
    done = workflow.snakemake("--cores", "2", "all_steering", "results/edited/listening_test.html")
    assert done.returncode == 0, done.stderr[-3000:]
    return workflow


def test_every_clip_of_the_plan_is_composed_and_tested(study):
    steered = read_table(study.results / "interventions/trained/steered/layer_00.tsv")
    assert len(steered) == 3 * len(WORDS) + 2 * 19
    assert (steered["reason"].fillna("") == "").mean() > 0.9
    table = read_table(study.results / "interventions/map.tsv")
    assert {"trained", "random_init"} == set(table["weights"])
    assert {"effect of steering", "cost", "accuracy", "cost of patched states"} <= set(table["statistic"])
    effects = table[(table["statistic"] == "effect of steering") & (table["weights"] == "trained")]
    assert (effects["min_p"] == 1 / 20).all()
    assert effects["p_flip"].isna().all()


def test_the_last_layer_patched_is_the_other_text(study):
    patched = read_table(study.results / "interventions/patched.tsv")
    keys = ["layer", "differs", "window", "template", "emotion"]
    nll = patched.fillna({"differs": ""}).set_index(keys)["nll"].sort_index()
    assert (nll["5", "text", "whole"] - nll["none", "text", "whole"]).abs().max() < 1e-4


def test_figures_and_page_are_there(study):
    assert {path.stem for path in (study.results / "figures").glob("*.svg")} == {
        "steering",
        "ablation",
        "patching",
    }
    page = (study.results / "steering.html").read_text()
    assert page.count('class="sound"') == 2 * 2 + 1


def test_the_listening_test_asks_about_steered_clips(study):
    trials = json.loads((study.results / "listening/key.json").read_text())["trials"]
    steering = [one for one in trials if one["task"] == "steering"]
    assert {one["task"] for one in trials} == {"steering"}  # Three templates are too few to compare labels.
    # Of each of two layers one template's clips at either dose, and a quarter as many controls.
    assert sorted(one["group"] for one in steering if not one["control"]) == ["layer 0"] * 2 + ["layer 5"] * 2
    assert sum(one["control"] for one in steering) == 1


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"batch_size": 4}, set()),
        ({"draws": 20}, {"steer"}),
        ({"draw_templates": 2}, {"steer"}),
        ({"doses": [0.25, 0.5]}, {"steer"}),
        ({"doses": [1.0]}, {"steer", "steer_twin"}),
        ({"duration": 0.5}, {"steer", "steer_twin", "ablate"}),
        # Ablation reads the file of directions, which holds the subspace as well.
        ({"sources": ["means", "probe"]}, {"directions", "steer", "ablate"}),
    ],
)
def test_a_changed_setting_remakes_what_depends_on_it_and_no_clip_of_the_study(study, change, again):
    study.configure(interventions=SMALL["interventions"] | change)
    try:
        planned = study.planned("all_steering")
    finally:
        study.configure(interventions=SMALL["interventions"])
    assert planned.keys() & {"directions", "steer", "steer_twin", "ablate", "patch"} == again
    assert planned.keys().isdisjoint({"generate", "gate"})
    assert bool(planned) == bool(again)


def test_answers_are_scored_by_the_page_that_was_handed_out(study):
    """A study that has changed since would make another page, and does not."""
    page, results = (study.results / "listening_test.html").read_text(), study.results
    trials = json.loads((results / "listening/key.json").read_text())["trials"]
    body = json.dumps(
        {
            "page": re.search(r'data-page="(\w+)"', page)[1],
            "listener": "ann",
            "answers": [{"trial": i, "choice": one["answer"]} for i, one in enumerate(trials)],
        }
    )
    (results / "responses").mkdir()
    file = json.dumps({"body": body, "sha256": hashlib.sha256(body.encode()).hexdigest()})
    (results / "responses/ann.JSON").write_text(file)
    before = study.config
    study.configure(statistics=before["statistics"] | {"seed": 1})
    scores = "results/edited/listening/scores.tsv"
    assert study.planned(scores) == {"score": 1}
    assert "listening_test" in study.planned("results/edited/listening_test.html")
    # Whoever makes another page loses no answer.
    done = study.snakemake("--cores", "2", "results/edited/listening_test.html", scores)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (results / "listening_test.html").read_text() != page
    found = read_table(results / "listening/scores.tsv")
    assert (found["right"] == found["n_trials"])[found["group"] != AGAINST].all()
    study.configure(statistics=before["statistics"])
