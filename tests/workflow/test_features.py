"""Dictionaries of a corpus study encode another study, all of whose clips are then held out."""

import pytest
import yaml
from safetensors import safe_open

from innerear.io.tables import read_table
from innerear.stacks import GramFile

CORPUS = {
    "study": "corpus",
    "model": {"name": "nano"},
    "prompts": {
        "templates": [
            {"id": f"t{i}", "text": f"a {{emotion}} {form} for piano"}
            for i, form in enumerate(("song", "tune"))
        ],
        "emotions": [{"id": "gloomy"}, {"id": "playful"}],
    },
    "seeds": [0],
    "generation": {"duration": 1},
    "capture": {"layers": [0]},
    "counterfactual": {"enabled": False},
    "gram": {"bins": 5},
    "statistics": {"permutations": 19, "bootstraps": 20},
    "features": {
        "enabled": True,
        "layers": [0],
        "n_latents": 12,
        "k": 2,
        "steps": 20,
        "seeds": 2,
        "twin": False,
    },
}
ENCODED = CORPUS | {
    "study": "encoded",
    "prompts": {
        "templates": [
            {"id": "band", "text": "{emotion} music for a band"},
            {"id": "film", "text": "{emotion} film music"},
        ],
        "emotions": [{"id": "sad"}, {"id": "happy"}],
    },
    "features": {"enabled": True, "layers": [0], "dictionaries": "corpus"},
}
ALSO = ["results/encoded/features/splices.tsv", "results/encoded/map.html"]


@pytest.fixture(scope="module")
def encoded(tmp_path_factory, workflow_in):
    workflow = workflow_in(tmp_path_factory.mktemp("corpus"))
    for settings, targets in (
        (CORPUS, ["results/corpus/features/measures/layer_00.tsv"]),
        (ENCODED, ["results/encoded/features/map.tsv", *ALSO]),
    ):
        (workflow.folder / "config.yaml").write_text(yaml.safe_dump(settings))
        done = workflow.snakemake("--cores", "2", "--", *targets)
        assert done.returncode == 0, done.stderr
    return workflow.results


def test_the_dictionaries_are_those_of_the_corpus(encoded):
    name = "features/dictionaries/uncond/layer_00/seed-0/sae_weights.safetensors"
    with safe_open(encoded / name, "np") as one, safe_open(encoded.parent / "corpus" / name, "np") as other:
        assert (one.get_tensor("W_dec") == other.get_tensor("W_dec")).all()


def test_all_clips_are_held_out(encoded):
    with GramFile(encoded / "features/clips/layer_00.h5") as clips:
        assert not clips.read("training").any()
    measures = read_table(encoded / "features/measures/layer_00.tsv")
    assert set(measures["clips"]) == {"held-out clips"}
    tested = read_table(encoded / "features/map.tsv")
    assert tested["n_prompts"].max() == 4
    assert set(read_table(encoded / "features/splices.tsv")["n_clips"]) == {4}


@pytest.mark.parametrize(("memory", "again"), [(5, 0), (0.001, 0), (1e-6, 1)])
def test_room_for_states_trains_again_only_where_it_is_too_little_for_all(
    encoded, workflow_in, memory, again
):
    workflow = workflow_in(encoded.parents[1])
    workflow.configure(features=ENCODED["features"] | {"memory_gb": memory})
    planned = workflow.planned("results/encoded/features/measures/layer_00.tsv")
    workflow.configure(features=ENCODED["features"])
    assert planned.get("dictionaries", 0) == again


def test_a_study_that_has_not_run_is_named(fresh):
    changed = {**ENCODED["features"], "dictionaries": "another"}
    (fresh.folder / "config.yaml").write_text(yaml.safe_dump(ENCODED | {"features": changed}))
    done = fresh.snakemake("--cores", "2", "--dry-run", "--", "results/encoded/features/map.tsv")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "features.dictionaries: results/another has no dictionaries" in said
    assert "all_features" in said


def test_the_map_shows_where_features_fire(encoded):
    page = (encoded / "map.html").read_text(encoding="utf-8")
    assert 'class="array" data-name="features"' in page
    assert page.count('"named": ') == 12
