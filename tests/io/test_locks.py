"""One process holds a lock, and lets go however it ends; also without locks, and for several users."""

import os
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from machines import no_locks, without_privileges

from innerear.errors import InputError
from innerear.io.locks import hold, lock

HOLD = """
import sys
from innerear.errors import InputError
from innerear.io.locks import hold
try:
    hold(sys.argv[1])
except InputError as error:
    sys.exit(f"error: {error}")
print("held", flush=True)
input()
"""
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
NOBODY = 65534


@pytest.fixture(params=["locks", "no locks"])
def environment(request, tmp_path):
    return dict(os.environ) if request.param == "locks" else no_locks(tmp_path)


def started(path, environment):
    process = subprocess.Popen([sys.executable, "-c", HOLD, path], env=environment, **PIPES)
    assert process.stdout.readline() == "held\n"
    return process


def tried(path, environment):
    command = [sys.executable, "-c", HOLD, path]
    return subprocess.run(command, input="\n", env=environment, capture_output=True, text=True)


def test_hold_refuses_a_second_process_until_the_first_was_killed(tmp_path, environment):
    path = str(tmp_path / "running")
    first = started(path, environment)
    second = tried(path, environment)
    assert second.returncode != 0
    assert f"process {first.pid} is at work on {os.uname().nodename}" in second.stderr
    assert second.stderr.count("\n") == 1
    first.kill()
    first.communicate()
    assert tried(path, environment).stdout == "held\n"
    assert tried(path, environment).stdout == "held\n"


def test_the_lock_is_one_by_any_path_to_the_results(tmp_path, environment):
    """Two checkouts with one folder of results."""
    for name in ("results", "one", "other"):
        (tmp_path / name).mkdir()
    for name in ("one", "other"):
        (tmp_path / name / "results").symlink_to("../results")
    first = started(str(tmp_path / "one/results/study/.running"), environment)
    assert tried(str(tmp_path / "other/results/study/.running"), environment).returncode != 0
    first.kill()
    first.communicate()


def test_what_another_machine_left_is_named_and_not_removed(tmp_path):
    claims = tmp_path / "running.claims"
    claims.mkdir()
    (claims / "elsewhere,17,4").touch()
    done = tried(str(tmp_path / "running"), no_locks(tmp_path))
    assert done.returncode != 0
    assert f"if it ended long ago, remove {claims}" in done.stderr
    assert os.listdir(claims) == ["elsewhere,17,4"]


def test_a_process_that_has_the_id_of_a_dead_one_is_another(tmp_path):
    claims = tmp_path / "running.claims"
    claims.mkdir()
    (claims / f"{os.uname().nodename},{os.getpid()},1").touch()
    assert tried(str(tmp_path / "running"), no_locks(tmp_path)).stdout == "held\n"
    assert os.listdir(claims) == []


@pytest.mark.parametrize("name", ["running", "new/running"])
def test_a_lock_that_cannot_be_made_is_one_line(tmp_path, name):
    folder = tmp_path / "results"
    folder.mkdir()
    folder.chmod(0o555)
    command = [sys.executable, "-c", HOLD, folder / name]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=without_privileges)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "this user may not" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_dangling_link_is_one_line(tmp_path):
    (tmp_path / "results").symlink_to("nowhere")
    with pytest.raises(InputError, match="cannot be locked"):
        hold(tmp_path / "results/.running")


@pytest.fixture
def shared():
    """A folder like ``/tmp``, which all users write."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o1777)
        yield Path(folder)


def as_nobody(call):
    """Return what a call returns for another user, or the exception's name."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        with suppress(BaseException):
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            try:
                said = str(call())
            except Exception as error:
                said = type(error).__name__
            os.write(write, said.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with open(read, encoding="utf-8") as answer:
        return answer.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_two_users_share_a_lock_whatever_the_umask(shared):
    path = shared / "innerear-gpu-0.lock"
    mask = os.umask(0o077)
    try:
        assert lock(path)
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert as_nobody(lambda: lock(path)) == "False"
    assert as_nobody(lambda: lock(shared / "innerear-gpu-1.lock")) == "True"
