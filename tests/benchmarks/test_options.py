"""Numbers on the command line of a benchmark: those that measure nothing are refused."""

import argparse
import importlib
import re
import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def options(monkeypatch):
    """The module, importable as it is when a benchmark runs."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("options")


@pytest.fixture
def script(monkeypatch):
    """A function that runs a script with arguments, as a command does, in this process."""

    def run(path, *arguments):
        monkeypatch.chdir(BENCHMARKS.parent)
        monkeypatch.syspath_prepend(str(BENCHMARKS.parent / Path(path).parent))
        monkeypatch.setattr(sys, "argv", [path, *arguments])
        runpy.run_path(path, run_name="__main__")

    return run


@pytest.mark.parametrize("text", ["0", "-3", "1.5", "many", "", "nan"])
def test_a_number_of_things_is_whole_and_1_or_more(options, text):
    with pytest.raises(argparse.ArgumentTypeError, match="give 1 or more"):
        options.count(text)
    assert options.count("7") == 7


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "long", ""])
def test_seconds_are_finite_and_more_than_0(options, text):
    with pytest.raises(argparse.ArgumentTypeError, match="give more than 0"):
        options.duration(text)
    assert options.duration("0.3") == 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *(
            (["benchmarks/power.py", "--designs", text], "give templates x labels")
            for text in ("3x", "0x4", "x")
        ),
        *(
            (["benchmarks/power.py", "--designs", "5x4", text], "from 2x2 to 24x100")
            for text in ("1x4", "99x2")
        ),
        (["benchmarks/power.py", "--studies", "0"], "argument --studies: '0' is no number of things"),
        (["benchmarks/study_throughput.py", "--seeds", "0"], "argument --seeds: '0' is no number of things"),
        (["benchmarks/study_throughput.py", "--study", "/nonexistent.yaml"], "No such file"),
        (["benchmarks/study_throughput.py", "--study", "."], "'.' cannot be read: .* Is a directory"),
        (["benchmarks/study_throughput.py", "--study", "CITATION.cff"], "is no study with seeds, templates"),
        (["benchmarks/study_throughput.py", "--profile", "/nonexistent"], "is no folder with a profile"),
        (["benchmarks/dag.py", "--pairs", "0"], "argument --pairs: '0' is no number of things"),
        (["docs/renew.py", "--foo"], "unrecognized arguments: --foo"),
    ],
)
def test_a_wrong_argument_is_said_in_one_line(script, capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        script(*arguments)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert re.search(f": error: .*{message}.*\n$", said), said


def test_a_benchmark_of_one_study_of_a_design_ends(script, capsys):
    script("benchmarks/power.py", "--studies", "1", "--permutations", "20", "--designs", "5x4", "10x4")
    assert "| 10 × 4 | flip |" in capsys.readouterr().out


@pytest.mark.parametrize("file", sorted(BENCHMARKS.glob("*.py")), ids=lambda file: file.stem)
def test_every_number_of_a_benchmark_is_one_of_these(file):
    assert re.findall(r"\btype=(?:int|float)\b", file.read_text("utf-8")) == []
