"""Which file of a study a path stands for: our files say what they were written as, and readers compare."""

import os
from os import PathLike

from innerear.errors import InputError

#: Folder of a study's results in which a sample is made, before it gets its name among the results.
UNFINISHED = "unfinished"


_REMAKE = "remake it with: "


def remake(path: str | PathLike) -> str:
    """Return the command that remakes a file."""
    return f"{_REMAKE}snakemake --cores 1 --force {path}"


def without_remedy(error: InputError) -> str:
    """Return what an error says, without the command that remakes the file."""
    return str(error).partition(f"; {_REMAKE}")[0]


def name_in_study(path: str | PathLike) -> str:
    """Return a file's name below ``results``, such as ``{study}/gram/layer_03.h5``; elsewhere its own.

    A sample that is not among the results yet has the name that it gets there.
    """
    parts = os.path.abspath(path).split(os.sep)
    below = [number for number, part in enumerate(parts[:-1], start=1) if part == "results"]
    parts = parts[below[-1] if below else -1 :]
    return "/".join(part for place, part in enumerate(parts) if (place, part) != (1, UNFINISHED))


def require_name(path: str | PathLike, written_as: object, target: str | PathLike) -> None:
    """Refuse a file that was written under another name: of another study, sample, layer or analysis.

    Outside of a folder ``results`` the folders of a name are not compared, so that a study can be moved.

    Raises
    ------
    InputError: both names, and the command that remakes `target`.
    """
    own = name_in_study(path)
    stored = str(written_as)
    if own != (stored if "/" in own else stored.rpartition("/")[2]):
        raise InputError(
            f"{path} is another file under this name: it was written as {stored}; {remake(target)}"
        )
