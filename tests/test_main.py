"""The name of a study, as `make run` asks for it: no text of a configuration becomes part of a command."""

import os
import re
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


def test_a_reader_that_stops_reading_is_no_error(tmp_path):
    (tmp_path / "config.yaml").write_text("study: foo")
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "innerear", "study", str(tmp_path / "config.yaml")]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.stderr == ""


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


BAD = {
    "no such date": ("study: 2024-13-45", ", line 1: '2024-13-45' is no timestamp; put a text in quotes"),
    "digits": (f"study: x\na: {'9' * 5000}", ", line 2: '9999.* is no int; put"),
    "depth": (f"study: x\na: {'[' * 5000}", " is nested too deeply"),
    "JSON's depth": ('{"study": "x", "a": ' + "[" * 5000 + "]" * 5000 + "}", " is nested too deeply"),
    "tag": ("study: x\na: !!bool x", ", line 2: 'x' is no bool"),
    "date of another kind": ("study: x\na: !!timestamp x", ", line 2: 'x' is no timestamp"),
    "twice": ("study: a\nseeds: [0]\nstudy: b", ", line 3: the key 'study' is given twice; keep one"),
    "twice in JSON": ('{"study": "a", "study": "b"}', ": the key 'study' is given twice; keep one"),
    "base 8": ("study: x\nseeds: [010]", ", line 2: YAML takes 010 for another number"),
    "empty": ("", " holds nothing; give keys with values"),
    "list": ("- 1", r" holds \[1\]; give keys with values"),
    "no study": ("seeds: [0]", " names no study; give one"),
    "no name": ("study: 2024", ": study: 2024 cannot name a folder; use up to 100 letters"),
    "unfinished": ("a: [", ", line 1: "),
    "NUL": ("study: x\0", " is no YAML .*unacceptable character"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_what_is_wrong_with_a_configuration_is_said_in_one_line(tmp_path, capsys, text, message):
    (tmp_path / "config.yaml").write_text(text)
    assert main(["study", str(tmp_path / "config.yaml")]) == 1
    assert re.fullmatch(f"error: {tmp_path}/config.yaml{message}.*\n", capsys.readouterr().err)


@pytest.mark.parametrize(("encoding", "text"), [("utf-16", "study: x"), ("latin-1", "study: x # é")])
def test_a_configuration_in_another_encoding_is_said_in_one_line(tmp_path, capsys, encoding, text):
    (tmp_path / "config.yaml").write_text(text, encoding)
    assert main(["study", str(tmp_path / "config.yaml")]) == 1
    assert re.fullmatch("error: .*config.yaml is no text in UTF-8 .*; save it.*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing.yaml", "missing.yaml does not exist; give"),
        ("folder", "folder cannot be used: it is a folder, where a file is needed"),
        ("file/config.yaml", "config.yaml cannot be used: a part of its path is a file"),
    ],
)
def test_a_path_without_a_configuration_is_said_in_one_line(tmp_path, capsys, path, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert main(["study", str(tmp_path / path)]) == 1
    assert re.fullmatch(f"error: {tmp_path}/.*{message}.*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("folder", "folder cannot be written: it is a folder"),
        ("file/pins", "file cannot be written: it is a file, where a folder is needed"),
        ("file/more/pins", "file/more cannot be written: a part of its path is a file"),
    ],
)
def test_a_path_where_no_pins_can_lie_is_said_in_one_line(tmp_path, capsys, path, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert main(["fetch", "nano", "--output", str(tmp_path / path)]) == 1
    assert re.fullmatch(f"error: {tmp_path}/{message}.*\n", capsys.readouterr().err)


@pytest.mark.parametrize("arguments", [["study", ""], ["fetch", "nano", "--output", ""]])
def test_an_empty_path_is_no_path(capsys, arguments):
    with pytest.raises(SystemExit):
        main(arguments)
    assert "an empty text is no path: name a file" in capsys.readouterr().err


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
    # A name that is refused is refused before Snakemake begins.
    commands = (tmp_path / "commands").read_text() if report else ""
    assert (tmp_path / "commands").exists() == bool(report)
    assert not (tmp_path / "x").exists()
    assert done.returncode == (0 if report else 2), done.stderr
    assert not report or f"--report results/{report}/report.zip" in commands
