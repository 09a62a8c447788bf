"""What a job leaves behind: its log and its whole files; and that nobody else is at work on them."""

import fcntl
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import TextIO

from innerear.errors import InputError


class _Tee:
    """A text stream that also writes to a log file, so that progress shows in both."""

    def __init__(self, stream: TextIO, log: TextIO) -> None:
        self.stream, self.log = stream, log

    def write(self, text: str) -> int:
        self.log.write(text)
        return self.stream.write(text)

    def flush(self) -> None:
        self.log.flush()
        self.stream.flush()

    def __getattr__(self, name: str):
        return getattr(self.stream, name)


@contextmanager
def log_to(path: str | os.PathLike) -> Iterator[None]:
    """Copy what is printed, logged or raised to the file `path`, line by line.

    An `InputError` ends the process with its message alone: the message says what to do,
    and a traceback would bury it. Any other exception keeps its traceback.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", buffering=1) as log:
        stdout, stderr = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = _Tee(stdout, log), _Tee(stderr, log)
        handler = logging.StreamHandler(sys.stderr)
        logging.getLogger().addHandler(handler)
        try:
            yield
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(1) from None
        except BaseException:
            log.write(traceback.format_exc())
            raise
        finally:
            logging.getLogger().removeHandler(handler)
            sys.stdout, sys.stderr = stdout, stderr


@contextmanager
def atomic(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it to `path`.

    The caller makes a file of it, or a folder; a folder replaces none but an empty one. A name that
    exists is therefore whole. On an exception what is temporary is removed and whatever stood under
    `path` is untouched. A process killed on the way leaves it, and the next one that writes `path`
    removes it. The temporary name holds the process id, so two processes that write the same file do
    not meet, and keeps the suffix, by which writers choose their format.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield temporary
        written = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(written)
        finally:
            os.close(written)
        os.replace(temporary, path)
    finally:
        _remove(temporary)


def _sweep(path: Path) -> None:
    """Remove the temporary files of `path` whose writers are no more."""
    for temporary in path.parent.glob(f".{escape(path.stem)}.*.partial{path.suffix}"):
        process = temporary.name.removeprefix(f".{path.stem}.").removesuffix(f".partial{path.suffix}")
        if process.isdigit() and not _is_alive(int(process)):
            _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is someone else's
        return True
    return True


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
