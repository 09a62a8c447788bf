"""A job's log holds what the terminal showed; an input error ends it in one line."""

import sys

import pytest
from tqdm import tqdm

from innerear.errors import InputError
from innerear.io.log import log_to


def test_log_to_writes_to_both_log_and_terminal(tmp_path, capsys):
    with log_to(tmp_path / "job.log"):
        print("on stdout")
        print("on stderr", file=sys.stderr)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("on stdout\n", "on stderr\n")
    assert (tmp_path / "job.log").read_text() == "on stdout\non stderr\n"


def test_log_to_ends_an_input_error_without_traceback(tmp_path, capsys):
    with pytest.raises(SystemExit) as end, log_to(tmp_path / "job.log"):
        raise InputError("layer 9 does not exist")
    assert end.value.code == 1
    assert capsys.readouterr().err == "error: layer 9 does not exist\n"
    assert "Traceback" not in (tmp_path / "job.log").read_text()


def test_what_ends_a_job_begins_a_line_of_its_own_after_a_bar(tmp_path, capsys):
    with pytest.raises(SystemExit), log_to(tmp_path / "job.log"):
        for layer in tqdm([3, 4], bar_format="{n} of {total}"):
            raise InputError(f"layer {layer} does not exist")
    assert capsys.readouterr().err.splitlines()[-1] == "error: layer 3 does not exist"
    assert "\nerror: layer 3 does not exist\n" in (tmp_path / "job.log").read_text()


def test_log_to_keeps_the_traceback_of_a_bug(tmp_path):
    with pytest.raises(ZeroDivisionError), log_to(tmp_path / "job.log"):
        1 / 0  # noqa: B018
    assert "ZeroDivisionError" in (tmp_path / "job.log").read_text()


def test_log_to_ends_an_interrupted_job_in_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as end, log_to(tmp_path / "job.log"):
        raise KeyboardInterrupt
    assert end.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert "KeyboardInterrupt" in (tmp_path / "job.log").read_text()
