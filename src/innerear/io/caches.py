"""Cache folders of libraries, for machines on which neither the environment nor HOME can be written."""

import os
import stat
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from innerear.io.locks import lock


def provide_numba_cache(package: str) -> None:
    """Give numba a cache for a package's compiled loops; without one it refuses to import the package.

    Call it before numba is imported. numba keeps them beside the package or below the user's cache, and
    nothing is done where it can. Two processes that fill one cache can spoil it, so each has its own of those
    that earlier processes left.
    """
    given = os.environ.get("NUMBA_CACHE_DIR")
    spec = find_spec(package)
    beside = [Path(place) / "__pycache__" for place in (spec and spec.submodule_search_locations) or []]
    if any(
        map(_is_writable, [Path(given)] if given else [*beside, _home("XDG_CACHE_HOME", ".cache") / "numba"])
    ):
        return
    number, own = 0, own_cache()
    while not lock(own / f"numba-{number}.lock"):
        number += 1
    os.environ["NUMBA_CACHE_DIR"] = str(own / f"numba-{number}")


def provide_matplotlib_cache() -> None:
    """Give matplotlib a folder for its list of fonts, which it makes anew in each process without one."""
    if "MPLCONFIGDIR" not in os.environ:
        homes = [_home("XDG_CONFIG_HOME", ".config"), _home("XDG_CACHE_HOME", ".cache")]
        if not all(_is_writable(home / "matplotlib") for home in homes):
            os.environ["MPLCONFIGDIR"] = str(own_cache() / "matplotlib")


def own_cache() -> Path:
    """Return a folder of this user's in the temporary folder, which outlives the process.

    Libraries run what they find there, so it is used only if it is nobody else's.
    """
    folder = Path(tempfile.gettempdir(), f"innerear-cache-{os.getuid()}")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022:
        return folder
    return Path(tempfile.mkdtemp(prefix="innerear-cache-"))


def _home(variable: str, name: str) -> Path:
    return Path(os.environ.get(variable) or os.path.expanduser(f"~/{name}"))


def _is_writable(folder: Path) -> bool:
    """Return whether files can be made in a folder, or in the one that it would be made in."""
    if str(folder).startswith("~"):  # a user without a home
        return False
    try:
        there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
        with tempfile.TemporaryFile(dir=there):
            return True
    except OSError:
        return False
