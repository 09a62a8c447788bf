"""Where the time of a study went is asked of a study that has run."""

import subprocess
import sys
from pathlib import Path

WHERE = Path(__file__).parents[2] / "benchmarks/where.py"


def test_a_folder_without_measurements_is_no_finished_study(tmp_path):
    done = subprocess.run([sys.executable, str(WHERE), str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "holds no measured jobs" in done.stderr
