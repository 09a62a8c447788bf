"""What changes in music whose states are edited: steered, without the labels' subspace, or patched.

The unit is the template: its own clips with and without the edit. Every contrast of templates is tested by
sign flips; steering also against random directions of the states' own covariance and of equal length.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from innerear.acoustics.features import FEATURES
from innerear.analyses.judge import Judge, wide
from innerear.statistics.cells import write_estimates
from innerear.statistics.design import Design
from innerear.statistics.finding import Finding
from innerear.statistics.significance import against_null, write_test
from innerear.statistics.table import blank, columns, record, record_flips

#: statistics: difference between the largest dose and its opposite, and of smaller doses; that of two layers;
#: nats that an edit costs; the cost at an effect that all compared edits reach; share of clips that the judge
#: names after their text; how many more without a random subspace than without the labels'; nats of patching
EFFECT, SMALLER = "effect of steering", "effect of a smaller dose"
LAYERS, COST = "difference of two layers' effects", "cost"
MATCHED, ACCURACY, ABLATION = "cost at equal effect", "accuracy", "loss of accuracy beyond a random subspace"
PATCHED = "cost of patched states"
PROBABILITY = "probability"
#: what of a clip is compared, and its unit: the judge's probability of the end pole, and clip features
MEASURES = {PROBABILITY: "", **{name: FEATURES[name].unit for name in ("loudness", "centroid", "flatness")}}
UNTOUCHED = "none"
_RANDOM = "random directions of the states' covariance, of equal length"
_OWN = ("weights", "layer", "source", "branch", "dose", "measure", "unit", "statistic", "start", "end")
_COLUMNS = columns(*_OWN, "estimate", "ci_lo", "ci_hi", "interval", "random").drop("layer").insert(1, "layer")


class Tables(NamedTuple):
    """What `interventions` returns: every estimate, and the values behind the figures."""

    map: pd.DataFrame
    curves: pd.DataFrame


def interventions(
    samples: pd.DataFrame,
    clips: pd.DataFrame,
    steered: pd.DataFrame,
    ablated: pd.DataFrame,
    patched: pd.DataFrame,
    *,
    poles: tuple[str, str],
    model: str,
    statistics: Mapping[str, int],
) -> Tables:
    """Test what the interventions of a study change.

    Parameters
    ----------
    samples, clips : the study's index and clip features, of untouched clips of emotional texts.
    steered : `innerear.interventions.steering.steer` of all layers, with a column `weights`.
    ablated, patched : of `ablate` and `patch`.
    statistics : permutations, bootstraps and seed of the study.

    Raises
    ------
    InputError: a template's judge has nothing to learn from.
    """
    features = [name for name in steered.columns if name in FEATURES]
    values = wide(clips, samples, features)
    judge = Judge(values, samples["emotion"].tolist(), samples["template"].tolist())
    templates = list(dict.fromkeys(steered["template"].tolist()))
    design = pole_design(templates, poles, statistics)
    steered = steered.assign(**{PROBABILITY: _judged(judge, steered, features, poles[1])})
    curves = _curves(steered)
    parts = []
    for weights in dict.fromkeys(steered["weights"].tolist()):
        own = steered[steered["weights"] == weights]
        parts += [part.assign(weights=weights) for part in _steering(own, design, templates)]
    right, of_ablated = _ablation(judge, features, samples, values, ablated, design, templates)
    costs, of_patched = _patching(patched, design, templates)
    parts += [part.assign(weights="trained") for part in (right, costs)]
    found = pd.concat(parts, ignore_index=True).assign(start=poles[0], end=poles[1], model=model)
    table = found.reindex(columns=_COLUMNS)
    return Tables(table, pd.concat([curves, of_ablated, of_patched], ignore_index=True))


def pole_design(templates: Sequence[str], poles: tuple[str, str], statistics: Mapping[str, int]) -> Design:
    """Return the design of a contrast of two conditions within each template, with a seed of its own."""
    rows = [
        (f"{template}-{pole}", f"{template}-{pole}", template, pole, number)
        for number, template in enumerate(templates)
        for pole in poles
    ]
    sheet = pd.DataFrame(rows, columns=["sample_id", "prompt_id", "template", "emotion", "seed"])
    sizes = {"n_permutations": statistics["permutations"], "n_bootstraps": statistics["bootstraps"]}
    return Design(sheet, "emotion", statistics["seed"], **sizes)


def _judged(judge: Judge, table: pd.DataFrame, features: Sequence[str], label: str) -> NDArray:
    """Return the probability [n] that a clip is of a label, after clips of other templates."""
    found = np.full(len(table), np.nan)
    for template, rows in table.groupby("template").indices.items():
        values = table.iloc[rows][list(features)].to_numpy(float)
        found[rows] = judge.posterior(values, str(template))[:, judge.labels.index(label)]
    return found


def _steering(steered: pd.DataFrame, design: Design, templates: Sequence[str]) -> list[pd.DataFrame]:
    """Return the rows of one model's steered clips."""
    untouched = steered[steered["source"] == UNTOUCHED]
    keys = ["source", "branch", "dose"]
    edited = steered[~steered["source"].isin([UNTOUCHED, "random"])]
    conditions = [key for key in edited[keys].drop_duplicates().itertuples(index=False) if key.dose > 0]
    layers = sorted(set(steered["layer"]))
    largest = max(key.dose for key in conditions)
    parts, costs = [], []
    for source, branch, dose in conditions:
        cells, contrasts = [], []
        for layer in layers:
            both = [_of(edited, layer, source, branch, sign * dose, templates) for sign in (1, -1)]
            base = _of(untouched, layer, UNTOUCHED, "both", 0.0, templates)
            for measure, unit in MEASURES.items():
                cells.append((layer, measure, unit))
                contrasts.append(both[0][measure].to_numpy(float) - both[1][measure].to_numpy(float))
            for sign, one in zip((1, -1), both, strict=True):
                costs.append((layer, source, branch, sign * dose, (one["nll"] - base["nll"]).to_numpy(float)))
        table = pd.DataFrame(cells, columns=["layer", "measure", "unit"])
        statistic = EFFECT if dose == largest else SMALLER
        table = table.assign(source=source, branch=branch, dose=dose, statistic=statistic)
        equal = branch == "both" and dose == largest and source in ("means", "probe")
        null = _random(steered, table, layers) if equal else None
        parts.append(_by_measure(table, np.array(contrasts), design, null, templates))
    first = conditions[0].source
    parts.append(_between_layers(parts, conditions, first, largest, design))
    parts.append(_costs(costs, design))
    parts.append(_matched(parts[: len(conditions)], costs, conditions))
    return [part for part in parts if len(part)]


