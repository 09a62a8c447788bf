"""The checklist of the original notes, computed: what a study must show to be believed."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from innerear.analyses.audio_check import ANOVA
from innerear.analyses.best_layers import HELD_OUT, RANK
from innerear.analyses.similarity import CENTRED, OTHER_SEED, RATING_OTHER_SEED, RAW
from innerear.figures.tables import rows_of
from innerear.statistics.design import STRATA
from innerear.statistics.finding import NO_BRANCH
from innerear.statistics.significance import ALPHA

COLUMNS = ("criterion", "outcome", "value", "needed", "what")
YES, NO, UNKNOWN = "yes", "no", "not established"
# Any: pandas types what it selects from a table as many things.
Tables = Mapping[str, Any]
#: a criterion's value from the study's tables, NaN where they do not say, and what the value is
Measure = Callable[[Tables], tuple[float, str]]


class Criterion(NamedTuple):
    """One line: a measure, and the relation of it to a threshold that passes."""

    name: str
    measure: Measure
    relation: str
    threshold: float


def checklist(tables: Tables) -> pd.DataFrame:
    """Answer every criterion.

    Parameters
    ----------
    tables : ``samples``, ``checks`` (of rule qc), ``similarity`` (its map), ``audio_check`` (its effects) and
        ``best_layers``.

    Returns
    -------
    Columns `COLUMNS`; outcome is yes, no or not established, with a NaN value where the tables hold none.
    """
    rows = []
    for name, measure, relation, threshold in CRITERIA:
        value, what = measure(tables)
        known = YES if _RELATIONS[relation](value, threshold) else NO
        rows.append((name, UNKNOWN if np.isnan(value) else known, value, f"{relation} {threshold:g}", what))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _steps(tables: Tables) -> tuple[float, str]:
    passed = rows_of(tables["checks"], check=["steps", "layers"])["pass"].to_numpy(bool)
    failed = float((~passed).sum()) if len(passed) else np.nan
    return failed, "samples in which a layer lacks steps, or a layer is missing"


def _raw(tables: Tables) -> Any:
    """Raw cosines of two emotions over steps, by layer and branch."""
    where = {"statistic": STRATA[5], "branch": ["cond", "uncond"], "over": "steps", "measure": RAW}
    return rows_of(tables["similarity"], **where).groupby(["layer", "branch"])["estimate"]


def _similarity(tables: Tables) -> tuple[float, str]:
    what = "highest raw cosine of two emotions, mean over steps, of any layer in cond or uncond"
    return float(_raw(tables).mean().max()), what


def _variation(tables: Tables) -> tuple[float, str]:
    what = "smallest standard deviation over steps of that cosine, any layer"
    return float(_raw(tables).std().min()), what


def _samples(tables: Tables) -> tuple[float, str]:
    return float(tables["samples"].groupby("emotion").size().min()), "samples of the rarest emotion"


def _acoustics(tables: Tables) -> tuple[float, str]:
    effects = rows_of(tables["audio_check"], statistic=ANOVA).dropna(subset=["p_corrected"])
    what = "smallest p of any clip feature's ANOVA of prompt means, corrected over features"
    if effects.empty:
        return np.nan, what
    first = effects.sort_values("p_corrected", kind="stable").iloc[0]
    return float(first["p_corrected"]), f"{what}: {first['feature']}"


def _clusters(tables: Tables) -> tuple[float, str]:
    where = {"measure": CENTRED, "over": "windows", "window": "whole", "branch": "uncond"}
    effect: Any = rows_of(tables["similarity"], statistic=[OTHER_SEED, RATING_OTHER_SEED], **where)
    what = "smallest corrected p of the emotion effect (centred cosine, other seed, whole clip), any layer"
    if "uncond" not in set(tables["similarity"]["branch"]):
        return np.nan, NO_BRANCH.format(branch="uncond")
    return float(effect["p_corrected"].min()), f"{what}, in uncond"


def _best_layer(tables: Tables) -> tuple[float, str]:
    if "uncond" not in set(tables["best_layers"]["branch"]):
        return np.nan, NO_BRANCH.format(branch="uncond")
    chosen = rows_of(tables["best_layers"], branch="uncond", statistic=HELD_OUT)
    best = rows_of(tables["best_layers"], branch="uncond", statistic=RANK, estimate=1)
    what = (
        "p of the labels' distance in uncond on held-out templates, in the layer that is best on the others"
    )
    if chosen.empty or best.empty:
        return np.nan, what
    first = best.iloc[0]
    ranks = f"rank {first['ci_lo']:g} to {first['ci_hi']:g} in bootstraps"
    return float(chosen["p_corrected"].iloc[0]), f"{what}; best of all: layer {first['layer']} ({ranks})"


_RELATIONS = {"<": np.less, "≤": np.less_equal, ">": np.greater, "≥": np.greater_equal, "=": np.equal}
CRITERIA = (
    Criterion("all steps captured", _steps, "=", 0),
    Criterion("similarity of two emotions", _similarity, "<", 0.99),
    Criterion("variation over steps", _variation, ">", 0.01),
    Criterion("samples an emotion", _samples, "≥", 20),
    Criterion("acoustics differ", _acoustics, "≤", ALPHA),
    Criterion("clusters visible", _clusters, "≤", ALPHA),
    Criterion("best layers known", _best_layer, "≤", ALPHA),
)
