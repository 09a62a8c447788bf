"""Other people's machines, for tests: no locks, no rights, a small disk, few file handles."""

import ctypes
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

# From <linux/prctl.h> and <linux/capability.h>: root then needs the rights that everybody needs.
_DROP, _IGNORE_RIGHTS = 24, (1, 2)

_NO_LOCKS = """
#include <errno.h>
int flock(int file, int operation) {{ errno = {error}; return -1; }}
"""


def without_privileges() -> None:
    """Give up root's right to read and write everything: for `preexec_fn`."""
    if os.geteuid() == 0:
        for capability in _IGNORE_RIGHTS:
            ctypes.CDLL(None).prctl(_DROP, capability, 0, 0, 0)


def limited(**limits: int):
    """Set limits by name, such as ``NOFILE=64``: for `preexec_fn`."""

    def limit() -> None:
        for name, most in limits.items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))

    return limit


def no_locks(folder: Path, error: str = "ENOLCK") -> dict[str, str]:
    """Return the environment of a process whose every file system has no locks."""
    source, library = folder / "no_locks.c", folder / f"no_locks_{error}.so"
    source.write_text(_NO_LOCKS.format(error=error), "utf-8")
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("no C compiler")
    if sys.platform != "linux":
        pytest.skip("LD_PRELOAD")
    return os.environ | {"LD_PRELOAD": str(library)}


def python(code: str, *arguments, **process) -> subprocess.CompletedProcess:
    """Run code in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **process)
