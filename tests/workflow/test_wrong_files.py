"""The wrong file under the right name, in the results of a finished study: refused by whoever reads it."""

import os
import shutil

import pytest
import yaml
from sealed import edited

from innerear.capture.checks import check_samples
from innerear.errors import InputError
from innerear.gram.layer_pass import stacks_gram
from innerear.io.tables import read_table, read_tables
from innerear.results import open_study
from innerear.stacks import GramFile, Stack, open_layers, open_templates
from innerear.stacks.index import sample_table
from innerear.statistics.design.file import read_design
from innerear.study.prompts import Prompt
from innerear.study.sample_settings import study_settings

ONE, OTHER = "stacks/band-calm/seed-0.h5", "stacks/band-calm/seed-1.h5"


@pytest.fixture
def results(finished, tmp_path, monkeypatch):
    """A copy of the finished study, from the folder of which its files are read."""
    shutil.copytree(
        finished.folder, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".snakemake")
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results/tiny"


def exchange(one, other):
    """Exchange two files and keep their times."""
    times = [(path.stat().st_atime_ns, path.stat().st_mtime_ns) for path in (one, other)]
    one.rename(one.with_name("aside"))
    other.rename(one)
    one.with_name("aside").rename(other)
    for path, time in zip((one, other), times, strict=True):
        os.utime(path, ns=time)


def put(source, target):
    target.write_bytes(source.read_bytes())


def index(results):
    return read_table(results / "samples.tsv")


def gram(results):
    samples = read_table(results / "qc/samples.tsv")
    return stacks_gram(samples["stack"], samples["sample_id"], 5, contents=samples["content_sha256"])


def all_readers(results):
    """Read every file that later rules read, as they do."""
    samples = read_table(results / "qc/samples.tsv")
    read_tables([str(path) for path in results.rglob("tables/layers_*.tsv")])
    read_design(samples, results / "design/permutations.h5")
    grams = [results / f"gram/layer_{layer:02d}.h5" for layer in (0, 5)]
    for paths in (grams, [results / "discriminability/folds/00-05"], [results / "similarity/matrices/00-05"]):
        with open_layers(paths, samples) as layers:
            assert list(layers) == [0, 5]
    cells = read_table(results / "counterfactual/trained.tsv")
    for layer in (0, 5, None):
        with open_templates(cells, layer, samples) as files:
            assert len(files) == 2


def test_the_whole_study_is_read(results):
    all_readers(results)
    check_samples(index(results))
    gram(results)


def test_two_stacks_exchanged_with_their_times_are_refused_by_every_reader(results):
    samples = index(results)
    exchange(results / ONE, results / OTHER)
    for read in (
        lambda: gram(results),
        lambda: check_samples(samples),
        lambda: sample_table(samples["stack"].tolist(), results / "audio"),
        lambda: Stack(results / OTHER),
        lambda: open_study(results).states("band-calm", 0, 5),
    ):
        with pytest.raises(InputError, match=r"band-calm/seed-\d\.h5.*(another file|index lists).*--force"):
            read()


def test_a_run_after_that_stops_with_the_name_of_the_stack(results, workflow_in):
    exchange(results / ONE, results / OTHER)
    workflow = workflow_in(results.parents[1])
    done = workflow.snakemake("--cores", "1", "--forcerun", "gram", "--until", "gram")
    assert done.returncode != 0
    assert "stacks/band-calm/seed-0.h5: its content hash is" in done.stderr
    assert "Traceback" not in done.stderr


def of_study(results):
    config = yaml.safe_load((results.parents[1] / "config.yaml").read_text())
    with Stack(results / ONE) as stack:
        made = yaml.safe_load(stack.attrs["settings"])
    prompts = [
        Prompt(
            f"{t['id']}-{e['id']}",
            t["text"].format(emotion=e["id"]),
            t["id"],
            e["id"],
            e["valence"],
            e["arousal"],
        )
        for e in config["prompts"]["emotions"]
        for t in config["prompts"]["templates"]
    ]
    fields = [{k: v for k, v in vars(prompt).items() if k != "label"} for prompt in prompts]
    return study_settings(
        fields,
        {prompt.id: config["seeds"] for prompt in prompts},
        study="tiny",
        capture=made["capture"],
        generation=made["generation"],
    )


def test_a_stack_of_other_settings_is_refused_by_the_index(results):
    samples, wanted = index(results), of_study(results)
    paths = samples["stack"].tolist()
    assert len(sample_table(paths, results / "audio", settings=wanted)) == 8
    with edited(results / ONE) as file:
        file.attrs["settings"] = (
            file.attrs["settings"].decode().replace('"temperature": 1.0', '"temperature": 0.3')
        )
    with pytest.raises(
        InputError, match=r"other settings than the study's: generation\.temperature is 0\.3, not 1"
    ):
        sample_table(paths, results / "audio", settings=wanted)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("gram/layer_00.h5", "gram/layer_05.h5"),
        ("similarity/matrices/00-05/layer_00.h5", "discriminability/folds/00-05/layer_00.h5"),
        ("similarity/matrices/00-05/layer_00.h5", "similarity/matrices/00-05/layer_05.h5"),
        ("counterfactual/trained/band/layer_00.h5", "counterfactual/trained/band/layer_05.h5"),
        ("counterfactual/trained/band/layer_00.h5", "counterfactual/trained/piano/layer_00.h5"),
        ("counterfactual/trained/band/likelihood.h5", "counterfactual/trained/piano/likelihood.h5"),
        ("similarity/nulls/layers_00-05.tsv", "similarity/tables/layers_00-05.tsv"),
        ("affect/tables/layers_00-05.tsv", "similarity/tables/layers_00-05.tsv"),
        ("samples.tsv", "qc/samples.tsv"),
    ],
)
def test_another_file_of_the_study_under_a_name_is_refused(results, source, target):
    put(results / source, results / target)
    name = target.rpartition("/")[2]
    with pytest.raises(InputError, match=rf"{name}.*(was written as tiny/{source}|index lists)"):
        all_readers(results)


def test_files_of_another_study_are_refused(results):
    """The same study under another name, put in place file by file."""
    other = results.with_name("other")
    results.rename(other)
    for path in ("samples.tsv", "gram/layer_00.h5", ONE):
        read = read_table if path.endswith("tsv") else Stack if "stacks" in path else GramFile
        with pytest.raises(InputError, match=f"was written as tiny/{path}"):
            read(other / path)


def test_labels_exchanged_by_hand_are_refused(results):
    table = results / "qc/samples.tsv"
    lines = table.read_text().splitlines(keepends=True)
    at = [
        number
        for number, line in enumerate(lines)
        if line.startswith(("band-calm/seed-0", "band-energetic/seed-0"))
    ]
    for number in at:
        swap = {"calm": "energetic", "energetic": "calm"}
        cells = lines[number].split("\t")
        cells[3] = swap[cells[3]]
        lines[number] = "\t".join(cells)
    table.write_text("".join(lines))
    with pytest.raises(InputError, match=r"qc/samples\.tsv has changed since it was written"):
        all_readers(results)


def test_exchanged_clips_are_named_by_qc(results):
    exchange(results / "audio/band-calm/seed-0.wav", results / "audio/band-calm/seed-1.wav")
    checks = check_samples(index(results))
    failed = set(map(tuple, checks.loc[~checks["pass"], ["check", "sample"]].to_numpy()))
    assert failed == {("clip", "band-calm/seed-0"), ("clip", "band-calm/seed-1")}
