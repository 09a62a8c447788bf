"""Second names of files in a separate folder: they stay when the first name is removed."""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path

from innerear.io.files import atomic


def paths_apart(files: Sequence[str | PathLike], folder: str | PathLike) -> list[Path]:
    """Return paths in a folder apart that keep a file's kind, prompt and name: stacks/happy/seed-0.h5."""
    return [Path(folder, *Path(file).parts[-3:]) for file in files]


def name_also(file: str | PathLike, other: str | PathLike) -> None:
    """Give a file a second name, unless it has it; what had that name is gone.

    Where a file system has no hard links, the second name is that of a copy.

    Raises
    ------
    InputError: the machine cannot write it.
    """
    if _is_one(Path(file), Path(other)):
        return
    with atomic(other) as temporary:
        try:
            os.link(file, temporary)
        except OSError:
            shutil.copy2(file, temporary)


def forget_finished(folder: str | PathLike, results: str | PathLike) -> None:
    """Remove the names apart of files that stand among the results, and folders that are left empty."""
    for own in list(Path(folder).glob("*/*/*")):
        if (Path(results) / own.relative_to(folder)).exists():
            own.unlink()
            for empty in own.parents[:3]:
                with suppress(OSError):
                    empty.rmdir()


def _is_one(file: Path, other: Path) -> bool:
    if not other.exists():
        return False
    sizes = {(found.st_size, found.st_mtime_ns) for found in (file.stat(), other.stat())}
    return file.samefile(other) or len(sizes) == 1
