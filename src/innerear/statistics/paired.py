"""Two conditions within each template: the design of their contrasts, how these are tested and described."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from innerear.statistics.cells import write_estimates
from innerear.statistics.design import Design
from innerear.statistics.significance import against_null, write_test
from innerear.statistics.table import blank, record, record_flips

DESCRIBED = "none: described only"


class RandomEffects(NamedTuple):
    """Effects of random edits in place of the tested one.

    Attributes
    ----------
    effects : [m, cells].
    templates : [T], whether they were measured on the clips of a template.
    what : what was random, for the table.
    """

    effects: NDArray
    templates: NDArray
    what: str


def pole_design(templates: Sequence[str], poles: Sequence[str], statistics: Mapping[str, int]) -> Design:
    """Return the design of a contrast of two conditions within each template, with a seed of its own.

    `statistics` has the study's permutations, bootstraps and seed.
    """
    rows = [
        (f"{template}-{pole}", f"{template}-{pole}", template, pole, number)
        for number, template in enumerate(templates)
        for pole in poles
    ]
    sheet = pd.DataFrame(rows, columns=["sample_id", "prompt_id", "template", "emotion", "seed"])
    sizes = {"n_permutations": statistics["permutations"], "n_bootstraps": statistics["bootstraps"]}
    return Design(sheet, "emotion", statistics["seed"], **sizes)


def tested(
    cells: Mapping[str, object] | pd.DataFrame,
    contrasts: NDArray,
    design: Design,
    family: str,
    random: RandomEffects | None = None,
) -> pd.DataFrame:
    """Test contrasts of templates [cells, T] as one family.

    `p` is against random edits where there are any: their largest is compared as it is, because few draws say
    little of a cell's own spread. Else the two conditions are exchanged within templates. `p_flip` is of sign
    flips of templates.
    """
    table = described(cells, contrasts, design)
    rows, estimate = np.arange(len(table)), contrasts.mean(axis=1)
    lacking = ["" if known else "a clip has no value" for known in np.isfinite(estimate)]
    if random is None:
        moved = np.abs(_signs(design) @ contrasts.T / contrasts.shape[1])
        how = {"family": family, "moved": "conditions", "why_not": lacking}
        record(table, rows, design, np.abs(estimate), moved, **how)
    else:
        sizes = np.abs(random.effects)
        known = np.isfinite(sizes.max(axis=0))
        without = "a clip along a random direction has no value"
        lacking = [why or ("" if one else without) for why, one in zip(lacking, known, strict=True)]
        observed = np.abs(contrasts[:, random.templates].mean(axis=1))
        smallest = 1 / (len(sizes) + 1)
        result = against_null(observed, sizes, smallest=smallest, standardise=False)
        n = int(random.templates.sum())
        text = f"{len(sizes)} {random.what}, on the clips of {n} template{'s' * (n != 1)}"
        write_test(table, rows, result, min_p=smallest, null=text, family=family, why_not=lacking)
        table["random"] = sizes.max(axis=0)
    record_flips(table, rows, design, contrasts[:, :, None] * contrasts[:, None, :])
    return table


def described(
    cells: Mapping[str, object] | pd.DataFrame, values: NDArray, design: Design, why: str = DESCRIBED
) -> pd.DataFrame:
    """Return rows of the means over templates of values [cells, T], with intervals, and not tested."""
    table = blank(pd.DataFrame(cells).reset_index(drop=True), design, interval="", random=np.nan, null=why)
    units = design.bootstraps().units.astype(float)  # [m, T]
    estimate = values.mean(axis=1)
    drawn = (units @ np.nan_to_num(values).T) / units.sum(axis=1, keepdims=True)
    drawn = np.where(np.isfinite(estimate), drawn, np.nan)
    write_estimates(table, np.arange(len(table)), design, estimate, drawn)
    return table.assign(interval=f"95% of {len(units)} bootstraps of templates")


def selected(table: pd.DataFrame, **where: object) -> pd.DataFrame:
    """Return the rows with these values in these columns."""
    keep = np.ones(len(table), bool)
    for column, value in where.items():
        keep &= np.array([one == value for one in table[column].tolist()], bool)
    return table.iloc[np.flatnonzero(keep)]


def _signs(design: Design) -> NDArray:
    """Return the signs [m, T] that the design's relabelings give to the contrasts of templates."""
    first = design.rows[::2, 0]  # of each template the sample of its first condition
    return np.where(design.permutations()[:, first] == first, 1.0, -1.0)
