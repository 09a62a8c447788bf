"""Real faults on real runs: whatever goes wrong, the study ends like an undisturbed one, bit by bit.

The runs make two clips of 1 s on nano, and the index; faults in between do not know of the tests.
"""

import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import h5py
import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[2]
# What `make run` adds, so that a run goes on where another was killed.
RESUME = re.search(r"^RESUME := (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
RUN = ("--cores", "1", *RESUME, "--until", "index")
LAST = "stacks/piano-sad/seed-0.h5"


@pytest.fixture(scope="module")
def undisturbed(workflow_in, tmp_path_factory):
    """Two samples and the Gram matrix of one layer, made without a fault."""
    workflow = workflow_in(tmp_path_factory.mktemp("undisturbed"))
    settings = {
        "study": "faults",
        "prompts": {
            "templates": [{"id": "piano", "text": "a {emotion} solo piano piece"}],
            "emotions": [{"id": "happy"}, {"id": "sad"}],
        },
        "seeds": [0],
        "generation": {"duration": 1},
        "capture": {"layers": [0, 5]},
        "gram": {"bins": 5},
    }
    (workflow.folder / "config.yaml").write_text(yaml.safe_dump(settings))
    done = workflow.snakemake("--cores", "1", "results/faults/gram/layer_05.h5")
    assert done.returncode == 0, done.stderr
    return workflow


@pytest.fixture
def fresh(undisturbed, tmp_path):
    """The same study, nothing made yet."""
    shutil.copy(undisturbed.folder / "config.yaml", tmp_path)
    return type(undisturbed)(tmp_path)


@pytest.fixture
def copied(undisturbed, tmp_path):
    """The finished study, in a folder of its own."""
    shutil.copytree(undisturbed.folder, tmp_path, dirs_exist_ok=True)
    return type(undisturbed)(tmp_path)


@pytest.fixture
def unfinished(copied):
    """The study with all but its last sample made."""
    (copied.results / LAST).unlink()
    (copied.results / "samples.tsv").unlink()
    return copied


def datasets(path):
    """Name → type, shape and bytes of everything in an HDF5 file, and of its attributes."""
    arrays = {}

    def keep(name, item):
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    with h5py.File(path) as file:
        found = {name: str(value) for name, value in file.attrs.items()}
        file.visititems(keep)
    for name, array in arrays.items():
        values = array.tolist() if array.dtype.kind == "O" else array.tobytes()  # texts, numbers
        found[name] = (array.dtype.str, array.shape, values)
    return found


def assert_equal(run, undisturbed):
    """Every sample of a run equals the undisturbed one, bit by bit, and nothing half-written is left."""
    stacks = sorted(path.relative_to(undisturbed.results) for path in undisturbed.results.glob("stacks/*/*"))
    assert sorted(path.relative_to(run.results) for path in run.results.glob("stacks/*/*")) == stacks
    for stack in stacks:
        audio = Path("audio", *stack.parts[1:]).with_suffix(".wav")
        assert datasets(run.results / stack) == datasets(undisturbed.results / stack)
        assert (run.results / audio).read_bytes() == (undisturbed.results / audio).read_bytes()
    hashes = [
        pd.read_csv(workflow.results / "samples.tsv", sep="\t").set_index("sample_id")["content_sha256"]
        for workflow in (run, undisturbed)
    ]
    assert hashes[0].to_dict() == hashes[1].to_dict()
    assert list(run.results.rglob(".*.partial*")) == []


def resume(run, undisturbed):
    """Run on; samples that were there already are not made again."""
    made = run.samples()
    done = run.snakemake(*RUN)
    assert done.returncode == 0, done.stderr
    now = run.samples()
    assert {path: now[path] for path in made} == made
    assert_equal(run, undisturbed)


# As sitecustomize.py, Python loads this at its start. When the stack's second layer is due, half of it on the
# disk, the job is killed, alone or with its whole process group.
KILL = """
import os, signal
from innerear.io.hdf5 import Layout
add = Layout.dataset
def dataset(self, group, name, *rest, **more):
    if name == "layer_05":
        self.file.flush()
        os.kill({victim}, signal.SIGKILL)
    return add(self, group, name, *rest, **more)
Layout.dataset = dataset
"""


@pytest.mark.parametrize("victim", ["os.getpid()", "-os.getpgrp()"])
def test_kill_9_in_the_middle_of_a_stack(unfinished, undisturbed, tmp_path_factory, victim):
    fault = tmp_path_factory.mktemp("fault")
    (fault / "sitecustomize.py").write_text(KILL.format(victim=victim))
    path = os.pathsep.join([str(fault), str(ROOT / "src")])
    done = unfinished.command(*RUN, env=os.environ | {"PYTHONPATH": path}, start_new_session=True)
    assert done.returncode != 0
    assert not (unfinished.results / LAST).exists()
    assert len(list(unfinished.results.glob("unfinished/stacks/*/.seed-0.*.partial.h5"))) == 1
    resume(unfinished, undisturbed)


def may_mount(folder):
    """Whether this process may mount a file system."""
    command = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(folder)]
    return os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0


