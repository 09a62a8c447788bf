"""Numbers on the command line of a benchmark: those that measure nothing are refused."""

import argparse
import importlib
import re
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def options(monkeypatch):
    """The module, importable as it is when a benchmark runs."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("options")


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


@pytest.mark.parametrize("file", sorted(BENCHMARKS.glob("*.py")), ids=lambda file: file.stem)
def test_every_number_of_a_benchmark_is_one_of_these(file):
    assert re.findall(r"\btype=(?:int|float)\b", file.read_text("utf-8")) == []
