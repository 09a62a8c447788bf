"""The checklist of the original notes, computed: what a study must show to be believed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from innerear.analyses.audio_check import ANOVA
from innerear.analyses.best_layers import HELD_OUT, RANK
from innerear.analyses.similarity import CENTRED, OTHER_SEED, RATING_OTHER_SEED, RAW
from innerear.statistics.design import STRATA
from innerear.statistics.finding import NO_BRANCH
from innerear.statistics.significance import ALPHA

COLUMNS = ("criterion", "outcome", "value", "needed", "what")
YES, NO, UNKNOWN = "yes", "no", "not established"
# Any: pandas types what it selects from a table as many things.
Tables = Mapping[str, Any]
#: a criterion's value from the study's tables, NaN where they do not say, and what the value is
Measure = Callable[[Tables], tuple[float, str]]


@dataclass(frozen=True)
class Criterion:
    """One line: a measure, and the values of it that pass."""

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
    for criterion in CRITERIA:
        value, what = criterion.measure(tables)
        outcome = UNKNOWN
        if not np.isnan(value):
            outcome = YES if _RELATIONS[criterion.relation](value, criterion.threshold) else NO
        needed = f"{criterion.relation} {criterion.threshold:g}"
        rows.append((criterion.name, outcome, value, needed, what))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _steps(tables: Tables) -> tuple[float, str]:
    checks = tables["checks"]
    of_steps = checks[checks["check"].isin(["steps", "layers"])]
    failed = float((~of_steps["pass"].astype(bool)).sum()) if len(of_steps) else np.nan
    return failed, "samples in which a layer lacks steps, or a layer is missing"


def _raw(tables: Tables) -> Any:
    """Raw cosines of two emotions over steps, by layer and branch."""
    table = tables["similarity"]
    pairs = (table["statistic"] == STRATA[5]) & (table["branch"] != "delta")
    raw = table[pairs & (table["over"] == "steps") & (table["measure"] == RAW)]
    return raw.groupby(["layer", "branch"])["estimate"]


def _similarity(tables: Tables) -> tuple[float, str]:
    what = "highest raw cosine of two emotions, mean over steps, of any layer in cond or uncond"
    return float(_raw(tables).mean().max()), what


def _variation(tables: Tables) -> tuple[float, str]:
    what = "smallest standard deviation over steps of that cosine, any layer"
    return float(_raw(tables).std().min()), what


def _samples(tables: Tables) -> tuple[float, str]:
    return float(tables["samples"]["emotion"].value_counts().min()), "samples of the rarest emotion"


def _acoustics(tables: Tables) -> tuple[float, str]:
    effects = tables["audio_check"]
    p = effects[effects["statistic"] == ANOVA].dropna(subset=["p_corrected"])
    what = "smallest p of any clip feature's ANOVA of prompt means, corrected over features"
    if p.empty:
        return np.nan, what
    return float(p["p_corrected"].min()), f"{what}: {p['feature'][p['p_corrected'].idxmin()]}"


def _clusters(tables: Tables) -> tuple[float, str]:
    table = tables["similarity"]
    effect = table["statistic"].isin([OTHER_SEED, RATING_OTHER_SEED]) & (table["measure"] == CENTRED)
    whole = (table["over"] == "windows") & (table["window"] == "whole") & (table["branch"] == "uncond")
    what = "smallest corrected p of the emotion effect (centred cosine, other seed, whole clip), any layer"
    if "uncond" not in set(table["branch"]):
        return np.nan, NO_BRANCH.format(branch="uncond")
    return float(table[effect & whole]["p_corrected"].min()), f"{what}, in uncond"


def _best_layer(tables: Tables) -> tuple[float, str]:
    table = tables["best_layers"]
    if "uncond" not in set(table["branch"]):
        return np.nan, NO_BRANCH.format(branch="uncond")
    table = table[table["branch"] == "uncond"]
    chosen = table[table["statistic"] == HELD_OUT]
    best = table[(table["statistic"] == RANK) & (table["estimate"] == 1)]
    what = (
        "p of the labels' distance in uncond on held-out templates, in the layer that is best on the others"
    )
    if chosen.empty or best.empty:
        return np.nan, what
    first = best.iloc[0]
    ranks = f"rank {first['ci_lo']:g} to {first['ci_hi']:g} in bootstraps"
    return float(chosen["p_corrected"].iloc[0]), f"{what}; best of all: layer {first['layer']} ({ranks})"


_RELATIONS = MappingProxyType(
    {"<": np.less, "≤": np.less_equal, ">": np.greater, "≥": np.greater_equal, "=": np.equal}
)
CRITERIA = (
    Criterion("all steps captured", _steps, "=", 0),
    Criterion("similarity of two emotions", _similarity, "<", 0.99),
    Criterion("variation over steps", _variation, ">", 0.01),
    Criterion("samples an emotion", _samples, "≥", 20),
    Criterion("acoustics differ", _acoustics, "≤", ALPHA),
    Criterion("clusters visible", _clusters, "≤", ALPHA),
    Criterion("best layers known", _best_layer, "≤", ALPHA),
)
