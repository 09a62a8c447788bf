"""A template's counterfactual folder: a Gram file for each layer, and one of the tokens' likelihood."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path

import pandas as pd

from innerear.errors import InputError
from innerear.io.names import remake
from innerear.stacks.gram_file import GramFile, layer_name
from innerear.stacks.index import require_stacks


def part_name(layer: int | None = None) -> str:
    """Name a layer's file in a template's counterfactual folder; without a layer, that of the likelihood."""
    return "likelihood.h5" if layer is None else layer_name(layer)


def template_part(folder: str | PathLike, layer: int | None = None, content: str | None = None) -> GramFile:
    """Open a file in a template's counterfactual folder, as `part_name` names it.

    Raises
    ------
    InputError: as `GramFile`.
    """
    return GramFile(Path(folder, part_name(layer)), target=folder, content=content)


def template_files(folders: Sequence[str | PathLike], layers: Sequence[int]) -> pd.DataFrame:
    """List the counterfactual files of several templates.

    Returns
    -------
    Table with the columns ``template``, ``part`` (file name), ``folder`` and ``content_sha256``: the list
    changes when a file does.

    Raises
    ------
    InputError: a folder without the file of a layer, or of the likelihood; a broken file; files of one folder
        that were made of several versions of the stacks.
    """
    rows = []
    for folder in map(Path, folders):
        made_of = set()
        for layer in (*layers, None):
            if not (folder / part_name(layer)).is_file():
                raise InputError(f"{folder} has no {part_name(layer)}; {remake(folder)}")
            with template_part(folder, layer) as file:
                rows.append((folder.name, part_name(layer), str(folder), file.attrs.text("content_sha256")))
                made_of.add(file.attrs.get("stacks_sha256"))
        if len(made_of) > 1:
            raise InputError(f"{folder} holds files that were made of different stacks; {remake(folder)}")
    return pd.DataFrame(rows, columns=["template", "part", "folder", "content_sha256"])


@contextmanager
def open_templates(
    files: pd.DataFrame, layer: int | None = None, samples: pd.DataFrame | None = None
) -> Iterator[dict[str, GramFile]]:
    """Open one layer's file of each template that `template_files` lists; without a layer, the likelihood.

    Parameters
    ----------
    samples : the study's index; the files must be made of its stacks.

    Raises
    ------
    InputError: as `GramFile`; a file of other stacks.
    """
    wanted = files.loc[files["part"] == part_name(layer)]
    with ExitStack() as opened:
        found = {}
        for row in wanted.to_dict("records"):
            file = opened.enter_context(template_part(row["folder"], layer, row["content_sha256"]))
            if samples is not None:
                require_stacks(file, samples.loc[samples["template"] == row["template"]])
            found[row["template"]] = file
        yield found