def test_a_full_disk(fresh, undisturbed):
    """On a small file system where this process may mount one; else no file may grow to a stack's size."""
    fresh.results.mkdir(parents=True)
    if may_mount(fresh.results):
        try:
            assert_the_disk_was_full(fresh, fresh.snakemake(*RUN), "cannot be written: the disk is full")
            subprocess.run(["mount", "-o", "remount,size=2m", str(fresh.results)], check=True)
            resume(fresh, undisturbed)
        finally:
            subprocess.run(["umount", str(fresh.results)], check=True)
    else:
        limit = (50_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
        done = fresh.command(*RUN, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
        assert_the_disk_was_full(fresh, done, "cannot be written: no file may grow so large")
        resume(fresh, undisturbed)


def assert_the_disk_was_full(run, done, message):
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    assert len(list(run.results.glob("stacks/*/seed-*.h5"))) < 2
    assert list(run.results.rglob(".*.partial*")) == []


def test_an_interrupted_run(fresh, undisturbed):
    run = fresh.start("--cores", "1", *RESUME, "--until", "gram")
    finished = next(line for line in run.stdout if "Finished jobid" in line)
    assert "(Rule: generate)" in finished
    os.killpg(run.pid, signal.SIGINT)
    run.communicate()
    assert run.returncode != 0
    assert not (fresh.results / "gram/layer_05.h5").exists()
    resume(fresh, undisturbed)


def test_of_two_runs_at_once_one_is_refused(fresh, undisturbed):
    runs = [fresh.start(*RUN) for _ in range(2)]
    said = {run.pid: run.communicate()[0] for run in runs}
    refused = [run for run in runs if run.returncode]
    assert len(refused) == 1, said
    (other,) = {run.pid for run in runs} - {refused[0].pid}
    assert f"study faults: process {other} is at work" in said[refused[0].pid]
    assert "Traceback" not in said[refused[0].pid]
    assert_equal(fresh, undisturbed)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path, name):
    """Flip a bit in the stored bytes of a dataset."""
    with h5py.File(path) as file:
        stored = file[name]
        chunked = stored.chunks is not None
        offset = stored.id.get_chunk_info(0).byte_offset if chunked else stored.id.get_offset()
    with open(path, "r+b") as file:
        file.seek(offset + 7)
        byte = file.read(1)[0]
        file.seek(offset + 7)
        file.write(bytes([byte ^ 16]))


BROKEN = {
    "truncated stack": (truncate, LAST, ("--forcerun", "index"), "truncated"),
    "flipped token": (lambda path: flip(path, "codes"), LAST, ("--forcerun", "index"), "dataset 'codes'"),
    "flipped state": (
        lambda path: flip(path, "residual/layer_05"),
        LAST,
        ("results/faults/gram/layer_05.h5", "--forcerun", "gram"),
        "dataset 'residual/layer_05'",
    ),
    "flipped sum of products": (
        lambda path: flip(path, "sums"),
        "gram/layer_05.h5",
        ("results/faults/similarity/tables/layers_00-05.tsv",),
        "dataset 'sums'",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_named_and_remade_by_the_command_it_names(copied, undisturbed, fault):
    damage, name, options, part = BROKEN[fault]
    path = copied.results / name
    damage(path)
    os.utime(path, ns=2 * ((undisturbed.results / name).stat().st_mtime_ns,))
    until = ("--until", "index") if "index" in options else ()
    done = copied.snakemake("--cores", "1", *options, *until)
    assert done.returncode != 0
    message = next(line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert str(path.relative_to(copied.folder)) in message
    assert part in message
    command = shlex.split(message.partition("remake it with: snakemake ")[2])
    assert copied.snakemake(*command).returncode == 0
    assert datasets(path) == datasets(undisturbed.results / name)
    resume(copied, undisturbed)
