"""Snakemake in forks of a process that has imported it: a dry run takes .9 s in place of 2.3."""

import atexit
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LONGEST = 1800

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["snakemake.cli"])


def command(*options: str) -> list[str]:
    """The command that runs Snakemake on this repository's Snakefile."""
    return [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), *options]


def forked(folder: Path, *options: str) -> subprocess.CompletedProcess:
    """What `command` does and says in a folder, without a terminal."""
    arguments = command(*options)
    with tempfile.TemporaryDirectory() as outputs:
        said = [Path(outputs, name) for name in ("stdout", "stderr")]
        fork = _FORKS.Process(target=_main, args=(folder, arguments[2:], dict(os.environ), said))
        fork.start()
        fork.join(LONGEST)
        if fork.exitcode is None:
            fork.kill()
            raise subprocess.TimeoutExpired(arguments, LONGEST)
        return subprocess.CompletedProcess(
            arguments, fork.exitcode, *(path.read_text("utf-8") for path in said)
        )


def _main(folder: Path, arguments: list[str], environment: dict[str, str], said: list[Path]) -> None:
    """What a fork runs: the command line's own entry, in its own folder, environment and outputs."""
    from snakemake.cli import main

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate(said, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.argv[:] = arguments
    try:
        main()
    finally:
        atexit._run_exitfuncs()  # a fork leaves without; the study's size is said by one of them
