"""Write files and folders atomically: a name that exists is whole."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path


@contextmanager
def atomic(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success fsync it and rename it to `path`.

    The caller writes a file or a folder there. A folder replaces only an empty folder. After an exception
    the temporary file is removed and `path` is untouched. What a killed process left behind is removed by
    the next one that writes `path`. The temporary name holds the process id, so two processes can write the
    same path, and keeps the suffix, by which writers choose the format.
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
    """Remove temporary files of `path` whose writers have ended."""
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
    except PermissionError:  # another user's process
        pass
    return True
