"""The study files are ready to run, and the graph of a large study is sparse."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import snakemake_runs
import yaml

from innerear.study.jobs import LAYERS_OF_A_JOB

ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "studies").glob("emotions_*.yaml"))
CORPORA = sorted((ROOT / "studies").glob("corpus_*.yaml"))
#: Runs a command and prints its peak in KiB: a child of the tests would count from the tests' own memory.
MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


def dry_run(folder, *options):
    done = snakemake_runs.forked(folder, "-n", *options)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.stem)
def test_a_study_file_can_be_run(study, tmp_path):
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    said = dry_run(tmp_path, "--quiet", "all", "--configfile", str(study)).stderr
    model = yaml.safe_load(study.read_text())["model"]["name"]
    assert f"Study {study.stem} with {model}" in said
    assert "80 = 40 prompts × 2 seeds, 8 s each" in said
    assert "passes = 80 clips × 6 texts of their template" in said
    assert "counterfactual" in next(line for line in said.splitlines() if "disk" in line)


@pytest.mark.parametrize("study", CORPORA, ids=lambda path: path.stem)
def test_a_corpus_of_diverse_music_can_be_run_and_encodes_another_study(study, tmp_path):
    settings = yaml.safe_load((ROOT / "config.yaml").read_text())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    options = ("--quiet", "all", "--configfile", str(study))
    said = dry_run(tmp_path, *options, "--cores", "1", "all_features").stderr
    assert f"Study {study.stem} with" in said
    asked = yaml.safe_load(study.read_text())
    ids = {one["id"] for one in asked["prompts"]["templates"]}
    assert not ids & {one["id"] for one in settings["prompts"]["templates"]}


def test_the_control_without_guidance_can_be_run(tmp_path):
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    study = ROOT / "studies/no_guidance.yaml"
    done = dry_run(tmp_path, "--quiet", "all", "--configfile", str(study))
    assert "Study emotions_nano_no_guidance with nano" in done.stderr
    assert "80 = 40 prompts × 2 seeds, 4 s each" in done.stderr


def test_every_rule_that_asks_for_a_gpu_goes_to_the_partition_that_has_them():
    profile = yaml.safe_load((ROOT / "workflow/profiles/slurm/profile.yaml").read_text())
    text = "".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    rules = re.split(r"^ *rule\b", text, flags=re.MULTILINE)[1:]
    named = [re.search(r'^ (\w+):|copy_of\("(\w+)"', rule) for rule in rules if "gpu=1" in rule]
    names = {match[1] or match[2] for match in named if match}
    assert len(names) == len(named)
    assert names == set(profile["set-resources"])


def test_layers_of_a_large_model_share_jobs_and_a_copy_of_a_rule_asks_for_what_the_rule_does(tmp_path):
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    study = ("--configfile", str(ROOT / "studies/emotions_musicgen_large.yaml"))
    planned = dry_run(tmp_path, "--quiet", "rules", *study).stdout
    jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", planned, re.M)}
    of_gram = [rule for rule in jobs if re.fullmatch(r"gram(_\d+)?", rule)]
    assert sum(jobs[rule] for rule in of_gram) == len(of_gram) == jobs["similarity"] == 48 / LAYERS_OF_A_JOB
    one = dry_run(tmp_path, *study, "--", "results/emotions_musicgen_large/stacks/theme-happy/seed-16.h5")
    assert "rule generate_" in one.stdout
    assert re.search(r"^  asked     generate [\d.]+ GiB, fetch", one.stderr, re.M)


def test_there_is_a_study_for_each_size_of_musicgen():
    assert [path.stem.removeprefix("emotions_musicgen_") for path in STUDIES] == ["large", "medium", "small"]


def test_ten_thousand_pairs_and_48_layers_have_a_sparse_graph(tmp_path):
    prompts, seeds, layers = 100, 100, 48
    rows = [f"p{i}\tmusic number {i}\te{i % 4}\tt{i // 4}" for i in range(prompts)]
    (tmp_path / "prompts.tsv").write_text("\n".join(["id\ttext\temotion\ttemplate", *rows]))
    settings = {
        "study": "large",
        "model": {"name": "facebook/musicgen-large"},
        "prompts": {"sheet": "prompts.tsv"},
        "seeds": list(range(seeds)),
        "generation": {"duration": 1, "batch": "prompt"},
        "gram": {"bins": 2, "max_gib": 1e6},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-c", MEASURED, *snakemake_runs.command("-n")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stderr.splitlines()[-1]) / 1024 < 600
    jobs = done.stdout.split("\nrule ")
    of_layers = [job for job in jobs if "wildcards: layers=" in job]
    counts = Counter(job.partition(":")[0] for job in of_layers)
    n_jobs = -(-layers // LAYERS_OF_A_JOB)
    of_sound = {"sound", "sound_and_label", "lags"}  # a layer of so many clips takes days
    assert counts.keys() > of_sound | {"similarity", "discriminability"}
    assert all(n == (layers if rule in of_sound else n_jobs) for rule, n in counts.items()), counts
    grams = [job for job in jobs if job.startswith("gram")]
    assert n_jobs < len(grams) < layers  # a layer's products take seven minutes
    for job in grams + of_layers:
        inputs = next(line for line in job.splitlines() if line.strip().startswith("input:"))
        # It depends on the index, not on samples or prompts.
        assert inputs.count(",") < 5 + LAYERS_OF_A_JOB
    assert sum(job.startswith("generate:") for job in jobs) == prompts
