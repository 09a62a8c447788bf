"""A study killed at many moments of its whole course ends like an undisturbed one, byte by byte.

`make test-long` runs it: fifty kills and two whole studies take minutes.
"""

import os
import random
import shutil
import signal
import subprocess
import time

import pytest

pytestmark = pytest.mark.long
RESUME = ("--cores", "2", "--rerun-incomplete", "--nolock")
KILLS = 54
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
#: jobs that a run may finish before it is killed, and seconds from the last of them to the kill
JOBS, SECONDS = (0, 2), 4.0


def end(run: subprocess.Popen, number: signal.Signals) -> None:
    """Send a signal to Snakemake and all its jobs; wait until none of them is left.

    Snakemake waits for ever if SIGTERM meets it while it holds the lock that its handler takes
    (`JobScheduler.exit_gracefully`). Whoever waits as long as this kills it.
    """
    os.killpg(run.pid, number)
    deadline = time.monotonic() + 60
    while group_lives(run.pid) and time.monotonic() < deadline:
        run.poll()  # so that one that ended is no zombie
        time.sleep(0.05)
    if group_lives(run.pid):
        os.killpg(run.pid, signal.SIGKILL)
    run.wait(60)


def group_lives(group: int) -> bool:
    """Whether a process of a group is at work; a dead one that nobody waited for is not."""
    states = subprocess.run(["ps", "-o", "stat=", "-g", str(group)], capture_output=True, text=True).stdout
    return any(not state.startswith("Z") for state in states.split())


def finishes(run: subprocess.Popen, n_jobs: int) -> bool:
    """Read what a run says until so many of its jobs are done; False if it ends before."""
    if not n_jobs:
        return run.poll() is None
    return any((n_jobs := n_jobs - line.startswith("Finished jobid")) == 0 for line in run.stdout)


def test_a_study_killed_at_fifty_moments_is_the_same(finished, fresh):
    """At least fifty moments, and at least once from the first job to the last."""
    moments = random.Random(20)
    kills, times_whole, made = 0, 0, {}
    while kills < KILLS or not times_whole:
        run, killed = fresh.start(*RESUME), False
        if finishes(run, moments.randint(*JOBS)):
            try:
                run.wait(moments.uniform(0, SECONDS))
            except subprocess.TimeoutExpired:
                end(run, SIGNALS[kills % len(SIGNALS)])
                kills, killed = kills + 1, True
        said = run.communicate()[0]
        now = fresh.samples()
        assert {path: now.get(path) for path in made} == made, f"made again after kill {kills}"
        made = now
        if not killed:
            assert run.returncode == 0, said[-5000:]
            fresh.assert_same_as(finished)
            times_whole += 1
            shutil.rmtree(fresh.results)
            made = {}
