"""Processes share out GPUs: never two on one, none lost when a process is killed."""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from innerear.io.devices import lease_gpu

JOB = """
import os, sys
from innerear.io.devices import lease_gpu
print(lease_gpu(folder=sys.argv[1]), os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path):
    """Start a process that leases a GPU, says which, and holds it until its input ends."""
    started = []

    def job(visible="3,5"):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
        process = subprocess.Popen(
            [sys.executable, "-c", JOB, str(tmp_path)],
            env=environment | {"CUDA_VISIBLE_DEVICES": visible},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield job
    for process in started:
        process.kill()
        process.communicate()


def leased(process):
    return process.stdout.readline().split()


def test_each_process_has_a_device_of_its_own_and_sees_no_other(start):
    names = [leased(start()) for _ in range(2)]
    assert sorted(names) == [["3", "3"], ["5", "5"]]


def test_the_third_of_three_waits_and_gets_what_a_killed_one_held(start):
    one, other = start(), start()
    held = {tuple(leased(process)): process for process in (one, other)}
    third = start()
    assert "all GPUs (3, 5) are taken" in third.stderr.readline()
    device, process = held.popitem()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert leased(third) == list(device)


def test_many_at_once_never_share(start):
    visible = ",".join(map(str, range(6)))
    processes = [start(visible) for _ in range(6)]
    assert sorted(leased(process)[0] for process in processes) == [str(i) for i in range(6)]


def test_under_slurm_the_job_keeps_what_slurm_gave(monkeypatch, tmp_path):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert lease_gpu(folder=tmp_path) is None
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("device", "visible"), [("cpu", "0"), ("auto", ""), ("auto", "-1")])
def test_nothing_is_leased_where_no_gpu_is_wanted_or_visible(monkeypatch, tmp_path, device, visible):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert lease_gpu(device, tmp_path) is None
    assert os.environ["CUDA_VISIBLE_DEVICES"] == visible


def test_without_cuda_visible_devices_the_machine_is_asked(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text('#!/bin/sh\necho "GPU 0: H (UUID: GPU-a)"\necho "  MIG 1g (UUID: MIG-b)"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert lease_gpu(folder=tmp_path) == "0"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_a_lock_that_another_user_closed_stops_no_one(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o1777)
        closed = Path(folder, "innerear-gpu-4.lock")
        closed.touch(0o600)
        read, write = os.pipe()
        child = os.fork()
        if not child:
            with suppress(BaseException):
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                os.dup2(write, 2)
                sys.stderr = os.fdopen(2, "w", buffering=1)
                print(lease_gpu(folder=folder), file=sys.stderr)
            os._exit(0)
        os.waitpid(child, 0)
        os.close(write)
        with open(read, encoding="utf-8") as answer:
            warning, leased = answer.read().splitlines()
    assert leased == "4"
    assert f"chmod 666 {closed}" in warning
