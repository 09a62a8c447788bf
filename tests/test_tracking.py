import os
import subprocess
import sys

import pytest

from innerear import tracking
from innerear.errors import InputError, did_you_mean


def test_atomic_leaves_the_old_file_when_writing_fails(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("old")
    with pytest.raises(RuntimeError), tracking.atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["table.tsv"]


def test_atomic_renames_a_whole_file(tmp_path):
    path = tmp_path / "deep" / "table.tsv"
    with tracking.atomic(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.suffix == ".tsv"
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["table.tsv"]


def test_atomic_makes_a_folder_appear_whole(tmp_path):
    folder = tmp_path / "results" / "piano"
    with pytest.raises(RuntimeError), tracking.atomic(folder) as temporary:
        temporary.mkdir()
        (temporary / "layer_00.h5").write_text("half of it")
        raise RuntimeError
    assert os.listdir(folder.parent) == []
    with tracking.atomic(folder) as temporary:
        temporary.mkdir()
        (temporary / "layer_00.h5").write_text("all")
        assert not folder.exists()
    assert os.listdir(folder.parent) == ["piano"]
    assert (folder / "layer_00.h5").read_text() == "all"


def test_log_to_writes_to_both_log_and_terminal(tmp_path, capsys):
    with tracking.log_to(tmp_path / "job.log"):
        print("on stdout")
        print("on stderr", file=sys.stderr)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("on stdout\n", "on stderr\n")
    assert (tmp_path / "job.log").read_text() == "on stdout\non stderr\n"


def test_log_to_ends_an_input_error_without_traceback(tmp_path, capsys):
    with pytest.raises(SystemExit) as end, tracking.log_to(tmp_path / "job.log"):
        raise InputError("layer 9 does not exist")
    assert end.value.code == 1
    assert capsys.readouterr().err == "error: layer 9 does not exist\n"
    assert "Traceback" not in (tmp_path / "job.log").read_text()


def test_log_to_keeps_the_traceback_of_a_bug(tmp_path):
    with pytest.raises(ZeroDivisionError), tracking.log_to(tmp_path / "job.log"):
        1 / 0  # noqa: B018
    assert "ZeroDivisionError" in (tmp_path / "job.log").read_text()


def test_did_you_mean_names_only_what_is_near():
    assert did_you_mean("sedes", ["seeds", "study"]) == " (did you mean 'seeds'?)"
    assert did_you_mean("zzz", ["seeds", "study"]) == ""


def test_atomic_sweeps_what_a_killed_writer_left_and_nothing_else(tmp_path):
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    stale = tmp_path / f".table.{killed.pid}.partial.tsv"
    others = [tmp_path / f".table.{os.getppid()}.partial.tsv", tmp_path / f".map.{killed.pid}.partial.tsv"]
    for path in (stale, *others):
        path.write_text("half")
    with tracking.atomic(tmp_path / "table.tsv") as temporary:
        temporary.write_text("new")
    assert not stale.exists()
    assert all(path.exists() for path in others)


def test_hold_refuses_a_second_process_until_the_first_has_ended(tmp_path):
    code = "import sys, innerear.tracking as t; t.hold(sys.argv[1]); print('held', flush=True); input()"
    command = [sys.executable, "-c", code, str(tmp_path / "running")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    first = subprocess.Popen(command, **pipes)
    assert first.stdout.readline() == "held\n"
    second = subprocess.run(command, input="\n", capture_output=True, text=True)
    assert second.returncode != 0
    assert f"process {first.pid} is at work" in second.stderr
    first.kill()
    first.communicate()
    third = subprocess.run(command, input="\n", capture_output=True, text=True)
    assert third.stdout == "held\n"
