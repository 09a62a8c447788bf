"""A job's inputs, opened: tables read, Gram files open."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import pandas as pd

from innerear.io.tables import read_tables
from innerear.stacks.gram_file import GramFile, open_layers

Opened = pd.DataFrame | GramFile | dict[int, GramFile]


@contextmanager
def open_inputs(inputs: Mapping[str, str | list[str]]) -> Iterator[dict[str, Opened]]:
    """Open a job's named inputs, each by its kind.

    Parameters
    ----------
    inputs : name → a path, or the paths of all layers.

    Returns
    -------
    The same names: a table where paths end in ``.tsv`` (several are joined), an open `GramFile`, or
    layer → `GramFile` for several.

    Raises
    ------
    InputError: a file that is missing or broken.
    """
    with ExitStack() as opening:
        opened: dict[str, Opened] = {}
        for name, paths in inputs.items():
            first = paths if isinstance(paths, str) else paths[0]
            if first.endswith(".tsv"):
                opened[name] = read_tables(paths)
            elif isinstance(paths, str):
                opened[name] = opening.enter_context(GramFile(paths))
            else:
                opened[name] = opening.enter_context(open_layers(paths))
        yield opened
