"""Real runs of the workflow on the nano model, small enough for continuous integration."""

import fcntl
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import snakemake_runs
import yaml

from innerear.io.names import UNFINISHED

ROOT = Path(__file__).parents[2]
KEPT = ".kept"


@dataclass
class Workflow:
    """A folder with a config, and Snakemake run in it on this repository's Snakefile."""

    folder: Path

    @property
    def config(self) -> dict:
        return yaml.safe_load((self.folder / "config.yaml").read_text())

    @property
    def results(self) -> Path:
        return self.folder / "results" / self.config["study"]

    def contents(self) -> dict[str, bytes]:
        """Name → bytes of every file of the results, but for logs, what the machine took, and locks."""
        apart = {"logs", "benchmarks", "record.html", ".running", ".running.claims", KEPT}
        names = [path.relative_to(self.results) for path in self.results.rglob("*") if path.is_file()]
        return {
            str(name): (self.results / name).read_bytes() for name in names if not apart & set(name.parts)
        }

    def assert_same_as(self, other: "Workflow") -> None:
        """Every file of the results has the same bytes in another workflow's."""
        one, same = other.contents(), self.contents()
        assert sorted(same) == sorted(one)
        assert [name for name, content in one.items() if same[name] != content] == []

    def samples(self) -> dict[Path, int]:
        """The number on the disk of each finished sample's stack and clip; a file made again has another.

        The folder of unfinished jobs goes first: Snakemake may remove the same files among the results, or
        restore them as copies. A link keeps each number from being given away again.
        """
        found = {}
        for folder in (self.results, self.results / UNFINISHED):
            for stack in folder.glob("stacks/*/seed-*.h5"):
                clip = folder / "audio" / stack.relative_to(folder / "stacks").with_suffix(".wav")
                if clip.exists():
                    found |= {path.relative_to(folder): path for path in (stack, clip)}
        numbers = {path: file.stat().st_ino for path, file in found.items()}
        for path, number in numbers.items():
            link = self.results / KEPT / str(number)
            link.parent.mkdir(exist_ok=True)
            if not link.exists():
                link.hardlink_to(found[path])
        return numbers

    def configure(self, **changes) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.config | changes))

    def snakemake(self, *options: str) -> subprocess.CompletedProcess:
        return snakemake_runs.forked(self.folder, *options)

    def command(self, *options: str, **process) -> subprocess.CompletedProcess:
        """Run as a command of its own, which may have other surroundings than the tests."""
        process |= {"cwd": self.folder, "timeout": snakemake_runs.LONGEST}
        return subprocess.run(snakemake_runs.command(*options), capture_output=True, text=True, **process)

    def start(self, *options: str, stdout=subprocess.PIPE) -> subprocess.Popen:
        """Run in the background, as the leader of a process group; both outputs go to one pipe or file.

        It answers SIGINT also where the tests themselves run in the background and do not.
        """
        pipes = {"stdout": stdout, "stderr": subprocess.STDOUT, "text": True}
        answers = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        return subprocess.Popen(
            snakemake_runs.command(*options),
            cwd=self.folder,
            start_new_session=True,
            preexec_fn=answers,
            **pipes,
        )

    def planned(self, *targets: str) -> dict[str, int]:
        """Rule → number of jobs that a dry run would run."""
        done = self.snakemake("--dry-run", "--quiet", "rules", "--", *targets)
        assert done.returncode == 0, done.stderr
        lines = (done.stdout + done.stderr).splitlines()
        start = next((i for i, line in enumerate(lines) if line.startswith("---")), len(lines))
        counts = {}
        for line in lines[start + 1 :]:
            if not line.strip():
                break
            rule, count = line.split()
            counts[rule] = int(count)
        return {rule: n for rule, n in counts.items() if rule not in ("all", "total")}


TINY = {
    "study": "tiny",
    "model": {"name": "nano"},
    "prompts": {
        "templates": [
            {
                "id": "piano",
                "text": "a {emotion} solo piano piece",
                "paraphrase": "a {emotion} piece for solo piano",
            },
            {"id": "band", "text": "a {emotion} tune for a small band"},
        ],
        "emotions": [
            {"id": "calm", "valence": 0.5, "arousal": -0.7},
            {"id": "energetic", "valence": 0.4, "arousal": 0.9},
        ],
    },
    "seeds": [0, 1],
    "generation": {"duration": 1},
    "capture": {"layers": [0, 5]},
    "gram": {"bins": 5},
    "statistics": {"permutations": 49, "bootstraps": 50},
}


def run(folder: Path) -> Workflow:
    """Run the tiny study to its end."""
    workflow = Workflow(folder)
    (folder / "config.yaml").write_text(yaml.safe_dump(TINY))
    done = workflow.snakemake("--cores", "2")
    assert done.returncode == 0, done.stderr
    return workflow


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Workflow:
    """The tiny study, run to its end: once, of which each worker of the tests has a copy."""
    own = tmp_path_factory.mktemp("tiny")
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return run(own)
    # As deep as its copies: Snakemake keeps the checkpoint's path as seen from the study.
    once = own.parents[1] / "once/tiny"
    once.parent.mkdir(exist_ok=True)
    with once.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not once.exists():
            unfinished = once.with_suffix(".unfinished")
            unfinished.mkdir()
            run(unfinished).folder.rename(once)
    shutil.copytree(once, own, dirs_exist_ok=True)
    return Workflow(own)


@pytest.fixture
def fresh(tmp_path) -> Workflow:
    """The tiny study, not yet run."""
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(TINY))
    return Workflow(tmp_path)


@pytest.fixture(scope="session")
def workflow_in():
    """Make a workflow of a folder, for studies other than the tiny one."""
    return Workflow