def _of(
    table: pd.DataFrame, layer: int, source: str, branch: str, dose: float, templates: Sequence[str]
) -> pd.DataFrame:
    """Return one condition's rows, a row per template in order."""
    rows = table[
        (table["layer"] == layer)
        & (table["source"] == source)
        & (table["branch"] == branch)
        & (table["dose"] == dose)
    ]
    return rows.set_index("template").loc[list(templates)]


def _by_measure(
    table: pd.DataFrame, contrasts: NDArray, design: Design, null: "_Null | None", templates: Sequence[str]
) -> pd.DataFrame:
    """Test the layers of each measure as a family."""
    found = []
    for rows in table.groupby("measure", sort=False).indices.values():
        own = None if null is None else null._replace(effects=null.effects[:, rows])
        found.append(_tested(table.iloc[rows], contrasts[rows], design, "layers", own, templates))
    return pd.concat(found, ignore_index=True)


class _Null(NamedTuple):
    """Effects along random directions [m, cells] on the clips of some templates, by name."""

    effects: NDArray
    templates: list[str]


def _random(steered: pd.DataFrame, table: pd.DataFrame, layers: Sequence[int]) -> _Null | None:
    """Return the effects of random directions in the cells of a table; None where none were drawn."""
    drawn = steered[steered["source"] == "random"]
    if drawn.empty:
        return None
    sign = np.sign(drawn["dose"].to_numpy())
    effects = []
    for layer, measure in zip(table["layer"], table["measure"], strict=True):
        signed = (drawn[measure].to_numpy(float) * sign)[drawn["layer"].to_numpy() == layer]
        draw = drawn["draw"].to_numpy()[drawn["layer"].to_numpy() == layer]
        names = drawn["template"].to_numpy()[drawn["layer"].to_numpy() == layer]
        sums = pd.Series(signed).groupby(draw).sum(min_count=len(signed) // len(set(draw)))
        effects.append(sums.to_numpy(float) / len(set(names)))
    return _Null(np.stack(effects, axis=1), list(dict.fromkeys(drawn["template"].tolist())))


def _tested(
    table: pd.DataFrame,
    contrasts: NDArray,
    design: Design,
    family: str,
    null: _Null | None = None,
    templates: Sequence[str] = (),
) -> pd.DataFrame:
    """Write estimates, intervals and both tests of contrasts [cells, T] into rows.

    p is against random directions where there are any, else of the two conditions exchanged within templates.
    Along random directions the largest is compared as it is: few draws say little of a cell's own spread.
    """
    table = blank(table.reset_index(drop=True), design, interval="", random=np.nan)
    rows, estimate = np.arange(len(table)), contrasts.mean(axis=1)
    units = design.bootstraps().units.astype(float)  # [m, T]
    drawn = (units @ np.nan_to_num(contrasts).T) / units.sum(axis=1, keepdims=True)
    known = np.isfinite(estimate)
    write_estimates(table, rows, design, estimate, np.where(known, drawn, np.nan))
    table["interval"] = f"95% of {len(units)} bootstraps of templates"
    lacking = ["" if one else "a clip has no value: silent, clipped or too short" for one in known]
    if null is None:
        signs = _signs(design)
        flipped = np.abs(signs @ contrasts.T / contrasts.shape[1])
        how = {"family": family, "moved": "conditions", "why_not": lacking}
        record(table, rows, design, np.abs(estimate), flipped, **how)
    else:
        places = [list(templates).index(name) for name in null.templates]
        observed = np.abs(contrasts[:, places].mean(axis=1))
        sizes = np.abs(null.effects)
        smallest = 1 / (len(sizes) + 1)
        result = against_null(observed, sizes, smallest=smallest, standardise=False)
        text = f"{len(sizes)} {_RANDOM}; on the clips of {len(places)} templates"
        write_test(table, rows, result, min_p=smallest, null=text, family=family, why_not=lacking)
        table["random"] = sizes.max(axis=0)
    record_flips(table, rows, design, contrasts[:, :, None] * contrasts[:, None, :])
    return table.assign(contrasts=list(contrasts))


def _signs(design: Design) -> NDArray:
    """Return the signs [m, T] that the study's relabelings give to the contrasts of templates."""
    first = design.rows[::2, 0]  # of each template the sample of its first condition
    return np.where(design.permutations()[:, first] == first, 1.0, -1.0)


def _between_layers(
    parts: Sequence[pd.DataFrame], conditions: Sequence, first: str, largest: float, design: Design
) -> pd.DataFrame:
    """Compare the effects of each two layers: without this, no layer may be said to do more than another."""
    chosen = [key.source == first and key.branch == "both" and key.dose == largest for key in conditions]
    if True not in chosen:
        return pd.DataFrame()
    table = parts[chosen.index(True)]
    found = [pd.DataFrame()]
    for measure in MEASURES:
        own = table[table["measure"] == measure].to_dict("records")
        pairs = list(combinations(own, 2))
        if pairs:
            named = [f"{one['layer']} − {other['layer']}" for one, other in pairs]
            cells = pd.DataFrame(
                {"layer": named, "measure": measure, "unit": own[0]["unit"], "source": first}
            )
            cells = cells.assign(branch="both", dose=largest, statistic=LAYERS)
            contrasts = np.array([one["contrasts"] - other["contrasts"] for one, other in pairs])
            found.append(_tested(cells, contrasts, design, "pairs of layers"))
    return pd.concat(found, ignore_index=True)


def _costs(costs: Sequence[tuple], design: Design) -> pd.DataFrame:
    """Return what each condition costs, in nats a token under the untouched model and text."""
    names = ["layer", "source", "branch", "dose"]
    table = pd.DataFrame([one[:4] for one in costs], columns=names)
    table = table.assign(statistic=COST, measure="nll", unit="nats")
    table = blank(table, design, interval="", random=np.nan, null="none: described only")
    values = np.array([one[4] for one in costs])
    units = design.bootstraps().units.astype(float)
    drawn = (units @ values.T) / units.sum(axis=1, keepdims=True)
    write_estimates(table, np.arange(len(table)), design, values.mean(axis=1), drawn)
    return table.assign(interval=f"95% of {len(units)} bootstraps of templates")


def _matched(parts: Sequence[pd.DataFrame], costs: Sequence[tuple], conditions: Sequence) -> pd.DataFrame:
    """Compare costs at one effect on the judge's probability: the largest that all of them reach.

    Between doses effect and cost are taken to be straight lines. Sources that reach less than a tenth of what
    the strongest does are left out: at an effect near 0 nothing can be compared.
    """
    table = pd.concat(parts)
    table = table[table["measure"] == PROBABILITY]
    cost = {(layer, source, branch, dose): values.mean() for layer, source, branch, dose, values in costs}
    curves = {}
    for key, own in table.groupby(["layer", "source", "branch"], sort=False):
        own = own.sort_values("dose")
        doses = own["dose"].tolist()
        both = [(cost[(*key, dose)] + cost[(*key, -dose)]) / 2 for dose in doses]
        curves[key] = np.r_[0.0, own["estimate"]], np.r_[0.0, both]
    reach = {key: float(np.nanmax(effects)) for key, (effects, _) in curves.items()}
    kept = [key for key, most in reach.items() if most > 0.1 * max(reach.values())]
    if not kept:
        return pd.DataFrame()
    equal, rows = min(reach[key] for key in kept), []
    for key in kept:
        effects, nats = curves[key]
        rising = np.maximum.accumulate(effects)
        named = dict(zip(("layer", "source", "branch"), key, strict=True))
        rows.append(named | {"estimate": float(np.interp(equal, rising, nats)), "dose": np.nan})
    return pd.DataFrame(rows).assign(
        statistic=MATCHED,
        measure="nll",
        unit="nats",
        random=np.nan,
        null=f"none: described only, at a difference of {equal:.2f} in the judge's probability",
        n_perm=0,
        family="",
    )


def _ablation(
    judge: Judge,
    features: Sequence[str],
    samples: pd.DataFrame,
    values: NDArray,
    ablated: pd.DataFrame,
    design: Design,
    templates: Sequence[str],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of ablation, and each template's accuracies."""
    of_clip = {}
    for template in templates:
        rows = np.flatnonzero(samples["template"] == template)
        seed = ablated.loc[ablated["template"] == template, "seed"].iloc[0]
        rows = rows[samples["seed"].to_numpy()[rows] == seed]
        of_clip[template] = _right(judge, values[rows], samples["emotion"].to_numpy()[rows], template)
    accuracies = {(UNTOUCHED, UNTOUCHED): np.array([of_clip[one] for one in templates])}
    for key, own in ablated.groupby(["layer", "subspace"], sort=False):
        found = []
        for template in templates:
            rows = own[own["template"] == template]
            labels = rows["emotion"].to_numpy()
            found.append(_right(judge, rows[list(features)].to_numpy(float), labels, template))
        accuracies[(str(key[0]), str(key[1]))] = np.array(found)
    table = pd.DataFrame([{"layer": layer, "source": kind} for layer, kind in accuracies])
    described = _described(table, np.array(list(accuracies.values())), design, ACCURACY, "accuracy", "")
    layers = list(dict.fromkeys(layer for layer, _ in accuracies if layer != UNTOUCHED))
    losses = np.array([accuracies[layer, "random"] - accuracies[layer, "labels"] for layer in layers])
    cells = pd.DataFrame(
        {"layer": layers, "source": "labels", "measure": "accuracy", "unit": "", "statistic": ABLATION}
    )
    tested = _tested(cells, losses, design, "layers and all of them")
    curves = [
        {
            "kind": "ablation",
            "weights": "trained",
            "layer": layer,
            "source": kind,
            "template": template,
            "value": value,
        }
        for (layer, kind), of in accuracies.items()
        for template, value in zip(templates, of, strict=True)
    ]
    return pd.concat([described, tested], ignore_index=True), pd.DataFrame(curves)


def _right(judge: Judge, values: NDArray, labels: NDArray, template: str) -> float:
    """Return the share of clips that the judge names after their label; one without a value is not."""
    found = judge.posterior(values, template)
    named = np.array(judge.labels)[np.nan_to_num(found, nan=-1.0).argmax(axis=1)]
    return float(((named == labels.astype(str)) & np.isfinite(found).all(axis=1)).mean())


def _patching(
    patched: pd.DataFrame, design: Design, templates: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what patched states cost, and each template's cost."""
    means = patched.groupby(["layer", "differs", "window", "template"])["nll"].mean()
    own = means["none", "", "whole"].loc[list(templates)].to_numpy()
    cells, costs = [], []
    for layer, differs, window in dict.fromkeys(
        zip(patched["layer"], patched["differs"].fillna(""), patched["window"], strict=True)
    ):
        if differs:
            cells.append({"layer": layer, "source": differs, "branch": "cond", "measure": window})
            costs.append(means[layer, differs, window].loc[list(templates)].to_numpy() - own)
    table = pd.DataFrame(cells).assign(unit="nats", statistic=PATCHED)
    tested = _tested(table, np.array(costs), design, "layers × windows × text and history")
    curves = [
        {"kind": "patch", "weights": "trained", **cell, "template": template, "value": value}
        for cell, of in zip(cells, costs, strict=True)
        for template, value in zip(templates, of, strict=True)
    ]
    return tested, pd.DataFrame(curves)


def _described(
    table: pd.DataFrame, values: NDArray, design: Design, statistic: str, measure: str, unit: str
) -> pd.DataFrame:
    """Return rows of means of values [cells, T] with intervals, not tested."""
    table = table.assign(statistic=statistic, measure=measure, unit=unit)
    table = blank(table, design, interval="", random=np.nan, null="none: described only")
    units = design.bootstraps().units.astype(float)
    drawn = (units @ values.T) / units.sum(axis=1, keepdims=True)
    write_estimates(table, np.arange(len(table)), design, values.mean(axis=1), drawn)
    return table.assign(interval=f"95% of {len(units)} bootstraps of templates")


def _curves(steered: pd.DataFrame) -> pd.DataFrame:
    """Return the measures of every steered clip, long; for random directions the mean over templates."""
    keys = ["weights", "layer", "source", "branch", "dose", "draw", "template"]
    measures = [*MEASURES, "nll"]
    own = steered[steered["source"] != "random"]
    drawn = steered[steered["source"] == "random"]
    means = drawn.groupby(keys[:-1], as_index=False)[measures].mean().assign(template="")
    both = pd.concat([own[[*keys, *measures]], means], ignore_index=True)
    long = both.melt(id_vars=keys, value_vars=measures, var_name="measure", value_name="value")
    return long.assign(kind="dose")


_STEERED = {"statistic": EFFECT, "weights": "trained", "source": "means", "branch": "both"}
FINDINGS = (
    Finding(
        "Do the states drive the loudness: does it change when they are moved from one emotion to another?",
        "Yes, at {n_found} of {n_layers} layers: neutral clips moved {dose:g} of the way from {start} to "
        "{end} differ by {effect} from clips moved as far the other way ({lowest} to {highest} over layers), "
        "those moved along random directions of equal length by at most {random:.1f} dB.",
        {**_STEERED, "measure": "loudness"},
        "steering",
        unit="dB",
        signed=True,
        meaning="loudness of clips moved toward one pole less that of clips moved away; 0 without effect",
        aside="This compares no layer with another.",
    ),
    Finding(
        "Do neutral clips sound like another emotion when the states are moved toward it?",
        "Yes, at {n_found} of {n_layers} layers: a judge of sound that learned other templates' clips gives "
        "{end} {effect} more probability than when states are moved toward {start}; with random directions "
        "up to {random:.2f}.",
        {**_STEERED, "measure": PROBABILITY},
        "steering",
        unit="probability",
        signed=True,
        meaning="probability of the end pole, moved toward it less moved away; 0 without effect",
    ),
    Finding(
        "Does one layer steer more than another?",
        "Yes: layers {layer} differ by {effect} in the judge's probability.",
        {"statistic": LAYERS, "weights": "trained", "measure": PROBABILITY},
        "steering",
        unit="probability",
        signed=True,
        meaning="difference between two layers' effects on the judge's probability; 0 where they are equal",
        absent="one layer was steered",
    ),
    Finding(
        "Is the emotions' subspace of the states used: do clips lose their emotion without it?",
        "Yes: without it a judge of sound names {effect} fewer of the clips after their text than without a "
        "random subspace of equal rank (layers edited: {layer}).",
        {"statistic": ABLATION, "weights": "trained"},
        "ablation",
        unit="fewer",
        signed=True,
        meaning="accuracy without a random subspace less that without the labels' own; 0 without effect",
    ),
    Finding(
        "Do the states that another text leaves in cond change what the model expects of the same music?",
        "Yes, over layers and windows: they cost its tokens {effect} a token.",
        {"statistic": PATCHED, "weights": "trained", "source": "text"},
        "patching",
        unit="nats",
        signed=True,
        meaning="negative log-likelihood in cond, with its states of the other pole's text less without",
        aside="Clips were made under their own text, so a cost above 0 says that the text is used, not how.",
    ),
)
