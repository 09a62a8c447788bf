"""The study's design as a file: labels and permutations, drawn once and read by every analysis."""

from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from innerear.errors import InputError
from innerear.stacks import GramFile
from innerear.statistics.design import Design


def write_design(design: Design, n_permutations: int, path: str | PathLike) -> None:
    """Write a design's labels and permutation table as HDF5.

    Parameters
    ----------
    design : may be `Design.shuffled`; `read_design` then returns the shuffled one.
    n_permutations : m, rows of the table.
    path : the file to write: `permutations` int32 [permutation, sample].
    """
    table = design.permutations(n_permutations)
    coords = {"permutation": np.arange(n_permutations, dtype=np.int32)}
    attrs = {"contrast": design.label, "seed": design.seed, "shuffled": int(design.is_shuffled)}
    GramFile.write(
        path,
        {"permutations": (("permutation", "sample"), table)},
        coords | {"sample": design.samples["sample_id"].to_numpy(str)},
        attrs | {"permutation_hash": design.permutation_hash(n_permutations)},
    )


def read_design(samples: pd.DataFrame, path: str | PathLike, label: str = "") -> Design:
    """Return the design that `write_design` wrote, with its permutation table.

    Parameters
    ----------
    samples : the sample sheet that the design was made from.
    path : the file.
    label : another column than the study's contrast, for an analysis of one fixed label. The permutations
        move whole prompts and serve every column.

    Raises
    ------
    InputError: the file is of other samples, or its permutations are not those that its hash names.
    """
    with GramFile(path) as stored:
        label, seed = label or str(stored.attrs["contrast"]), int(stored.attrs["seed"])
        table, promised = stored.read("permutations"), str(stored.attrs["permutation_hash"])
        ids, shuffled = stored.coords("sample"), bool(stored.attrs["shuffled"])
    design = Design(samples, label, seed)
    design.check_order(ids)
    design = design.shuffled() if shuffled else design
    design.use_table(table)
    found = design.permutation_hash(len(table))
    if found != promised:
        raise InputError(
            f"{Path(path)}: its permutations have hash {found}, not {promised}; "
            f"make it again with: snakemake --cores 1 --force {path}"
        )
    return design


def summary(design: Design, n_permutations: int) -> pd.DataFrame:
    """Say in a table of `property` and `value` what the design allows."""
    try:
        folds: object = len(design.folds())
    except InputError as error:
        folds = f"none: {error}"
    values = {
        "contrast": f"{design.label}, shuffled (control)" if design.is_shuffled else design.label,
        "kind": "rating" if design.numeric else "categories",
        "samples": design.n_samples,
        "prompts": design.n_prompts,
        "seeds": len(design.seeds),
        "blocks": design.n_blocks if design.blocked else "none: labels move between all prompts",
        "folds": folds,
        "distinct relabelings": design.relabelings,
        "permutations": n_permutations,
        "smallest p": design.why_not(n_permutations) or f"{design.smallest_p(n_permutations):.3g}",
        "permutation hash": design.permutation_hash(n_permutations),
    }
    return pd.DataFrame({"property": list(values), "value": [str(value) for value in values.values()]})
