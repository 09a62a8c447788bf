"""The page on results names what the workflow makes, and nothing else."""

import re

import pytest
import yaml

from .conftest import ROOT

# Made where a study asks for it, by make run, or by every job.
ELSEWHERE = (
    "captures/",
    "replication/",
    "controls/",
    "design/shuffled.h5",
    "report.zip",
    "responses/",
    "listening",
    "logs/",
    "benchmarks/",
    "model.json",
)
OF_A_LAYER = re.compile(r"^\w+/(tables|nulls)/(trained/)?layers_[\d-]+\.tsv$")


def pattern(path):
    """A regular expression for a path of the page: `*`, `{name}` and the layer's `NN` stand for anything."""
    return re.compile(re.sub(r"\\\*|\\\{\w+\\\}|NN", "[^/]+", re.escape(path)))


@pytest.fixture(scope="module")
def made(tree):
    """Every file of the default study, relative to its folder."""
    study = yaml.safe_load((ROOT / "config.yaml").read_text())["study"]
    files = [line.split("\t")[0] for line in tree.make("--summary").stdout.splitlines()]
    return [path.removeprefix(f"results/{study}/") for path in files if path.startswith("results/")]


@pytest.fixture(scope="module")
def said():
    """Every path in the first column of the page's tables."""
    cells = re.findall(r"^\| (`[^|]*) \|", (ROOT / "results/README.md").read_text(), re.M)
    return [path for cell in cells for path in re.findall(r"`([^`]+)`", cell)]


def test_every_file_is_named(made, said):
    patterns = [pattern(path) for path in said]
    assert len(made) > 100
    unnamed = [path for path in made if not any(one.fullmatch(path) for one in patterns)]
    assert [path for path in unnamed if not OF_A_LAYER.match(path)] == []


def test_every_name_is_of_a_file(made, said):
    named = [path for path in said if not path.startswith(ELSEWHERE)]
    assert [path for path in named if not any(map(pattern(path).fullmatch, made))] == []
