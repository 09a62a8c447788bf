"""Describe a fault of the machine, not of the input, in one line: disk, rights, locks, open files."""

import errno
import os
import re
import resource
import shutil
import stat
from pathlib import Path

# How HDF5 writes down the system's error in its own.
_WRITTEN = re.compile(r"\berrno = (\d+)")
_AGAIN = "run the same command again: what is finished is kept"
_LOCKS = "set the environment variable HDF5_USE_FILE_LOCKING=FALSE"
# Files that a process has open beside those that it reads: libraries, pipes, its log.
_OTHER_FILES = 40
_NETWORK = (
    "the disk or the network file system failed; the file itself may be whole. See whether it is mounted"
)

_SAID = {
    errno.EDQUOT: f"your quota of disk space is used up; free some, then {_AGAIN}",
    errno.EROFS: "the file system is read-only; use another folder, or have it mounted for writing",
    errno.EACCES: "this user may not (permission denied); chmod it or its folder, or work as its owner",
    errno.EPERM: "this user may not (operation not permitted); chmod it or its folder, or work as its owner",
    errno.ENFILE: f"all programs of the machine together have too many open files; {_AGAIN} later",
    errno.EIO: f"{_NETWORK}, then {_AGAIN}",
    errno.ESTALE: f"{_NETWORK}, then {_AGAIN}",
    errno.ENOTCONN: f"{_NETWORK}, then {_AGAIN}",
    errno.ENOMEM: f"the machine has no memory left; run fewer jobs at once, then {_AGAIN}",
    errno.ENOLCK: f"its file system has no locks; {_LOCKS}",
    errno.ENAMETOOLONG: "the name is too long for its file system; give shorter names or another folder",
    errno.ENOTDIR: "a part of its path is a file, where a folder is needed",
    errno.EEXIST: "it is a file, where a folder is needed",
    errno.EISDIR: "it is a folder, where a file is needed",
    errno.ELOOP: "its path is a circle of symbolic links",
    errno.ESPIPE: "it is a pipe, a socket or a device, where a file is needed; remove it",
}
# These mean something else where no lock is asked for.
_OF_LOCKS = {
    **dict.fromkeys((errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL), _SAID[errno.ENOLCK]),
    errno.EAGAIN: f"another program has it open for writing; close it there, or {_LOCKS}",
}


def machine_fault(error: BaseException, path: str | os.PathLike = ".") -> str | None:
    """Return what is the matter with the machine and what to do; None if the error is not the machine's.

    Parameters
    ----------
    error : of the system, or of HDF5, which keeps the system's error in its text.
    path : the file that is read or written.
    """
    number = getattr(error, "errno", None)
    if number is None and (written := _WRITTEN.search(str(error))):
        number = int(written[1])
    if number == errno.ENOSPC:
        return f"the disk is full{_free(Path(path))}; free some space, then {_AGAIN}"
    if number == errno.EFBIG:
        most = _limit(resource.RLIMIT_FSIZE)
        return f"no file may grow so large here (ulimit -f{most}); raise it, then {_AGAIN}"
    if number == errno.EMFILE:
        most = _limit(resource.RLIMIT_NOFILE)
        return f"this process has too many open files (ulimit -n{most}); raise it, as in: ulimit -n 4096"
    if number in _OF_LOCKS and "lock" in str(error):
        return _OF_LOCKS[number]
    return _SAID.get(number) if number is not None else None


def cannot(verb: str, path: str | os.PathLike, error: BaseException) -> str | None:
    """Return ``"{path} cannot be {verb}: …"`` for a fault of the machine, else None.

    An error that names another file is about that one.
    """
    where = getattr(error, "filename", None) or path
    said = machine_fault(error, where)
    return said and f"{os.fsdecode(where)} cannot be {verb}: {said}"


def file_size(path: str | os.PathLike) -> int:
    """Return the bytes of a file that is to be read.

    Raises
    ------
    OSError: none is there; a pipe, a socket or a device, of which reading may never end.
    """
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise OSError(errno.ESPIPE, os.strerror(errno.ESPIPE), str(path))
    return found.st_size


def files_at_once(most: int) -> int:
    """Return how many of `most` files to keep open, where the process may open few (``ulimit -n``)."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return most if limit == resource.RLIM_INFINITY else max(0, min(most, limit - _OTHER_FILES))


def _free(path: Path) -> str:
    folder = next((one for one in (path, *path.absolute().parents) if one.is_dir()), None)
    if folder is None:
        return ""
    return f" ({shutil.disk_usage(folder).free / 2**20:.1f} MiB free in {folder})"


def _limit(which: int) -> str:
    most = resource.getrlimit(which)[0]
    unit = 1024 if which == resource.RLIMIT_FSIZE else 1  # as bash counts
    return "" if most == resource.RLIM_INFINITY else f" is {most // unit}"
