"""A study on a real Slurm, through the profile as it stands, with what goes wrong on a cluster.

One story, told once: the study is submitted; a running job is cancelled from outside; Snakemake is killed;
it is started again; Slurm's controller goes away for a while as jobs run; every sample is there. A seed more
is asked for, as an array, and the study ends. What each test asserts was recorded on the way.
`make test-cluster` runs it.

The controller is restarted, not killed: a killed one forgets its last seconds, and a job that ended in them
counts as running until its time limit. That is Slurm's own loss, which Snakemake can only wait out.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest
import yaml
from snakemake_runs import command

from .slurm import Slurm, wait_for

ROOT = Path(__file__).parents[2]
PROFILE = ROOT / "workflow/profiles/slurm"
GPUS = 2
# Seconds for what takes a few where nothing else runs, and for a run of Snakemake, which takes 80 to 160.
PATIENCE = 300
RUN_PATIENCE = 600
STUDY = {
    "study": "small",
    "model": {"name": "nano"},
    "prompts": {
        "templates": [
            {"id": "piano", "text": "a {emotion} solo piano piece"},
            {"id": "band", "text": "a {emotion} tune for a small band"},
        ],
        "emotions": [{"id": "calm"}, {"id": "energetic"}],
    },
    "seeds": [0, 1, 2],
    "generation": {"duration": 1, "batch": "pair"},
    "capture": {"layers": [2, 5]},
    "gram": {"bins": 5},
    "statistics": {"permutations": 49, "bootstraps": 50},
}
# The profile waits as long as a busy cluster needs; here nobody else is waiting.
TARGETS = ("similarity_map", "clip_features")
QUICK = ("--seconds-between-status-checks", "3", "--slurm-init-seconds-before-status-checks", "3")


@dataclass
class Story:
    """What happened: the jobs that Slurm accounts for, what Snakemake said, and where the results are."""

    results: Path
    jobs: pd.DataFrame
    cancelled: str
    first_output: str
    resumed: subprocess.CompletedProcess
    kept: dict[Path, int]
    ended: subprocess.CompletedProcess


@pytest.fixture(scope="module")
def profile() -> dict:
    return yaml.safe_load((PROFILE / "profile.yaml").read_text())


@pytest.fixture(scope="module")
def slurm(profile) -> Iterator[Slurm]:
    """The cluster, with the account and partitions that the profile names."""
    asked = profile["default-resources"]
    partitions = [asked["slurm_partition"], profile["set-resources"]["generate"]["slurm_partition"]]
    # A short path: a socket's name may have 108 characters.
    with (
        tempfile.TemporaryDirectory(prefix="ear") as folder,
        Slurm(Path(folder, "slurm"), asked["slurm_account"], partitions, GPUS) as running,
    ):
        yield running


def through_profile(*options: str) -> list[str]:
    return command("--profile", str(PROFILE), *QUICK, *options)


@contextmanager
def started(slurm: Slurm, folder: Path, said: str, *options: str) -> Iterator[subprocess.Popen]:
    """Snakemake through the profile, whose output goes to the file `said`; killed where the block ends first.

    Raises
    ------
    AssertionError: the block waited too long; with what Snakemake said and what Slurm holds.
    """
    with (folder / said).open("w") as output:
        process = subprocess.Popen(
            through_profile(*options),
            cwd=folder,
            env=slurm.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    except (TimeoutError, subprocess.TimeoutExpired) as late:
        raise AssertionError(f"{late}\n{(folder / said).read_text()[-4000:]}\n{slurm.state()}") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def story(slurm, tmp_path_factory) -> Story:
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "config.yaml").write_text(yaml.safe_dump(STUDY | {"seeds": [0, 1]}))
    results = folder / "results" / STUDY["study"]
    with started(slurm, folder, "first.txt", "--until", "index"):
        wait_for(lambda: len(slurm.queued("R")) == GPUS, PATIENCE, "running job")
        cancelled, about = slurm.queued("R")[0]
        slurm.run("scancel", cancelled)

        def again() -> bool:
            return any(comment == about and job != cancelled for job, comment in slurm.queued())

        wait_for(again, PATIENCE, "second attempt of the cancelled job")
        wait_for(lambda: any(results.glob("stacks/*/*.h5")), PATIENCE, "stack")
    # Snakemake is dead, in the middle of its work.
    slurm.run("scancel", "--user", slurm.user, "--state=PENDING")
    slurm.drain(PATIENCE)
    kept = {path: path.stat().st_mtime_ns for path in results.glob("stacks/*/*.h5")}

    with started(slurm, folder, "second.txt", "--nolock", "--until", "index") as second:

        def submitted() -> bool:
            told = (folder / "second.txt").read_text()
            asked = re.search(r"^generate +(\d+)$", told, re.MULTILINE)
            return bool(asked) and told.count("has been submitted") == int(asked[1])

        wait_for(submitted, PATIENCE, "submission of every job")
        wait_for(slurm.at_work, PATIENCE, "job at work")
        slurm.interrupt_controller(8)
        second.wait(RUN_PATIENCE)
    (folder / "config.yaml").write_text(yaml.safe_dump(STUDY))
    arrays = ("--slurm-array-jobs", "generate", "--keep-incomplete")
    with started(slurm, folder, "third.txt", "--nolock", *arrays, "--until", *TARGETS) as third:
        third.wait(RUN_PATIENCE)
    first_output, resumed, ended = (
        (folder / said).read_text() for said in ("first.txt", "second.txt", "third.txt")
    )
    return Story(
        results,
        pd.DataFrame(slurm.jobs("ReqMem", "Timelimit", "AllocTRES", "Partition", "Account", "Start", "End")),
        cancelled,
        first_output,
        subprocess.CompletedProcess("snakemake", second.returncode, resumed),
        kept,
        subprocess.CompletedProcess("snakemake", third.returncode, ended),
    )


def rule_of(comment: str) -> str:
    return re.sub(r"^rule_|_wildcards_.*$", "", comment)


def test_snakemake_goes_on_although_slurms_controller_was_away(story):
    assert story.resumed.returncode == 0, story.resumed.stdout[-4000:]


def test_the_study_ends(story):
    assert story.ended.returncode == 0, story.ended.stdout[-4000:]
    assert (story.results / "similarity/map.tsv").exists()
    assert (story.results / "acoustics/clips.tsv").exists()


def test_jobs_went_through_slurm_with_the_resources_asked_for(story, profile):
    jobs = story.jobs.assign(rule=story.jobs["Comment"].map(rule_of))
    done = jobs[jobs["State"] == "COMPLETED"]
    assert {"generate", "index", "qc", "gram", "similarity", "acoustics"} <= set(done["rule"])
    assert not {"gate", "clip_features"} & set(jobs["rule"]), "light rules run beside Snakemake"
    assert set(jobs["Account"]) == {profile["default-resources"]["slurm_account"]}
    on_gpu = done["rule"].isin(["generate", "verify"])
    assert set(done.loc[on_gpu, "Partition"]) == {"gpu"}
    assert set(done.loc[~on_gpu, "Partition"]) == {"cpu"}
    assert done.loc[on_gpu, "AllocTRES"].str.contains(r"gres/gpu=1\b").all()
    assert not done.loc[~on_gpu, "AllocTRES"].str.contains("gpu").any()
    qc = done[done["rule"] == "qc"].iloc[0]
    assert (qc["ReqMem"], qc["Timelimit"]) == ("2000M", "01:00:00")


def test_never_more_jobs_have_a_gpu_than_there_are(story):
    jobs = story.jobs[story.jobs["AllocTRES"].str.contains("gres/gpu")]
    changes = []
    for start, end in zip(jobs["Start"], jobs["End"], strict=True):
        # An end comes before a start of the same second: the queue hands the GPU on.
        changes += [(datetime.fromisoformat(start), 1), (datetime.fromisoformat(end), -1)]
    at_once = most = 0
    for _, change in sorted(changes):
        at_once += change
        most = max(most, at_once)
    assert most == GPUS


def test_a_job_cancelled_from_outside_is_tried_again_with_more_memory(story):
    jobs = story.jobs.set_index("JobID")
    about = jobs.loc[story.cancelled, "Comment"]
    assert jobs.loc[story.cancelled, "State"].startswith("CANCELLED")
    attempts = jobs[jobs["Comment"] == about]
    memory = attempts["ReqMem"].str.removesuffix("M").astype(int).tolist()
    assert memory[1] == 2 * memory[0]
    assert "Trying to restart job" in story.first_output


def test_a_killed_snakemake_goes_on_without_making_samples_again(story):
    assert story.kept
    unchanged = [path for path, time in story.kept.items() if path.stat().st_mtime_ns == time]
    # What Snakemake did not see ending it makes again; what it saw it keeps.
    assert unchanged
    assert len(list(story.results.glob("stacks/*/*.h5"))) == 12


def test_arrays_carry_the_fan_out(story):
    tasks = story.jobs[story.jobs["JobID"].str.contains("_")]
    assert len(tasks) == 4
    assert (tasks["State"] == "COMPLETED").all()


def test_results_equal_those_of_a_local_run(story, tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(STUDY))
    local = subprocess.run(
        command("--cores", "2", "--until", *TARGETS), cwd=tmp_path, capture_output=True, text=True
    )
    assert local.returncode == 0, local.stderr
    here = tmp_path / "results" / STUDY["study"]
    hashes = ["sample_id", "tokens_sha256", "content_sha256"]
    on_cluster, on_this = (
        pd.read_csv(results / "samples.tsv", sep="\t")[hashes] for results in (story.results, here)
    )
    assert on_cluster["tokens_sha256"].tolist() == on_this["tokens_sha256"].tolist()
    for table in ("similarity/map.tsv", "acoustics/clips.tsv"):
        one, other = (pd.read_csv(results / table, sep="\t") for results in (story.results, here))
        pd.testing.assert_frame_equal(one, other, atol=1e-6, obj=table)


def test_a_failing_job_is_reported_with_its_log(slurm, tmp_path):
    if shutil.which("nvidia-smi"):
        pytest.skip("the job fails for want of a GPU, and here is one")
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump(STUDY | {"model": {"name": "nano", "device": "cuda"}, "seeds": [0]})
    )
    options = ("--retries", "0", "--until", "generate", "results/small/stacks/piano-calm/seed-0.h5")
    with started(slurm, tmp_path, "failed.txt", *options) as failed:
        failed.wait(RUN_PATIENCE)
    said = (tmp_path / "failed.txt").read_text()
    assert failed.returncode != 0
    assert "results/small/logs/generate/piano-calm/seed-0.log" in said
    assert "torch sees no GPU" in said
