"""Files and folders that appear under their names only when they are whole."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path


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
