"""The made-up study of `benchmarks/scale.py` passes every stage at a tiny size; all benchmarks are run."""

import re
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
# What `make benchmarks` does not run: GPUs, helpers of other scripts, and docs/power.md.
ELSEWHERE = {"gpu", "options", "shapes", "power"}


def test_every_stage_runs_and_grows_as_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import scale

    monkeypatch.setattr(scale, "in_own_process", scale.once)
    small, large = scale.run([6, 12], 32, tmp_path)
    assert not list(tmp_path.iterdir())
    for stage in ("stacks", "gram"):
        assert {"cpu", "peak", "bytes", "files"} <= small[stage].keys()
    n = 6 * 4 * 4
    assert small["stacks"]["files"] == 2 * n
    assert large["stacks"]["bytes"] == pytest.approx(2 * small["stacks"]["bytes"], rel=0.02)
    grown = large["gram"]["bytes"] - small["gram"]["bytes"]
    expected = scale.gram_bytes(scale.Size(12, 32)) - scale.gram_bytes(scale.Size(6, 32))
    assert grown == pytest.approx(expected, rel=0.05)
    assert capsys.readouterr().out.count("similarity") == 2


def test_make_benchmarks_runs_every_script_that_needs_no_gpu():
    script = (BENCHMARKS / "all.sh").read_text("utf-8")
    run = set(re.findall(r"^ *measure (\w+)\.py", script, re.M))
    there = {file.stem for file in BENCHMARKS.glob("*.py")}
    assert run == {name for name in there - ELSEWHERE if not name.startswith("gpu_")}
