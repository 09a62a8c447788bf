"""What a run shows: its estimate, jobs done of all, failures whole, and where its full log is."""

import io
import logging
import os
import re
import sys
import time
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from innerear.io.log import LOGS_ALONE
from snakemake_logger_plugin_innerear import LogHandler


@pytest.fixture(autouse=True)
def later_tests_speak():
    """The view asks jobs to be silent through this process's environment, which it keeps."""
    yield
    os.environ.pop(LOGS_ALONE, None)


def test_a_run_without_a_terminal_says_how_far_it_is_and_little_else(fresh):
    done = fresh.snakemake("--cores", "2", "--logger", "innerear", "--until", "index")
    said = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 0
    assert said[0].startswith("Study ")
    assert len(said) < 40
    assert any(re.match(r"2 of 2 jobs done after \d+:\d\d", line) for line in said)
    (log,) = (line.partition(": ")[2] for line in said if line.startswith("Complete log"))
    assert "Finished jobid" in (fresh.folder / log).read_text()
    jobs = next((fresh.results / "logs/generate").glob("*.log")).read_text()
    assert "step" in jobs
    assert not any("step/s" in line for line in said)


def test_a_dry_run_fits_on_a_screen(fresh):
    done = fresh.snakemake("-n", "--logger", "innerear")
    said = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 0
    assert len(said) < 50
    assert sum(line.startswith("Jobs: ") for line in said) == 1
    assert any(line.startswith("Study ") for line in said)


def test_a_failed_job_of_many_clips_says_its_one_line_and_not_one_for_each_clip(fresh):
    (fresh.results / "unfinished").parent.mkdir(parents=True)
    (fresh.results / "unfinished").write_text("no folder")
    for how in ((), ("--logger", "innerear")):
        done = fresh.snakemake("--cores", "1", "--until", "generate", *how)
        said = done.stdout + done.stderr
        assert done.returncode != 0
        assert said.count("error: ") == 1 and "unfinished" in said
        assert "Cannot restore" not in said


def test_what_fails_is_said_whole(fresh):
    fresh.snakemake("--cores", "1", "--until", "all_samples", "--quiet", "all")
    stack = next(fresh.results.glob("stacks/*/seed-0.h5"))
    stack.write_bytes(stack.read_bytes()[:1000])
    done = fresh.snakemake("--cores", "1", "--logger", "innerear", "--force", "results/tiny/samples.tsv")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"error: {stack.relative_to(fresh.folder)}" in said
    assert "Error in rule index" in said


def tell(handler, **values):
    """Tell it what Snakemake's log says."""
    handler.handle(logging.makeLogRecord({"levelno": logging.INFO, "msg": ""} | values))


def begin(monkeypatch):
    """Begin a run of two jobs, of which one runs: what is written on its terminal, and what shows it."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    handler = LogHandler(SimpleNamespace(dryrun=False), None)
    tell(handler, event=LogEvent.RUN_INFO, stats={"total": 2})
    tell(handler, event=LogEvent.JOB_INFO, jobid=1, rule_name="generate")
    tell(handler, event=LogEvent.JOB_STARTED, jobs=[1])
    return terminal, handler


def test_the_bars_clock_runs_while_no_job_begins_or_ends(monkeypatch):
    terminal, handler = begin(monkeypatch)
    waiting = re.compile(r"0 of 2 jobs [^\r]* 00:0[1-9],[^\r]* left, generate")
    until = time.monotonic() + 9
    while not (ran := waiting.search(terminal.getvalue())) and time.monotonic() < until:
        time.sleep(0.1)
    handler.close()
    assert ran, terminal.getvalue()


def test_jobs_that_are_stopped_do_not_say_how_they_failed(capsys):
    handler = LogHandler(SimpleNamespace(dryrun=False), None)
    tell(handler, event=LogEvent.JOB_ERROR, jobid=1, levelno=logging.ERROR, msg="Error in rule gram")
    tell(handler, msg="Terminating processes on user request, this might take some time.")
    tell(handler, event=LogEvent.JOB_ERROR, jobid=2, levelno=logging.ERROR, msg="Error in rule lags")
    error = {"event": LogEvent.ERROR, "levelno": logging.ERROR}
    tell(handler, exception="RuleException", msg="lags died with SIGINT", **error)
    tell(handler, exception="OSError", msg="no space left", **error)
    tell(handler, msg="Complete log(s): some.log")
    handler.close()
    handler.close()
    assert capsys.readouterr().err.splitlines() == [
        "Error in rule gram",
        "Terminating processes on user request, this might take some time.",
        "no space left",
        "Complete log(s): some.log",
        "Stopped. The same command goes on where this run was.",
    ]


def test_a_job_that_is_tried_again_has_not_failed(monkeypatch):
    terminal, handler = begin(monkeypatch)
    tell(handler, event=LogEvent.JOB_ERROR, jobid=1)
    handler._show()
    assert terminal.getvalue().endswith("left, 1 failed")
    tell(handler, event=LogEvent.JOB_STARTED, jobs=[1])
    handler.close()
    assert terminal.getvalue().rstrip().endswith("left, generate")
