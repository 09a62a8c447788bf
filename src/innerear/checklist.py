"""The checklist of the original notes, computed: what a study must show to be believed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from innerear.design import Design

COLUMNS = ("criterion", "outcome", "value", "needed", "what")
YES, NO, UNKNOWN = "yes", "no", "not established"
#: a criterion's value from the study's tables, NaN where they do not say, and words on what it is
Measure = Callable[["Tables", Design, int], tuple[float, str]]
# Any: what pandas selects from a table is a table to us, and one of many things to its types.
Tables = Mapping[str, Any]


@dataclass(frozen=True)
class Criterion:
    """One line: a measure, and the values of it that pass."""

    name: str
    measure: Measure
    relation: str
    threshold: float


def checklist(tables: Tables, design: Design, n_permutations: int) -> pd.DataFrame:
    """Answer every criterion.

    Parameters
    ----------
    tables : ``checks`` (of qc), ``similarity`` (its map) and ``clips`` (acoustic features).
    design : of the study's samples.
    n_permutations : for the acoustics.

    Returns
    -------
    Columns `COLUMNS`; outcome is yes, no or not established, with a NaN value where the tables hold none.
    """
    rows = []
    for criterion in CRITERIA:
        value, what = criterion.measure(tables, design, n_permutations)
        outcome = UNKNOWN
        if not np.isnan(value):
            outcome = YES if _RELATIONS[criterion.relation](value, criterion.threshold) else NO
        needed = f"{criterion.relation} {criterion.threshold:g}"
        rows.append((criterion.name, outcome, value, needed, what))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _steps(tables: Tables, design: Design, m: int) -> tuple[float, str]:
    checks = tables["checks"]
    of_steps = checks[checks["check"].isin(["steps", "layers"])]
    failed = float((~of_steps["pass"].astype(bool)).sum()) if len(of_steps) else np.nan
    return failed, "samples in which a layer lacks steps, or a layer is missing"


def _raw(tables: Tables) -> Any:
    table = tables["similarity"]
    pairs = (table["statistic"] == "other emotion, other seed") & (table["branch"] != "delta")
    return table[pairs & (table["over"] == "steps") & (table["measure"] == "raw (diagnostic)")]


def _similarity(tables: Tables, design: Design, m: int) -> tuple[float, str]:
    means = _raw(tables).groupby(["layer", "branch"])["estimate"].mean()
    what = "highest raw cosine of two emotions, mean over steps, of any layer in cond or uncond"
    return float(means.max()), what


def _variation(tables: Tables, design: Design, m: int) -> tuple[float, str]:
    spread = _raw(tables).groupby(["layer", "branch"])["estimate"].std()
    return float(spread.min()), "smallest standard deviation over steps of that cosine, any layer"


def _samples(tables: Tables, design: Design, m: int) -> tuple[float, str]:
    return float(min(np.unique(design.labels, return_counts=True)[1])), "samples of the rarest emotion"


def _acoustics(tables: Tables, design: Design, m: int) -> tuple[float, str]:
    what = "smallest p of any clip feature's variance between emotions, by max-T over features"
    wide = tables["clips"].pivot(index="sample_id", columns="feature", values="value")
    wide = wide.reindex(design.samples["sample_id"]).dropna(axis="columns")
    wide = wide.loc[:, wide.std() > 0]
    if not design.can_test or wide.empty:
        return np.nan, f"{what}; no test: {design.why_not(m) or 'no feature is measured in every clip'}"
    scores = ((wide - wide.mean()) / wide.std(ddof=0)).to_numpy(float)  # [N, features]
    member = np.asarray(design.labels)[:, None] == np.unique(design.labels)  # [N, emotions]
    weights = (member / np.sqrt(member.sum(axis=0))).T  # [emotions, N]

    def between(values: np.ndarray) -> np.ndarray:  # η², [features]
        return ((weights @ values) ** 2).sum(axis=0) / len(values)

    null = np.stack([between(scores[table]) for table in design.permutations(m)])
    corrected = design.test(between(scores), null).p_corrected
    best = int(np.nanargmin(corrected))
    return float(corrected[best]), f"{what}: {wide.columns[best]}"


def _effects(tables: Tables) -> Any:
    table = tables["similarity"]
    whole = (table["over"] == "windows") & (table["window"] == "whole") & (table["measure"] == "centred")
    return table[whole & (table["statistic"] == "emotion effect, other seed")]


def _clusters(tables: Tables, design: Design, m: int) -> tuple[float, str]:
    effects = _effects(tables)
    what = "smallest corrected p of the emotion effect (centred cosine, other seed, whole clip), any layer"
    return float(effects[effects["branch"] == "uncond"]["p_corrected"].min()), f"{what}, in uncond"


def _best_layer(tables: Tables, design: Design, m: int) -> tuple[float, str]:
    effects = _effects(tables)
    effects = effects[effects["branch"] == "uncond"].dropna(subset=["estimate", "ci_lo"])
    what = "lower end of the strongest layer's emotion effect in uncond, less the next layer's estimate"
    if len(effects) < 2:
        return np.nan, what
    ordered = effects.sort_values("estimate", ascending=False)
    lead = float(ordered["ci_lo"].iloc[0] - ordered["estimate"].iloc[1])
    return lead, f"{what}; strongest: layer {ordered['layer'].iloc[0]}"


_RELATIONS = MappingProxyType({"<": np.less, ">": np.greater, "≥": np.greater_equal, "=": np.equal})
CRITERIA = (
    Criterion("all steps captured", _steps, "=", 0),
    Criterion("similarity of two emotions", _similarity, "<", 0.99),
    Criterion("variation over steps", _variation, ">", 0.01),
    Criterion("samples an emotion", _samples, "≥", 20),
    Criterion("acoustics differ", _acoustics, "<", 0.05),
    Criterion("clusters visible", _clusters, "<", 0.05),
    Criterion("best layers known", _best_layer, ">", 0),
)
