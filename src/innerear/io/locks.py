"""Locks that end with the process that holds them, also after ``kill -9``."""

import fcntl
import os
from pathlib import Path

from innerear.errors import InputError


def hold(path: str | os.PathLike) -> None:
    """Lock the file `path` for as long as this process lives, however it ends.

    The operating system lets go of the lock, also after ``kill -9``, so that nobody has to unlock. The file
    stays and holds the id of the last process. A file system without locks locks nothing.

    Raises
    ------
    InputError: another process holds it.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT)  # never closed: closing lets go
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(file, 20).decode() or "unknown"
        os.close(file)
        raise InputError(
            f"process {holder} is at work and holds {path}: two at once would undo each other's files; "
            "wait for it, or stop it"
        ) from None
    except OSError:
        return
    os.truncate(file, 0)
    os.write(file, str(os.getpid()).encode())
