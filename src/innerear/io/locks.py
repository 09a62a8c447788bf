"""Locks that end with the process that holds them, also after ``kill -9``."""

import fcntl
import os
from pathlib import Path

from innerear.errors import InputError


def lock(path: str | os.PathLike) -> bool:
    """Lock a file until this process ends; False if another process holds it.

    Reading is enough to lock, so users can share a lock file. A file system without locks locks nothing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.touch(0o644)
    file = os.open(path, os.O_RDONLY)  # never closed: closing releases the lock
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    except OSError:
        pass
    return True


def hold(path: str | os.PathLike) -> None:
    """Lock a file until this process ends, and write the process id into it.

    Raises
    ------
    InputError: another process holds it.
    """
    if not lock(path):
        raise InputError(
            f"process {Path(path).read_text() or 'unknown'} is at work and holds {path}: two at once would "
            "undo each other's files; wait for it, or stop it"
        )
    Path(path).write_text(str(os.getpid()))
