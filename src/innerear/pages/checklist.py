"""The checklist of the project's first notes: criteria that a study must meet to be believed."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from innerear.analyses.audio_check import ANOVA
from innerear.analyses.best_layers import HELD_OUT, RANK
from innerear.analyses.similarity import CENTRED, OTHER_SEED, RATING_OTHER_SEED, RAW
from innerear.figures.drawing.tables import rows_of
from innerear.statistics.claims import ESTABLISHED, level
from innerear.statistics.design import STRATA
from innerear.statistics.finding import NO_BRANCH
from innerear.statistics.significance import ALPHA
from innerear.study.power import FEWEST_TEMPLATES

COLUMNS = ("criterion", "outcome", "value", "needed", "what")
YES, SENTENCES, NO, UNKNOWN = "yes", "yes, for these sentences", "no", "not established"
# Any: pandas types what it selects from a table as many things.
Tables = Mapping[str, Any]
#: a criterion's value from the study's tables, NaN where they do not say, what the value is, and of a p the
#: p of sign flips of templates beside it
Measure = Callable[[Tables], tuple[float, str] | tuple[float, str, float]]


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
    Columns `COLUMNS`; outcome is yes, no or not established, with a NaN value where the tables hold none. A
    test of labels that sign flips of templates do not confirm is a yes for these sentences.
    """
    rows = []
    for name, measure, relation, threshold in CRITERIA:
        value, what, *flips = measure(tables)
        known = YES if _RELATIONS[relation](value, threshold) else NO
        if flips:
            what += f"; by sign flips of templates p {flips[0]:.2g}" if np.isfinite(flips[0]) else ""
            if known == YES and level(value, flips[0]) != ESTABLISHED:
                known = SENTENCES
        rows.append((name, UNKNOWN if np.isnan(value) else known, value, f"{relation} {threshold:g}", what))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _surest(rows: Any) -> tuple[Any, float, float]:
    """Return the row with the smallest corrected p, that p and its p of flips; NaN where there is none."""
    rows = rows.dropna(subset=["p_corrected"])
    if rows.empty:
        return None, np.nan, np.nan
    flips = rows.get("p_flip_corrected", pd.Series(np.nan, rows.index))
    first = rows.assign(flips=flips).sort_values(["p_corrected", "flips"], kind="stable").iloc[0]
    return first, float(first["p_corrected"]), float(first["flips"])


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
    samples = tables["samples"]
    prompts = samples.groupby("emotion")["prompt_id"].nunique().min()
    what = f"clips of the rarest emotion, of {prompts} prompts; the n of a claim is prompts and templates"
    return float(samples.groupby("emotion").size().min()), what


def _templates(tables: Tables) -> tuple[float, str]:
    samples = tables["samples"]
    held = samples[samples["template"] != ""].groupby("template")["emotion"].nunique()
    several = float((held > 1).sum())
    return several, "templates that hold several emotions; fewer cannot speak for other sentences"


def _acoustics(tables: Tables) -> tuple[float, str, float]:
    what = "smallest p of any clip feature's ANOVA of prompt means, corrected over features"
    first, p, flips = _surest(rows_of(tables["audio_check"], statistic=ANOVA))
    return p, what if first is None else f"{what}: {first['feature']}", flips


def _clusters(tables: Tables) -> tuple[float, str] | tuple[float, str, float]:
    where = {"measure": CENTRED, "over": "windows", "window": "whole", "branch": "uncond"}
    effect: Any = rows_of(tables["similarity"], statistic=[OTHER_SEED, RATING_OTHER_SEED], **where)
    what = (
        "smallest corrected p of the emotion effect (centred cosine, other seed, whole clip), over all layers"
    )
    if "uncond" not in set(tables["similarity"]["branch"]):
        return np.nan, NO_BRANCH.format(branch="uncond")
    _, p, flips = _surest(effect)
    return p, f"{what}, in uncond", flips


def _best_layer(tables: Tables) -> tuple[float, str] | tuple[float, str, float]:
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
    _, p, flips = _surest(chosen)
    return p, f"{what}; first in rank: layer {first['layer']} ({ranks})", flips


_RELATIONS = {"<": np.less, "≤": np.less_equal, ">": np.greater, "≥": np.greater_equal, "=": np.equal}
CRITERIA = (
    Criterion("all steps captured", _steps, "=", 0),
    Criterion("similarity of two emotions", _similarity, "<", 0.99),
    Criterion("variation over steps", _variation, ">", 0.01),
    Criterion("clips an emotion", _samples, "≥", 20),
    Criterion("templates", _templates, "≥", FEWEST_TEMPLATES),
    Criterion("acoustics differ", _acoustics, "≤", ALPHA),
    Criterion("clusters visible", _clusters, "≤", ALPHA),
    Criterion("best layers known", _best_layer, "≤", ALPHA),
)
