"""A study killed at many moments of its whole course ends like an undisturbed one, byte by byte.

`make test-long` runs it: fifty kills and two whole studies take minutes.
"""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.long
RESUME = ("--cores", "2", "--rerun-incomplete", "--nolock")
KILLS = 54
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
#: seconds from the start of a run to its kill: within Snakemake's own start, or a few jobs later
EARLIEST, LATEST = 1.0, 14.0


def samples(results: Path) -> dict[Path, tuple[int, int]]:
    """Finished stacks and clips, each with the number of its file on the disk and its time."""
    paths = [*results.glob("stacks/*/seed-*.h5"), *results.glob("audio/*/seed-*.wav")]
    return {path: ((found := path.stat()).st_ino, found.st_mtime_ns) for path in paths}


def end(run: subprocess.Popen, number: signal.Signals) -> None:
    """Send a signal to Snakemake and all its jobs; wait until none of them is left."""
    os.killpg(run.pid, number)
    try:
        run.wait(60)
    finally:
        deadline = time.monotonic() + 60
        while group_lives(run.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        if group_lives(run.pid):
            os.killpg(run.pid, signal.SIGKILL)


def group_lives(group: int) -> bool:
    """Whether a process of a group is at work; a dead one that nobody waited for is not."""
    states = subprocess.run(["ps", "-o", "stat=", "-g", str(group)], capture_output=True, text=True).stdout
    return any(not state.startswith("Z") for state in states.split())


def test_a_study_killed_at_fifty_moments_is_the_same(finished, fresh):
    moments = random.Random(20)
    kills, made = 0, {}
    while kills < KILLS:
        with (fresh.folder / "said.txt").open("ab") as said:
            run = fresh.start(*RESUME, stdout=said)
        try:
            run.wait(moments.uniform(EARLIEST, LATEST))
        except subprocess.TimeoutExpired:
            end(run, SIGNALS[kills % len(SIGNALS)])
            kills += 1
        else:
            assert run.returncode == 0, (fresh.folder / "said.txt").read_text()[-5000:]
            shutil.rmtree(fresh.results)  # all was made before the last kill: begin again
            made = {}
            continue
        now = samples(fresh.results)
        assert {path: now.get(path) for path in made} == made, f"made again after kill {kills}"
        made = now
    done = fresh.snakemake(*RESUME)
    assert done.returncode == 0, done.stderr
    assert {path: samples(fresh.results)[path] for path in made} == made
    undisturbed, resumed = finished.contents(), fresh.contents()
    assert sorted(resumed) == sorted(undisturbed)
    assert [name for name, content in undisturbed.items() if resumed[name] != content] == []
