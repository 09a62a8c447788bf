"""Locks that end with the process that holds them, also after ``kill -9``.

Where the file system has no locks, each process puts a file, named by machine, process id and start, into a
folder beside the lock, and holds the lock if no other process has one there. What a killed process of this
machine left is removed by the next; what one of another machine left must be removed by hand.
"""

import atexit
import errno
import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path

from innerear.errors import InputError
from innerear.io.files import is_alive
from innerear.io.machine import cannot

_HELD = (errno.EWOULDBLOCK, errno.EACCES)


def lock(path: str | os.PathLike) -> bool:
    """Lock a file until this process ends; False if another process holds it.

    The file is made for all users to share, whatever the umask.

    Raises
    ------
    OSError: it can be neither opened nor made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _open(path)  # not closed where it is locked: closing releases the lock
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        return error.errno not in _HELD and _claim(path)
    return True


def hold(path: str | os.PathLike) -> None:
    """Lock a file until this process ends, and write the process id and the machine's name into it.

    Raises
    ------
    InputError: another process holds it, or it cannot be made.
    """
    path = Path(path)
    try:
        held = lock(path)
        if held:
            path.write_text(f"{os.getpid()} {_host()}", encoding="utf-8")
    except OSError as error:
        raise InputError(cannot("locked", path, error) or f"{path} cannot be locked: {error}") from None
    if not held:
        process, _, host = path.read_text(encoding="utf-8", errors="replace")[:300].partition(" ")
        claims = _claims(path)
        unless = f"; if it ended long ago, remove {claims}" if claims.is_dir() else ""
        raise InputError(
            f"process {process or 'unknown'} is at work{host and f' on {host}'} and holds {path}: two at "
            f"once would undo each other's files; wait for it, or stop it{unless}"
        )


def _open(path: Path) -> int:
    """Open a lock file for reading and writing, which locks on NFS need, or else for reading."""
    while True:
        try:
            return os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EROFS):
                raise
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with suppress(FileExistsError):  # another process was first
            return _for_all(os.open, path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)


def _for_all(make, *given):
    """Make a file or folder with the mode that is asked for, without the umask."""
    mask = os.umask(0)
    try:
        return make(*given)
    finally:
        os.umask(mask)


def _claims(path: Path) -> Path:
    return path.with_name(f"{path.name}.claims")


def _claim(path: Path) -> bool:
    """Hold a lock by a file in a folder; of two that ask at once, both may be refused."""
    folder = _claims(path)
    with suppress(FileExistsError):
        _for_all(os.mkdir, folder, 0o1777)
    own = folder / f"{_host()},{os.getpid()},{_start(os.getpid())}"
    if own.exists():
        return False
    own.touch()
    for other in sorted(folder.iterdir()):
        host, process, start = (*other.name.split(","), "", "")[:3]
        if other == own:
            continue
        if host != _host() or (process.isdigit() and is_alive(int(process)) and _start(process) == start):
            own.unlink()
            return False
        with suppress(OSError):  # another user's, in a folder where each removes only their own
            other.unlink()
    atexit.register(own.unlink, missing_ok=True)
    return True


def _host() -> str:
    return socket.gethostname().replace(",", "_").replace("/", "_") or "unknown"


def _start(process: int | str) -> str:
    """Return when a process started, in the system's ticks; empty where the system does not say."""
    try:
        said = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return said.rpartition(")")[2].split()[19]
