"""A template's counterfactual folder: a Gram file for each layer, and one of the tokens' likelihood."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from innerear.errors import InputError
from innerear.stacks.gram_file import GramFile
from innerear.io.names import remake


def fixed_texts(values: Sequence[str]) -> np.ndarray:
    """Return texts as UTF-8 of one length: HDF5 keeps no checksum of texts of any length."""
    encoded = [value.encode() for value in values]
    return np.array(encoded, h5py.string_dtype("utf-8", max(1, *map(len, encoded))))


def part_name(layer: int | None = None) -> str:
    """Name a layer's file in a template's counterfactual folder; without a layer, that of the likelihood."""
    return "likelihood.h5" if layer is None else f"layer_{layer:02d}.h5"


def template_part(folder: str | PathLike, layer: int | None = None) -> GramFile:
    """Open a file in a template's counterfactual folder, as `part_name` names it.

    Raises
    ------
    InputError: as `GramFile`.
    """
    return GramFile(Path(folder, part_name(layer)), target=folder)


def template_files(folders: Sequence[str | PathLike], layers: Sequence[int]) -> pd.DataFrame:
    """List the counterfactual files of several templates.

    Returns
    -------
    Table with the columns ``template``, ``part`` (file name), ``folder`` and ``written`` (nanoseconds): the
    list changes when a file does.

    Raises
    ------
    InputError: a folder without the file of a layer, or of the likelihood.
    """
    rows = []
    for folder in map(Path, folders):
        for part in map(part_name, (*layers, None)):
            if not (folder / part).is_file():
                raise InputError(f"{folder} has no {part}; {remake(folder)}")
            rows.append((folder.name, part, str(folder), (folder / part).stat().st_mtime_ns))
    return pd.DataFrame(rows, columns=["template", "part", "folder", "written"])


@contextmanager
def open_templates(files: pd.DataFrame, layer: int | None = None) -> Iterator[dict[str, GramFile]]:
    """Open one layer's file of each template that `template_files` lists; without a layer, the likelihood.

    Raises
    ------
    InputError: as `GramFile`.
    """
    wanted = files[files["part"] == part_name(layer)]
    with ExitStack() as opened:
        yield {
            template: opened.enter_context(template_part(folder, layer))
            for template, folder in zip(wanted["template"], wanted["folder"], strict=True)
        }
