"""What is the matter with the machine is said in one line, and never called a fault of the file."""

import errno
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from machines import limited, no_locks, python, without_privileges

from innerear.errors import InputError
from innerear.io.machine import cannot, files_at_once, machine_fault
from innerear.stacks import GramFile

READ = """
import sys
from innerear.io.log import log_to
from innerear.stacks import GramFile
with log_to(sys.argv[1] + ".log"):
    with GramFile(sys.argv[1]) as file:
        print(file.read("mean").sum())
"""
WRITE = """
import sys
import numpy as np
from innerear.io.log import log_to
from innerear.stacks import GramFile
values = np.random.default_rng(0).normal(size=(4, 100, 100))
with log_to(sys.argv[2]):
    GramFile.write(sys.argv[1], {"gram": (("step", "sample", "sample_2"), values)},
                   {"step": range(4), "sample": range(100), "sample_2": range(100)})
"""


@pytest.fixture
def whole(tmp_path):
    path = tmp_path / "layer_00.h5"
    GramFile.write(path, {"mean": (("step",), np.ones(5))}, {"step": range(5)})
    return path


def said(number):
    return machine_fault(OSError(number, os.strerror(number)))


@pytest.mark.parametrize(
    ("number", "part"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "file system failed"),
        (errno.ESTALE, "file system failed"),
        (errno.ENOLCK, "HDF5_USE_FILE_LOCKING"),
    ],
)
def test_each_fault_of_the_machine_has_a_line_of_its_own(number, part):
    assert part in said(number)
    assert "truncated" not in said(number)
    assert "\n" not in said(number)


def test_hdf5s_own_errors_count_as_the_systems(tmp_path):
    with pytest.raises(OSError) as raised:
        h5py.File(tmp_path)
    assert "a folder" in cannot("read", tmp_path, OSError(str(raised.value)))


@pytest.mark.parametrize("error", [ValueError("x"), FileNotFoundError(2, "none"), OSError("file signature")])
def test_an_error_that_is_not_the_machines_is_left_alone(error):
    assert machine_fault(error) is None


@pytest.mark.parametrize("error", ["ENOLCK", "ENOTSUP"])
def test_without_locks_files_are_read_and_written(whole, tmp_path, error):
    environment = no_locks(tmp_path, error)
    environment.pop("HDF5_USE_FILE_LOCKING", None)
    done = python(READ, whole, env=environment)
    assert done.stdout == "5.0\n", done.stderr
    done = python(WRITE, tmp_path / "new.h5", tmp_path / "log", env=environment)
    assert done.returncode == 0, done.stderr
    with GramFile(tmp_path / "new.h5") as file:
        assert file.read("gram").shape == (4, 100, 100)


def test_who_asks_for_locks_that_are_not_there_is_told_the_variable(whole, tmp_path):
    environment = no_locks(tmp_path) | {"HDF5_USE_FILE_LOCKING": "TRUE"}
    done = python(READ, whole, env=environment)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "HDF5_USE_FILE_LOCKING=FALSE" in done.stderr
    assert "truncated" not in done.stderr
    assert "remake" not in done.stderr


def test_a_file_without_the_right_to_read_it(whole):
    whole.chmod(0)
    done = python(READ, whole, preexec_fn=without_privileges)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: {whole} cannot be read: this user may not (permission denied); chmod it or its folder, or "
        "work as its owner\n"
    )


def test_too_many_open_files(whole):
    code = READ.replace(
        "    with GramFile",
        """    opened = []
    try:
        while True:
            opened.append(open("/dev/null"))
    except OSError:
        pass
    with GramFile""",
    )
    done = python(code, whole, preexec_fn=limited(NOFILE=64))
    assert done.returncode == 1
    assert "too many open files (ulimit -n is 64)" in done.stderr
    assert "truncated" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_full_disk_ends_in_one_line_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "layer_00.h5"
    done = python(WRITE, path, tmp_path / "log", preexec_fn=limited(FSIZE=50_000))
    assert done.returncode == 1, done.returncode  # and not by a signal
    assert done.stderr.startswith(f"error: {path} cannot be written: ")
    assert done.stderr.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == ["log"]
    assert python(WRITE, path, tmp_path / "log").returncode == 0


def test_a_log_that_cannot_be_written_stops_no_job(tmp_path):
    code = """
import sys
from innerear.io.log import log_to
with log_to(sys.argv[1]):
    for line in range(3000):
        print(line)
"""
    done = python(code, tmp_path / "log", preexec_fn=limited(FSIZE=4096))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(line) for line in range(3000)]
    assert done.stderr.count("\n") == 1
    assert f"warning: {tmp_path / 'log'} cannot be written" in done.stderr


def test_a_read_only_folder_is_named(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    folder.chmod(0o555)
    done = python(WRITE, folder / "layer_00.h5", tmp_path / "log", preexec_fn=without_privileges)
    assert done.returncode == 1
    assert f"{folder / 'layer_00.h5'} cannot be written: this user may not" in done.stderr
    assert done.stderr.count("\n") == 1


def test_few_files_stay_open_where_few_may():
    code = "from innerear.io.machine import files_at_once; print(files_at_once(128))"
    counts = [int(python(code, preexec_fn=limited(NOFILE=most)).stdout) for most in (30, 64, 1024)]
    assert counts == [0, 24, 128]
    assert files_at_once(1) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_write_that_fails_names_the_file_and_not_its_temporary_one(tmp_path, monkeypatch, number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    path = Path(tmp_path, "layer_00.h5")
    with pytest.raises(InputError, match=f"^{path} cannot be written: "):
        GramFile.write(path, {"mean": (("step",), np.ones(5))}, {"step": range(5)})
    assert os.listdir(tmp_path) == []
