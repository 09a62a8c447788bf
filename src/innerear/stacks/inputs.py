"""A job's inputs, opened: tables read, Gram files open."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import pandas as pd

from innerear.io.tables import read_tables
from innerear.stacks.gram_file import GramFile, open_layers
from innerear.stacks.index import require_stacks

Opened = pd.DataFrame | GramFile | dict[int, GramFile]


@contextmanager
def open_inputs(
    inputs: Mapping[str, str | list[str]], samples: pd.DataFrame | None = None
) -> Iterator[dict[str, Opened]]:
    """Open a job's named inputs, each by its kind.

    Parameters
    ----------
    inputs : name → a path, or those of several layers: files, or folders as `open_layers` takes them.
    samples : the study's index; files in HDF5 must be made of its stacks. By default the table ``samples``,
        if the job reads it.

    Returns
    -------
    The same names: a table where paths end in ``.tsv`` (several are joined), an open `GramFile`, or
    layer → `GramFile` for several.

    Raises
    ------
    InputError: a file that is missing or broken, or of other stacks.
    """
    with ExitStack() as opening:
        opened: dict[str, Opened] = {}
        if samples is None and "samples" in inputs:
            samples = read_tables(inputs["samples"])
        for name, paths in inputs.items():
            first = paths if isinstance(paths, str) else paths[0]
            if first.endswith(".tsv"):
                opened[name] = read_tables(paths)
            elif isinstance(paths, str):
                file = opened[name] = opening.enter_context(GramFile(paths))
                if samples is not None:
                    require_stacks(file, samples)
            else:
                opened[name] = opening.enter_context(open_layers(paths, samples))
        yield opened
