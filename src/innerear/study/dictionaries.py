"""Finished dictionaries: their folders, and the states that they say they were trained on."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from innerear.errors import InputError, did_you_mean, shown
from innerear.io.machine import cannot, file_size
from innerear.io.names import remake
from innerear.study.names import check_path

#: the two files of a dictionary, in sae-lens' format
SETTINGS, WEIGHTS = "cfg.json", "sae_weights.safetensors"
# Where a study keeps its own.
_OF_STUDY = ("features", "dictionaries")
_HOW = (
    "name a study that has run with features (snakemake --configfile studies/….yaml -- all_features), or a "
    "folder that holds uncond/layer_00/seed-0 …"
)


def folder_of(named: str) -> str:
    """Return the folder of finished dictionaries: that of a study, where only its name is given.

    Examples
    --------
    >>> folder_of("corpus_nano"), folder_of("./mine"), folder_of("")
    ('results/corpus_nano', './mine', '')
    """
    return f"results/{named}" if re.fullmatch(r"[\w-]+", named) else named


def root_of(folder: str | PathLike) -> Path:
    """Return where dictionaries lie by what they are of: in a study's folder, or in the folder itself."""
    of_study = Path(folder, *_OF_STUDY)
    return of_study if os.path.isdir(of_study / "uncond") else Path(folder)


def given_dictionaries(folder: str, study: str = "") -> list[str]:
    """Return of what finished dictionaries there are: uncond, and delta where it was trained on.

    Raises
    ------
    InputError: none are there, or they are the own ones of `study`, which would remove them first.
    """
    check_path(folder, "features.dictionaries")
    root, own = root_of(folder), Path("results", study)
    inside = root.glob("*/layer_*/seed-*") if os.path.isdir(root) else ()
    for path in (Path(folder), root, *inside) if study else ():
        there = Path(os.path.realpath(path))
        if there == own.resolve() or there.is_relative_to(own.joinpath(*_OF_STUDY).resolve()):
            raise InputError(
                f"features.dictionaries: {path} is the study's own, which it makes anew; name another study, "
                "copy the dictionaries elsewhere and name that folder, or set it to null to train them"
            )
    if os.path.isdir(root / "uncond"):
        return ["uncond", *["delta"] * (root / "delta").is_dir()]
    studies = [str(path.parents[1]) for path in Path("results").glob("*/features/dictionaries")]
    meant = did_you_mean(folder, studies)
    raise InputError(f"features.dictionaries: {folder[:200]} has no dictionaries of uncond{meant}; {_HOW}")


def seeds_of(folder: str | PathLike, of: str, layer: int) -> list[Path]:
    """Return the folders of a layer's dictionaries, by their seeds.

    Raises
    ------
    InputError: there are none.
    """
    below = root_of(folder) / of / f"layer_{layer:02d}"
    found = sorted(below.glob("seed-*"), key=lambda one: (len(one.name), one.name))
    if found:
        return found
    more = "" if of == "uncond" else f", or remove the folder {of}"
    what = f"give it, or features.layers that it has{more}; else {_HOW}"
    if Path(folder).parts[-2:] == _OF_STUDY:
        what = remake(below)
    raise InputError(f"features.dictionaries: {folder} has no {of}/{below.name}/seed-*; {what}")


def files_of(folder: str | PathLike, of: Sequence[str], layer: int) -> list[str]:
    """Return the files of a layer's dictionaries."""
    folders = [path for one in of for path in seeds_of(folder, one, layer)]
    return [str(path / name) for path in folders for name in (SETTINGS, WEIGHTS)]


def prompts_seen(
    folder: str, of: Sequence[str], layers: Sequence[int], wanted: Mapping[str, Any]
) -> list[str]:
    """Return the prompts that finished dictionaries say they were trained on.

    Parameters
    ----------
    wanted : of what they must be, see `require_of`; of which layer and branch, their folder says.

    Raises
    ------
    InputError: dictionaries that lack a layer, cannot be read, or are of something else.
    """
    found: set[str] = set()
    for one in of:
        for layer in layers:
            for path in seeds_of(folder, one, layer):
                settings = read_settings(path)
                says = {**settings["metadata"], "d_in": settings.get("d_in")}
                require_of(path, says, {"layer": layer, "branch": one, **wanted})
                found |= set(says.get("training_prompts", ()))
    return sorted(found)


def require_of(folder: Path, says: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse a dictionary of something else than is wanted; one that does not say it passes.

    Parameters
    ----------
    says, wanted : its width ``d_in``, and of what it is: ``layer``, ``branch``, ``site``, ``model_identity``.

    Raises
    ------
    InputError: the file, and both values.
    """
    for name, value in wanted.items():
        if value is not None and says.get(name) not in (None, value):
            raise InputError(
                f"{folder / SETTINGS}: {name} is {shown(says[name])}, not {shown(value)}: it is of other "
                "states; name other dictionaries in features.dictionaries"
            )


def read_settings(folder: Path) -> dict[str, Any]:
    """Return the settings of a dictionary, in which ``metadata`` are always a mapping.

    Raises
    ------
    InputError: a missing or broken file.
    """
    path = folder / SETTINGS
    try:
        file_size(path)
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder} has no {SETTINGS} and is no dictionary; {remedy(folder)}") from None
    except (OSError, ValueError, RecursionError) as error:
        said = cannot("read", path, error) or f"{path} cannot be read ({error})"
        raise InputError(f"{said}; {remedy(folder)}") from None
    if not isinstance(settings, dict):
        raise InputError(f"{path} holds no settings, but {shown(settings)}; {remedy(folder)}")
    metadata = settings.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise InputError(f"{path}: metadata are {shown(metadata)}, no settings; {remedy(folder)}")
    prompts = metadata.get("training_prompts") or []
    if not isinstance(prompts, list) or not all(isinstance(one, str) for one in prompts):
        raise InputError(
            f"{path}: training_prompts are {shown(prompts)}, no list of prompts; {remedy(folder)}"
        )
    return settings | {"metadata": metadata | {"training_prompts": prompts}}


def remedy(folder: Path) -> str:
    """Return what to do about a broken dictionary: how a study remakes it, or that others can be named."""
    if folder.absolute().parts[-5:-3] == _OF_STUDY:
        return remake(folder.parent)
    return "fetch or save it again, or name other dictionaries in features.dictionaries"
