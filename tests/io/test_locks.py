"""One process holds a lock, and lets go however it ends."""

import subprocess
import sys


def test_hold_refuses_a_second_process_until_the_first_has_ended(tmp_path):
    code = "import sys, innerear.io.locks as t; t.hold(sys.argv[1]); print('held', flush=True); input()"
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
