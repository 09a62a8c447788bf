"""The finished studies that stand as controls below a study's answers."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from innerear.errors import InputError, did_you_mean, shown

#: the control that is no other study: the study's own maps, with labels moved between prompts
SHUFFLED = "shuffled"
#: analyses whose maps stand below the answers as controls
CONTROLLED = ("similarity", "discriminability", "emergence", "generalisation", "dimensions")
_DESIGN = Path("design", "design.tsv")


def check_controls(settings: Mapping[str, Any]) -> None:
    """Refuse controls that could not be compared: Snakemake would keep the answers without them.

    Raises
    ------
    InputError: a control that is no study of the folder ``results``, has not all maps of labels, is this
        study itself, or has another contrast.
    """
    for name in settings["statistics"]["controls"]:
        if name == SHUFFLED:
            continue
        if name == settings["study"]:
            raise InputError(
                f"statistics.controls: {name!r} is this study itself; name another one, or {SHUFFLED}"
            )
        _check_control(name, settings["study"], settings["contrast"])


def _check_control(name: str, study: str, contrast: str) -> None:
    folder = Path("results", name)
    needed = [_DESIGN, *(Path(analysis, "map.tsv") for analysis in CONTROLLED)]
    missing = [path.as_posix() for path in needed if not (folder / path).is_file()]
    if len(missing) == len(needed):
        others = sorted(path.parts[1] for path in Path("results").glob(f"*/{_DESIGN}"))
        known = [SHUFFLED, *(other for other in others if other != study)]
        raise InputError(
            f"statistics.controls: {folder} holds no study{did_you_mean(name, known)}; there are "
            f"{shown(known)}. Run the study that is to be the control first"
        )
    if missing:
        raise InputError(
            f"statistics.controls: {folder} has not run to its end: it lacks {', '.join(missing)}; run that "
            "study again, or leave it out"
        )
    other = _contrast(folder / _DESIGN)
    if other != contrast:
        raise InputError(
            f"statistics.controls: {name} compares {other or 'no contrast that its design names'}, and "
            f"{study} {contrast}; name a study of the same contrast"
        )


def _contrast(path: Path) -> str:
    """Return the contrast that a table of a design names, also for shuffled labels."""
    with suppress(OSError, UnicodeDecodeError):
        for line in path.read_text("utf-8").splitlines():
            name, _, value = line.partition("\t")
            if name == "contrast":
                return value.partition("\t")[0].partition(",")[0]
    return ""
