"""Dictionaries of a corpus study encode another study, all of whose clips are then held out."""

import os
import shutil

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
MEASURES = "results/encoded/features/measures/layer_00.tsv"
ALSO = ["results/encoded/features/splices.tsv", "results/encoded/map.html"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, workflow_in):
    workflow = workflow_in(tmp_path_factory.mktemp("corpus"))
    for settings, targets in (
        (CORPUS, ["results/corpus/features/measures/layer_00.tsv"]),
        (ENCODED, ["results/encoded/features/map.tsv", *ALSO]),
    ):
        (workflow.folder / "config.yaml").write_text(yaml.safe_dump(settings))
        done = workflow.snakemake("--cores", "2", "--", *targets)
        assert done.returncode == 0, done.stderr
    return workflow


@pytest.fixture(scope="module")
def encoded(finished):
    return finished.results


@pytest.fixture
def corpus(finished):
    """The corpus' dictionaries, to change; the folder as it was, with its times, comes back."""
    folder = finished.folder / "results/corpus/features/dictionaries"
    assert finished.planned(MEASURES) == {}
    shutil.copytree(folder, finished.folder / "kept")
    yield folder
    shutil.rmtree(folder)
    (finished.folder / "kept").rename(folder)
    (finished.folder / "config.yaml").write_text(yaml.safe_dump(ENCODED))


def put_an_older_one_in_its_place(folder):
    weights = folder / "uncond/layer_00/seed-0/sae_weights.safetensors"
    weights.write_bytes((folder / "uncond/layer_00/seed-1/sae_weights.safetensors").read_bytes())
    os.utime(weights, (1e9, 1e9))


def cut_one(folder):
    weights = folder / "delta/layer_00/seed-0/sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def remove_a_seed(folder):
    shutil.rmtree(folder / "uncond/layer_00/seed-1")


def remove_delta(folder):
    shutil.rmtree(folder / "delta")


@pytest.mark.parametrize("change", [put_an_older_one_in_its_place, cut_one, remove_a_seed, remove_delta])
def test_changed_dictionaries_encode_the_clips_again(finished, corpus, change):
    change(corpus)
    assert finished.planned(MEASURES) == {"dictionaries": 1}


def test_changes_of_other_files_of_the_corpus_do_not_matter(finished, corpus):
    for of in ("gaussian/layer_00", "uncond/layer_00"):
        (corpus / of / ".snakemake_timestamp").touch()
    (corpus / "uncond/layer_01/seed-0").mkdir(parents=True)
    assert finished.planned(MEASURES) == {}


def test_weights_that_are_gone_are_named_by_the_plan(finished, corpus):
    (corpus / "delta/layer_00/seed-0/sae_weights.safetensors").unlink()
    done = finished.snakemake("--dry-run", "--", MEASURES)
    assert done.returncode != 0
    assert "results/corpus/features/dictionaries/delta/layer_00/seed-0/sae_weights.safetensors" in done.stdout


@pytest.mark.parametrize("named", ["encoded", "./results/encoded"])
def test_a_study_that_names_itself_keeps_its_dictionaries(finished, corpus, named):
    before = finished.contents()
    changed = {**ENCODED["features"], "dictionaries": named}
    finished.configure(features=changed)
    done = finished.snakemake("--cores", "1", "--", MEASURES)
    assert done.returncode != 0 and "is the study's own, which it makes anew" in done.stdout + done.stderr
    assert finished.contents() == before


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


def test_its_own_dictionaries_under_other_names_are_refused(finished):
    # The last one here: a job that fails takes the table with it.
    own = finished.results / "features/dictionaries/uncond/layer_00"
    for one, other in (("seed-0", "away"), ("seed-1", "seed-0"), ("away", "seed-1")):
        (own / one).rename(own / other)
    done = finished.snakemake("--cores", "1", "--force", "--", "results/encoded/features/splices.tsv")
    for one, other in (("seed-0", "away"), ("seed-1", "seed-0"), ("away", "seed-1")):
        (own / one).rename(own / other)
    assert done.returncode != 0
    assert (
        "it was written as encoded/features/dictionaries/uncond/layer_00/seed-1" in done.stdout + done.stderr
    )
