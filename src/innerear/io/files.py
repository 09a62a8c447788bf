"""Write files and folders atomically: a name that exists is whole."""

import errno
import io
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from innerear.errors import InputError
from innerear.io.machine import cannot

# Others of a cluster write to the same folder, and their processes are not seen from here.
_HOST = socket.gethostname()
_DAY = 24 * 60 * 60
_NO_FSYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)


@contextmanager
def atomic(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success fsync it and rename it to `path`.

    The caller writes a file or a folder there. A folder replaces only an empty folder. After an exception
    the temporary file is removed and `path` is untouched. What a killed process left behind is removed by
    the next one on its machine that writes `path`, and by others after a day. The temporary name holds
    machine and process, so two processes can write the same path, and keeps the suffix, by which writers
    choose the format.

    Raises
    ------
    InputError: the machine cannot write it: disk full, no permission, and so on.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{_HOST}-{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        yield temporary
        _fsync(temporary)
        os.replace(temporary, path)
    except Exception as error:
        named = {str(temporary): str(path)}.get(str(getattr(error, "filename", None)))
        if named:
            error.filename = named  # type: ignore[attr-defined]
        if said := cannot("written", path, error):
            raise InputError(said) from None
        raise
    finally:
        _remove(temporary)


class Patient(io.FileIO):
    """A new file that keeps the first error of writing for `close`, and drops what is written after it.

    HDF5 ends the process when a write fails while it closes a file.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        super().__init__(path, "w+")
        self._error: OSError | None = None

    def write(self, data) -> int:
        """Write all of `data`."""
        left = memoryview(data).cast("B")
        size = len(left)
        while left and self._error is None:
            try:
                left = left[super().write(left) :]
            except OSError as error:
                self._error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the file's size."""
        try:
            return super().truncate(size)
        except OSError as error:
            self._error = self._error or error
            return size or 0

    def close(self) -> None:
        """Close the file, and raise the first error."""
        super().close()
        error, self._error = self._error, None
        if error:
            raise error


def _fsync(path: Path) -> None:
    written = os.open(path, os.O_RDONLY)
    try:
        os.fsync(written)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
    finally:
        os.close(written)


def _sweep(path: Path) -> None:
    """Remove temporary files of `path` whose writers have ended; of another machine's, those a day old."""
    for temporary in path.parent.glob(f".{escape(path.stem)}.*.partial{path.suffix}"):
        writer = temporary.name.removeprefix(f".{path.stem}.").removesuffix(f".partial{path.suffix}")
        host, _, process = writer.rpartition("-")
        with suppress(OSError):  # it was renamed meanwhile
            old = time.time() - temporary.stat().st_mtime > _DAY
            if process.isdigit() and (not is_alive(int(process)) if host == _HOST else old):
                _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def is_alive(process: int) -> bool:
    """Return whether a process of this machine runs."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's process
        pass
    return True
