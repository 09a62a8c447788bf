"""A file or folder under its final name is whole."""

import os
import socket
import subprocess
import sys

import pytest

from innerear.io.files import atomic


def test_atomic_leaves_the_old_file_when_writing_fails(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["table.tsv"]


def test_atomic_renames_a_whole_file(tmp_path):
    path = tmp_path / "deep" / "table.tsv"
    with atomic(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.suffix == ".tsv"
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["table.tsv"]


def test_atomic_makes_a_folder_appear_whole(tmp_path):
    folder = tmp_path / "results" / "piano"
    with pytest.raises(RuntimeError), atomic(folder) as temporary:
        temporary.mkdir()
        (temporary / "layer_00.h5").write_text("half of it")
        raise RuntimeError
    assert os.listdir(folder.parent) == []
    with atomic(folder) as temporary:
        temporary.mkdir()
        (temporary / "layer_00.h5").write_text("all")
        assert not folder.exists()
    assert os.listdir(folder.parent) == ["piano"]
    assert (folder / "layer_00.h5").read_text() == "all"


def test_atomic_sweeps_what_a_killed_writer_left_and_nothing_else(tmp_path):
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    here = socket.gethostname()
    stale = tmp_path / f".table.{here}-{killed.pid}.partial.tsv"
    old = tmp_path / f".table.another-node-{killed.pid}.partial.tsv"
    others = [
        tmp_path / f".table.{here}-{os.getppid()}.partial.tsv",
        tmp_path / f".table.another-node-{os.getpid()}.partial.tsv",
        tmp_path / f".map.{here}-{killed.pid}.partial.tsv",
    ]
    for path in (stale, old, *others):
        path.write_text("half")
    os.utime(old, (0, 0))
    with atomic(tmp_path / "table.tsv") as temporary:
        temporary.write_text("new")
    assert not stale.exists() and not old.exists()
    assert all(path.exists() for path in others)
