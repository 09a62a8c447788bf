"""The study's file that a path stands for: files say what they were written as, and readers compare."""

import os
import re
from collections.abc import Iterable
from itertools import islice
from os import PathLike
from pathlib import Path

from innerear.errors import InputError

#: Folder of a study's results in which a sample is made, before it gets its name among the results.
UNFINISHED = "unfinished"


#: In the environment of jobs: the options by which the run found its study's settings, if it was given any.
SETTINGS_OPTIONS = "INNEREAR_SETTINGS_OPTIONS"

_WRITTEN_AS = re.compile(rb"\b([\w-]+)/samples\.tsv sha256:")
_REMAKE = "remake it with: "


def command(*arguments: str | PathLike) -> str:
    """Return a command of Snakemake, in a job one for the job's own study."""
    options = os.environ.get(SETTINGS_OPTIONS, "")
    return " ".join(["snakemake", *[options] * bool(options), "--cores 1", *map(str, arguments)])


def remake(path: str | PathLike) -> str:
    """Return the command that remakes a file."""
    return f"{_REMAKE}{command('--force', path)}"


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


def refuse_renamed(results: str | PathLike) -> None:
    """Refuse the results of a renamed study: what lies in them says under which name it was written.

    Raises
    ------
    InputError: both names.
    """
    index = Path(results, "samples.tsv")
    try:
        with index.open("rb") as lines:
            found = _WRITTEN_AS.search(b"".join(islice(lines, 2)))
    except OSError:
        return
    if found and found[1].decode() != index.parent.name:
        was = found[1].decode()
        raise InputError(
            f"{results} holds the files of study {was!r}, and none can be read under another name; call the "
            f"folder and the study {was} again, or move the folder away to make this study anew"
        )


def refuse_files(folders: Iterable[str]) -> None:
    """Refuse a file that stands where a folder of results belongs.

    Parameters
    ----------
    folders : paths; one with a wildcard stands for the folder that it begins with.

    Raises
    ------
    InputError: the file.
    """
    needed = {parent for folder in set(folders) for parent in (Path(folder), *Path(folder).parents)}
    for path in sorted(one for one in needed if "{" not in str(one)):
        if os.path.lexists(path) and not path.is_dir():
            raise InputError(f"{path} is a file, but results need a folder there; move it away")


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
