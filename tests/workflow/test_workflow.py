"""The workflow as a user runs it: end to end, again, with a change, with a mistake, without a stack."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from innerear.stacks import GramFile, Stack

ROOT = Path(__file__).parents[2]
MAPPED = (
    *("similarity", "discriminability", "emergence", "generalisation", "dimensions", "affect"),
    *("multiverse", "sound", "sound_and_label", "lags", "decomposition"),
)
# What stays when the design is another one: the capture, measures of the sound, and the page of clips.
BEFORE_THE_DESIGN = {
    **dict.fromkeys(
        ("index", "qc", "verify", "gate", "plot_diagnostics", "clip_features", "plot_acoustics"), 1
    ),
    **{"gram": 1, "cells": 1, "clips": 1},
}
OF_THE_DESIGN = {
    **{name: 1 for name in (*MAPPED, "components")},
    **{f"{name}_map": 1 for name in MAPPED},
    **{f"plot_{name}": 1 for name in (*MAPPED, "components", "embedding", "alignment", "audio_check")},
    **dict.fromkeys(("design", "best_layers", "embedding", "alignment", "audio_check", "likelihood"), 1),
    **dict.fromkeys(("checklist", "findings", "answers", "map_page", "counterfactual_page", "record"), 1),
}
FAN_IN_ONCE = BEFORE_THE_DESIGN | OF_THE_DESIGN
# Each makes, measures or replays all clips in one job.
OF_CLIPS = dict.fromkeys(("generate", "acoustics", "counterfactual"), 1)


def test_the_tiny_study_runs_from_text_to_figures(finished):
    samples = pd.read_csv(finished.results / "samples.tsv", sep="\t")
    assert len(samples) == 8
    checks = pd.read_csv(finished.results / "qc/checks.tsv", sep="\t")
    assert checks["pass"].all()
    assert set(checks["sample"]) == set(samples["sample_id"])
    figures = {path.name for path in (finished.results / "figures").iterdir()}
    assert {name for name in figures if name.endswith(".svg")}
    assert {name.removesuffix(".svg") for name in figures if name.endswith(".svg")} == {
        name.removesuffix(".png") for name in figures if name.endswith(".png")
    }
    assert (finished.results / "listen.html").read_text().count("data-ogg=") == 8


def test_every_clip_is_replayed_under_every_text_of_its_template(finished):
    folder = finished.results / "counterfactual/trained"
    assert sorted(path.name for path in folder.iterdir()) == ["band", "piano"]
    for template, texts in (("piano", 5), ("band", 4)):
        for layer in finished.config["capture"]["layers"]:
            with GramFile(folder / template / f"layer_{layer:02d}.h5") as gram:
                assert gram.read("gram").shape == (53, 4 * texts, 4 * texts)
                own = gram.coords("text") == gram.coords("codes_emotion")
                assert own.sum() == 4
        with GramFile(folder / template / "likelihood.h5") as likelihood:
            nll = likelihood.read("nll")[:, 0].mean(axis=(1, 2))
            text, codes = likelihood.coords("text"), likelihood.coords("codes_emotion")
            swapped = (text != codes) & np.isin(text, codes)
            assert nll[text == codes].mean() < nll[swapped].mean()
    page = (finished.results / "counterfactual.html").read_text()
    assert page.count("data-ogg=") == 4
    assert page.count("paraphrase") >= 4


def test_a_map_is_corrected_over_its_layers(finished):
    for stage in ("similarity", "sound", "sound_and_label", "lags"):
        table = pd.read_csv(finished.results / stage / "map.tsv", sep="\t")
        assert set(table["layer"]) == set(finished.config["capture"]["layers"])
        tested = table.dropna(subset=["p"])
        assert len(tested)
        assert (tested["p_corrected"] >= tested["p"] - 1e-9).all()
        assert tested["min_p"].notna().all()


def test_every_finding_finds_its_rows(finished):
    answers = pd.read_csv(finished.results / "findings.tsv", sep="\t")
    assert len(answers) >= 20
    assert not answers["answer"].str.contains("no such rows").any()
    assert set(answers["source"].str.split(":").str[0]) == {
        *(
            "audio_check",
            "audio_verdict",
            "discriminability",
            "best_layers",
            "emergence",
            "generalisation",
            "lags",
            "similarity",
        ),
        *("components", "dimensions", "decomposition", "likelihood", "sound", "sound_and_label", "embedding"),
        *("alignment", "affect"),
    }


def test_tokens_do_not_depend_on_the_job(finished):
    """The same seed and prompt give the same tokens here as from the library."""
    from innerear import ActivationExtractor, load_model

    with Stack(finished.results / "stacks/piano-calm/seed-1.h5") as stack:
        stored = stack.codes
    with ActivationExtractor(load_model("nano", device="cpu"), layers=[0]) as extractor:
        extractor.generate(["a calm solo piano piece"], seeds=[1], duration=1)
        assert (extractor.codes[0].numpy() == stored).all()


def test_a_second_run_has_nothing_to_do(finished):
    assert finished.planned() == {}
    done = finished.snakemake("--cores", "1")
    assert "Nothing to be done" in done.stdout + done.stderr


def test_a_removed_stack_is_made_again_where_it_is_asked_for(finished):
    stack = finished.results / "stacks/band-calm/seed-1.h5"
    aside = finished.folder / "aside.h5"
    stack.rename(aside)
    try:
        assert finished.planned() == {}
        assert finished.planned("all_samples")["generate"] == 1
    finally:
        aside.rename(stack)


def test_the_dry_run_ends_with_what_the_study_takes(fresh):
    done = fresh.snakemake("--dry-run")
    said = (done.stdout + done.stderr).strip().splitlines()
    last = said[said.index("Study tiny with nano") :]
    assert len(last) < 20
    assert "8 = 4 prompts × 2 seeds, 1 s each" in last[1]
    assert "28 passes = 8 clips × 3.5 texts of their template, in one job" in last[5]
    assert any(line.startswith("  generated in one job of 4 prompts, 8 clips") for line in last)
    assert "  not swapped paraphrase control of band: none is given" in last
    assert fresh.planned() == OF_CLIPS | FAN_IN_ONCE


@pytest.fixture
def changed(finished):
    """The finished study, whose config may be changed: it is put back afterwards."""
    config = finished.folder / "config.yaml"
    before = config.read_text()
    yield finished
    config.write_text(before)


def test_a_changed_statistic_reruns_what_uses_it(changed):
    changed.configure(statistics={"permutations": 59, "bootstraps": 50})
    assert changed.planned() == OF_THE_DESIGN


@pytest.mark.parametrize(
    "change",
    [
        {"primary": ["delta"]},
        {"smallest_effect": {"share": 0.02}},
        {"controls": []},
        {"controls": ["shuffled"]},
    ],
)
def test_what_only_the_page_of_findings_is_asked_reruns_no_analysis(changed, change):
    changed.configure(statistics={"permutations": 49, "bootstraps": 50} | change)
    planned = {rule for rule in changed.planned() if not rule.startswith("control")}
    assert planned <= {"findings", "answers", "record"}
    assert ("findings" in planned) == (change != {"controls": []})


@pytest.mark.parametrize(
    "change",
    [{"contrast": "arousal"}, {"statistics": {"permutations": 49, "bootstraps": 50, "shuffle_labels": True}}],
)
def test_every_analysis_reads_the_one_design(changed, change):
    """A new contrast, or a control, changes the table of permutations, and with it all that is tested."""
    changed.configure(**change)
    planned = changed.planned()
    assert {rule: planned.get(rule) for rule in OF_THE_DESIGN} == OF_THE_DESIGN


def test_a_label_of_the_studys_own_makes_no_new_clips(changed):
    prompts = changed.config["prompts"]
    for number, emotion in enumerate(prompts["emotions"]):
        emotion["labels"] = {"family": f"family {number}"}
    changed.configure(prompts=prompts, contrast="family")
    planned = changed.planned()
    assert "generate" not in planned
    assert planned["index"] == planned["design"] == 1
    assert planned["discriminability"] == 1


def test_an_added_template_reruns_its_job_and_the_fan_in(changed):
    """Its prompts join jobs that are not full, whose clips are therefore measured and replayed again."""
    prompts = changed.config["prompts"]
    prompts["templates"].append({"id": "guitar", "text": "a {emotion} acoustic guitar melody"})
    changed.configure(prompts=prompts)
    assert changed.planned() == OF_CLIPS | FAN_IN_ONCE


def test_a_changed_generation_makes_everything_again(changed):
    changed.configure(generation={"duration": 1, "guidance": 2.0})
    assert changed.planned() == OF_CLIPS | FAN_IN_ONCE


def test_an_extra_capture_replays_the_clips_and_runs_nothing_else(changed):
    changed.configure(captures={"attention": {"sites": ["cross_attention"], "layers": [3]}})
    assert changed.planned() == {"replay": 4, "record": 1}  # the record says what is captured
    done = changed.snakemake("--cores", "2")
    assert done.returncode == 0, done.stderr
    sample = "band-calm/seed-1.h5"
    with (
        Stack(changed.results / "captures/attention" / sample) as replayed,
        Stack(changed.results / "stacks" / sample) as stack,
    ):
        assert replayed.places == [("cross_attention", 3)]
        assert replayed.attrs["tokens_sha256"] == stack.attrs["tokens_sha256"]
        assert replayed.values("likelihood/nll").shape == (3, 4, 50)


def test_the_random_twin_replays_the_clips_that_are_there(changed):
    changed.configure(counterfactual={"control": True})
    planned = changed.planned()
    assert planned["counterfactual"] == 1
    assert "generate" not in planned
    done = changed.snakemake("--cores", "2", "--until", "counterfactual")
    assert done.returncode == 0, done.stderr
    with GramFile(changed.results / "counterfactual/random_init/piano/layer_00.h5") as gram:
        assert gram.attrs["weights"] == "random_init"


def test_a_study_without_templates_goes_without_swapped_texts(fresh):
    rows = ["id\ttext\temotion", "a\tcalm music\tcalm", "b\tloud music\tenergetic"]
    (fresh.folder / "prompts.tsv").write_text("\n".join(rows))
    fresh.configure(prompts={"sheet": "prompts.tsv"})
    planned = fresh.planned()
    assert not [rule for rule in planned if "counterfactual" in rule]
    assert "not swapped template (none): prompts without a template" in fresh.snakemake("--dry-run").stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sedes": [1]}, "unknown key (did you mean 'seeds'?)"),
        ({"seeds": [3, 3]}, "entries 1 and 2 are both 3"),
        ({"capture": {"layers": [9]}}, "the model has the layers 0 to 5"),
        ({"generation": {"duration": 1, "top_k": "many"}}, "generation.top_k: 'many' is not allowed"),
        ({"model": {"name": "nanoo"}}, "did you mean 'nano'?"),
    ],
)
def test_a_mistake_in_the_config_is_explained_before_any_work(fresh, change, message):
    fresh.configure(**change)
    done = fresh.snakemake("--dry-run")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert message in said
    assert "Traceback" not in said


def test_a_broken_stack_stops_the_fan_in_with_its_name_and_remedy(finished, fresh):
    shutil.copytree(finished.folder, fresh.folder, dirs_exist_ok=True)
    stack = fresh.results / "stacks/band-calm/seed-0.h5"
    times = stack.stat()
    stack.write_bytes(stack.read_bytes()[:5000])
    os.utime(stack, ns=(times.st_atime_ns, times.st_mtime_ns))
    (fresh.folder / "config.yaml").rename(fresh.folder / "own.yaml")
    (fresh.folder / "config.yaml").write_text("study: another\n")
    given = ("--configfile", "own.yaml")
    done = fresh.snakemake("--cores", "1", *given, "--forcerun", "index", "--until", "index")
    assert done.returncode != 0
    assert "stacks/band-calm/seed-0.h5 is truncated or not an HDF5 file" in done.stderr
    remedy = re.search("remake it with: snakemake (.*)", done.stderr)[1].split()
    done = fresh.snakemake("--dry-run", *remedy)
    assert done.returncode == 0, done.stderr
    assert str(stack.relative_to(fresh.folder)) in done.stdout


def test_a_renamed_study_is_refused_before_any_work(finished, fresh):
    shutil.copytree(finished.results, fresh.results.with_name("renamed"))
    fresh.configure(study="renamed")
    done = fresh.snakemake("--dry-run")
    assert done.returncode != 0
    assert "results/renamed holds the files of study 'tiny'" in done.stdout + done.stderr


def test_the_report_holds_figures_tables_and_the_pages(finished):
    done = finished.snakemake("--report", "report.zip")
    assert done.returncode == 0, done.stderr
    assert (finished.folder / "report.zip").stat().st_size > 100_000
