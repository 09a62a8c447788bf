"""The name of a study, as `make run` asks for it: no text of a configuration becomes part of a command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from innerear.__main__ import main

ROOT = Path(__file__).parents[1]
POST_DEPLOY = ("envs/acoustics.post-deploy.sh", "envs/analysis.post-deploy.sh")


@pytest.mark.parametrize("text", ["study: foo", "study: foo # note", "seeds: [0]\nstudy: 'foo'\n"])
def test_a_study_is_named_as_yaml_reads_it(tmp_path, capsys, text):
    (tmp_path / "config.yaml").write_text(text)
    assert main(["study", str(tmp_path / "config.yaml")]) == 0
    assert capsys.readouterr().out == "foo\n"


@pytest.mark.parametrize(
    "text",
    ["study: $(touch x)", "study: ../x", "study: 'a b'", "study: [a]", "seeds: [0]", "a: [", "- 1", ""],
)
def test_what_names_no_folder_is_refused(tmp_path, capsys, text):
    (tmp_path / "config.yaml").write_text(text)
    assert main(["study", str(tmp_path / "config.yaml")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "report"), [("foo # note", "foo"), ("$(touch x)", None), ("`touch x`", None)]
)
def test_make_run_passes_no_name_to_a_shell(tmp_path, name, report):
    bin = tmp_path / ".venv/bin"
    bin.mkdir(parents=True)
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "config.yaml").write_text(f"study: {name}\n")
    for program, command in {
        "snakemake": 'printf "%s\\n" "$*" >> commands',
        "python": f'exec {sys.executable} "$@"',
    }.items():
        (bin / program).write_text(f"#!/bin/sh\n{command}\n")
        (bin / program).chmod(0o755)
    # What .venv/installed depends on, none of it newer.
    for path in ("envs/lock.txt", *POST_DEPLOY, "pyproject.toml", ".venv/installed"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(["make", "run"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    commands = (tmp_path / "commands").read_text()
    assert not (tmp_path / "x").exists()
    assert done.returncode == (0 if report else 2), done.stderr
    assert ("--report" in commands) == bool(report)
    assert not report or f"--report results/{report}/report.zip" in commands
