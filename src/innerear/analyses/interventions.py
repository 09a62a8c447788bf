"""Effects of editing states on the music: steering, ablating the labels' subspace, and patching.

The unit is the template: its own clips with and without the edit. Every contrast of templates is tested by
sign flips; steering also against random directions of the states' own covariance and of equal length.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from innerear.acoustics.features import FEATURES
from innerear.acoustics.judge import Judge, wide
from innerear.statistics.design import Design
from innerear.statistics.finding import Finding
from innerear.statistics.paired import DESCRIBED, RandomEffects, described, pole_design, selected, tested
from innerear.statistics.table import blank, columns

#: statistics: difference between the largest dose and its opposite, and of smaller doses; that of two layers;
#: nats that an edit costs; the cost at an effect that all compared edits reach; share of clips that the judge
#: names after their text; how many more without a random subspace than without the labels'; nats of patching
EFFECT, SMALLER = "effect of steering", "effect of a smaller dose"
LAYERS, COST = "difference of two layers' effects", "cost"
#: how far the edited layer's states lie from those of untouched clips of other templates
AWAY = "distance of the states from their usual place"
MATCHED, ACCURACY, ABLATION = "cost at equal effect", "accuracy", "loss of accuracy beyond a random subspace"
PATCHED, SWAPPED = "cost of patched states", "cost of the other run's text throughout"
PROBABILITY, NLL, DISTANCE = "probability", "nll", "distance"
#: what of a clip is compared, and its unit: the judge's probability of the end pole, and clip features
MEASURES = {PROBABILITY: "", **{name: FEATURES[name].unit for name in ("loudness", "centroid", "flatness")}}
#: source, or layer, of clips that are as they are; and the source of random directions
UNTOUCHED, RANDOM = "none", "random"
_RANDOM = "random directions of the states' covariance, of equal length"
#: sources whose directions are of one length
_EQUAL = ("means", "probe", "features")
_OWN = (
    *("weights", "source", "main", "feature", "branch", "dose", "measure", "unit", "statistic"),
    *("start", "end"),
)
_COLUMNS = columns(*_OWN, "estimate", "ci_lo", "ci_hi", "interval", "chance", "random", "beside")


class Tables(NamedTuple):
    """The tables of `interventions`: every estimate, and the values behind the figures."""

    map: pd.DataFrame
    curves: pd.DataFrame


class _Key(NamedTuple):
    """A condition of steered clips."""

    layer: int
    source: str
    branch: str
    dose: float


def interventions(
    samples: pd.DataFrame,
    clips: pd.DataFrame,
    steered: pd.DataFrame,
    ablated: pd.DataFrame,
    patched: pd.DataFrame,
    *,
    poles: Sequence[str],
    model: str,
    statistics: Mapping[str, int],
) -> Tables:
    """Test what the interventions of a study change.

    Parameters
    ----------
    samples, clips : the study's index and clip features, of untouched clips of emotional texts.
    steered : `innerear.interventions.steering.steer` of all layers, with a column `weights`.
    ablated, patched : of `ablate` and `patch`.
    poles : the labels where directions begin and end.
    statistics : permutations, bootstraps and seed of the study.

    Raises
    ------
    InputError: a template's judge has nothing to learn from.
    """
    features = [name for name in steered.columns if name in FEATURES]
    values = wide(clips, samples, features)
    judge = Judge(values, samples["emotion"].tolist(), samples["template"].tolist())
    templates = list(dict.fromkeys(steered["template"].tolist()))
    # Directions of features steer only the templates that dictionaries have not seen.
    design_of = cache(partial(pole_design, poles=poles, statistics=statistics))
    design = design_of(tuple(templates))
    judged = steered.assign(**{PROBABILITY: _judged(judge, steered, features, poles[1])})
    parts = []
    for weights in dict.fromkeys(steered["weights"].tolist()):
        own = _Steered(selected(judged, weights=weights), templates, design_of)
        parts += [part.assign(weights=weights) for part in (*_steering(own), _matched(own))]
    untouched = samples.assign(**{name: values[:, i] for i, name in enumerate(features)})
    accuracies = _accuracies(judge, features, untouched, ablated, templates)
    costs = _patch_costs(patched, templates)
    parts += [
        part.assign(weights="trained")
        for part in (*_ablation(accuracies, len(judge.labels), design), _patching(costs, design))
    ]
    table = pd.concat(parts, ignore_index=True)
    table = table.assign(main=table["main"].eq(True), start=poles[0], end=poles[1], model=model)
    beside = zip(table["random"].tolist(), table["unit"].tolist(), strict=True)
    table["beside"] = [_beside(*one) for one in beside]
    table["n_prompts"] = _prompts(table, ablated)
    curves = [*_curves(judged), *_paired(accuracies, costs, templates)]
    return Tables(table.reindex(columns=_COLUMNS), pd.DataFrame(curves))


def _beside(random: float, unit: str) -> str:
    """Say what random directions do, for sentences."""
    if np.isnan(random):
        return "random directions were not drawn, or a clip along one has no value"
    size = f"{random:.3g} {'dB' if unit == 'LUFS' else unit}".strip()
    return f"random directions of equal length make a difference of at most {size}"


def _prompts(table: pd.DataFrame, ablated: pd.DataFrame) -> NDArray:
    """Count the prompts behind each row.

    Steered are neutral ones, one a template; composed without a subspace all labels'; patched the two poles'.
    """
    without, poles = (table["statistic"].isin(names) for names in ([ACCURACY, ABLATION], [PATCHED, SWAPPED]))
    counts = [ablated["prompt"].nunique(), 2 * table["n_templates"]]
    return np.select([without, poles], counts, table["n_templates"])


def _judged(judge: Judge, table: pd.DataFrame, features: Sequence[str], label: str) -> NDArray:
    """Return the probability [n] that a clip is of a label, after clips of other templates.

    In hundredths: finer differences of a judge that is sure say nothing of the sound.
    """
    values, found = table[list(features)].to_numpy(float), np.full(len(table), np.nan)
    templates = np.array(table["template"].tolist())
    for template in dict.fromkeys(templates.tolist()):
        rows = np.flatnonzero(templates == template)
        found[rows] = judge.posterior(values[rows], template)[:, judge.labels.index(label)]
    return found.round(2)


class _Steered:
    """The steered clips of one model by condition; `of` gives a measure of all templates [T]."""

    def __init__(
        self, table: pd.DataFrame, templates: Sequence[str], design_of: Callable[[tuple[str, ...]], Design]
    ) -> None:
        self.templates, self._design_of, self._values = list(templates), design_of, {}
        self._drawn: dict[tuple[int, int], dict[str, NDArray]] = {}
        self._scored: dict[str, NDArray] = {}
        self._features: dict[tuple[int, str], dict[str, int]] = {}
        place = {template: number for number, template in enumerate(templates)}
        names = [*MEASURES, NLL, DISTANCE]
        self.drawn_templates = np.zeros(len(templates), bool)
        rows: list[dict[str, Any]] = table.to_dict("records")
        for row in rows:
            at = place[row["template"]]
            if row["source"] == RANDOM:
                self.drawn_templates[at] = True
                own = self._drawn.setdefault(
                    (row["layer"], row["draw"]), {name: np.zeros(len(place)) for name in names}
                )
                for name in MEASURES:
                    own[name][at] += np.sign(row["dose"]) * row[name]
                continue
            self._scored.setdefault(row["source"], np.zeros(len(place), bool))[at] = True
            key = _Key(row["layer"], row["source"], row["branch"], row["dose"])
            self._features.setdefault(key[:2], {})[row["template"]] = row["feature"]
            own = self._values.setdefault(key, {name: np.full(len(place), np.nan) for name in names})
            for name in names:
                own[name][at] = row[name]
        self.layers = sorted({key.layer for key in self._values})
        self.conditions = list(dict.fromkeys(key[1:] for key in self._values if key.source != UNTOUCHED))

    def of(self, layer: int, source: str, branch: str, dose: float, measure: str) -> NDArray:
        """Return what a measure is [T] at a dose."""
        return self._values[_Key(layer, source, branch, dose)][measure]

    def shared(self) -> NDArray:
        """Return which templates [T] every source steers."""
        return np.all(list(self._scored.values()), axis=0)

    def contrast(self, layer: int, source: str, branch: str, dose: float, measure: str) -> NDArray:
        """Return the difference [T] between a dose and its opposite."""
        return self.of(layer, source, branch, dose, measure) - self.of(layer, source, branch, -dose, measure)

    def scored(self, source: str) -> NDArray:
        """Return which templates [T] a source steers; a clip without a value counts."""
        return self._scored[source]

    def features(self, layer: int, source: str) -> str:
        """Name the features that a source's directions are of, with the number of templates of each."""
        taken = Counter(number for number in self._features[layer, source].values() if number >= 0)
        if len(taken) == 1:
            return str(*taken)
        return ", ".join(f"{number} ({n} templates)" for number, n in taken.most_common())

    def design(self, source: str) -> Design:
        """Return the design of the templates that a source steers."""
        return self.design_of(self.scored(source))

    def design_of(self, scored: NDArray) -> Design:
        """Return the design of some templates, a mask [T]."""
        return self._design_of(tuple(np.array(self.templates)[scored].tolist()))

    def cost(self, layer: int, source: str, branch: str, dose: float) -> NDArray:
        """Return the nats a token [T] that a dose costs."""
        return self.of(layer, source, branch, dose, NLL) - self.of(layer, UNTOUCHED, "both", 0.0, NLL)

    def random(self, measure: str, scored: NDArray) -> RandomEffects | None:
        """Return the effects along random directions in all layers; None where none were drawn.

        They are of the drawn templates among those that are scored, a mask [T].
        """
        draws, kept = sorted({draw for _, draw in self._drawn}), self.drawn_templates & scored
        if not draws or not kept.any():
            return None
        effects = [
            [self._drawn[layer, draw][measure][kept].mean() for layer in self.layers] for draw in draws
        ]
        return RandomEffects(np.array(effects), kept[scored], _RANDOM)


def _steering(steered: _Steered) -> Iterator[pd.DataFrame]:
    """Yield the rows of one model's steered clips; the layers of a measure are a family."""
    layers = steered.layers
    conditions = [key for key in steered.conditions if key[2] > 0]
    largest = max(dose for _, _, dose in conditions)
    # Random directions are as long as those of the first source.
    first = conditions[0][0]
    equals = _EQUAL if first in _EQUAL else (first,)
    for source, branch, dose in conditions:
        equal = branch == "both" and dose == largest and source in equals
        scored, design = steered.scored(source), steered.design(source)
        for measure, unit in MEASURES.items():
            contrasts = np.array([steered.contrast(layer, source, branch, dose, measure) for layer in layers])
            contrasts = contrasts[:, scored]
            named = {"source": source, "branch": branch, "dose": dose, "measure": measure, "unit": unit}
            named["main"] = source == first
            cells = {"layer": layers, **named, "statistic": EFFECT if dose == largest else SMALLER}
            cells["feature"] = [steered.features(layer, source) for layer in layers]
            yield tested(
                cells, contrasts, design, "layers", steered.random(measure, scored) if equal else None
            )
            pairs = list(combinations(range(len(layers)), 2))
            # Without this, no layer may be said to do more than another.
            if dose == largest and branch == "both" and source == first and pairs:
                between = [f"{layers[one]} − {layers[other]}" for one, other in pairs]
                differences = np.array([contrasts[one] - contrasts[other] for one, other in pairs])
                cells = {"layer": between, **named, "statistic": LAYERS}
                yield tested(cells, differences, design, "pairs of layers")
    for source, branch, dose in steered.conditions:
        scored, named = steered.scored(source), {"source": source, "branch": branch, "dose": dose}
        cells = {"layer": layers, **named, "measure": NLL, "unit": "nats", "statistic": COST}
        costs = np.array([steered.cost(layer, source, branch, dose)[scored] for layer in layers])
        yield described(cells, costs, steered.design(source))
    for source, branch, dose in [(UNTOUCHED, "both", 0.0), *steered.conditions]:
        scored, named = steered.scored(source), {"source": source, "branch": branch, "dose": dose}
        cells = {"layer": layers, **named, "measure": DISTANCE, "unit": "× the usual", "statistic": AWAY}
        away = np.array([steered.of(layer, source, branch, dose, DISTANCE)[scored] for layer in layers])
        yield described(cells, away, steered.design(source))


def _matched(steered: _Steered) -> pd.DataFrame:
    """Compare costs at one effect on the judge's probability: the largest that all of them reach.

    They are compared on the templates that every source steers. Between doses effect and cost are taken to be
    straight lines. What reaches less than a tenth of what the strongest does is left out: at an effect near 0
    nothing can be compared.
    """
    curves, conditions, shared = {}, [key for key in steered.conditions if key[2] > 0], steered.shared()
    for layer in steered.layers:
        for source, branch in dict.fromkeys(key[:2] for key in conditions):
            doses = sorted(dose for one, other, dose in conditions if (one, other) == (source, branch))
            effects = [
                np.nanmean(steered.contrast(layer, source, branch, dose, PROBABILITY)[shared])
                for dose in doses
            ]
            signed = [
                steered.cost(layer, source, branch, sign * dose)[shared] for dose in doses for sign in (1, -1)
            ]
            nats = np.nanmean(np.array(signed).reshape(len(doses), -1), axis=1)
            curves[layer, source, branch] = (
                np.maximum.accumulate(np.array([0.0, *effects])),
                np.array([0.0, *nats]),
            )
    reach = {key: float(effects[-1]) for key, (effects, _) in curves.items()}
    kept = [key for key, most in reach.items() if most > 0.1 * max(reach.values())]
    if not kept:
        return pd.DataFrame()
    equal = min(reach[key] for key in kept)
    why = f"{DESCRIBED}, at a difference of {equal:.2f} in the judge's probability"
    table = pd.DataFrame(kept, columns=["layer", "source", "branch"])
    table = table.assign(measure=NLL, unit="nats", statistic=MATCHED)
    estimate = [float(np.interp(equal, *curves[key])) for key in kept]
    table = blank(table, steered.design_of(shared), null=why)
    return table.assign(estimate=estimate, interval="none: described only")


def _accuracies(
    judge: Judge,
    features: Sequence[str],
    untouched: pd.DataFrame,
    ablated: pd.DataFrame,
    templates: Sequence[str],
) -> dict[tuple[str, str], NDArray]:
    """Return the share of clips [T] that the judge names after their label, by (layer, subspace)."""
    found = {}
    seeds = dict(zip(ablated["template"].tolist(), ablated["seed"].tolist(), strict=True))
    own = [selected(untouched, template=template, seed=seeds[template]) for template in templates]
    found[UNTOUCHED, UNTOUCHED] = np.array([_right(judge, rows, features) for rows in own])
    kinds = zip(ablated["layer"].tolist(), ablated["subspace"].tolist(), strict=True)
    for layer, subspace in dict.fromkeys(kinds):
        of_kind = selected(ablated, layer=layer, subspace=subspace)
        own = [selected(of_kind, template=template) for template in templates]
        found[str(layer), subspace] = np.array([_right(judge, rows, features) for rows in own])
    return found


def _right(judge: Judge, rows: pd.DataFrame, features: Sequence[str]) -> float:
    """Return the share of a template's clips that are named right; one without a value is not."""
    found = judge.posterior(rows[list(features)].to_numpy(float), rows["template"].tolist()[0])
    named = np.array(judge.labels)[np.nan_to_num(found, nan=-1.0).argmax(axis=1)]
    right = (named == np.array(rows["emotion"].tolist())) & np.isfinite(found).all(axis=1)
    return float(right.mean())


def _ablation(
    accuracies: Mapping[tuple[str, str], NDArray], n_labels: int, design: Design
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of accuracies, and of what is lost beyond a random subspace."""
    cells = pd.DataFrame(list(accuracies), columns=["layer", "source"]).assign(measure="accuracy", unit="")
    shares = described(
        cells.assign(statistic=ACCURACY, chance=1 / n_labels), np.array(list(accuracies.values())), design
    )
    layers = list(dict.fromkeys(layer for layer, _ in accuracies if layer != UNTOUCHED))
    losses = np.array([accuracies[layer, "random"] - accuracies[layer, "labels"] for layer in layers])
    lost = {"layer": layers, "source": "labels", "measure": "accuracy", "unit": "", "statistic": ABLATION}
    return shares, tested(lost, losses, design, "the layers that are edited")


def _patch_costs(patched: pd.DataFrame, templates: Sequence[str]) -> dict[tuple[str, str, str], NDArray]:
    """Return what patching costs [T], in nats a token, by (layer, what differs, window)."""
    sums: dict[tuple[str, str, str], NDArray] = {}
    names = ("layer", "differs", "window", "template", "nll")
    for layer, differs, window, template, nll in zip(*(patched[one].tolist() for one in names), strict=True):
        key = (str(layer), differs if isinstance(differs, str) else "", window)
        sums.setdefault(key, np.zeros(len(templates)))[templates.index(template)] += nll / 2  # two clips
    own = sums.pop((UNTOUCHED, "", "whole"))
    return {key: found - own for key, found in sums.items()}


def _patching(costs: Mapping[tuple[str, str, str], NDArray], design: Design) -> pd.DataFrame:
    cells = pd.DataFrame(list(costs), columns=["layer", "source", "measure"])
    unpatched = cells["layer"].astype(str) == UNTOUCHED
    cells = cells.assign(branch="cond", unit="nats", statistic=np.where(unpatched, SWAPPED, PATCHED))
    return tested(cells, np.array(list(costs.values())), design, "layers × windows × text and history")


def _curves(steered: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Yield the measures of every steered clip; along random directions their means over templates."""
    drawn: dict[tuple, list[float]] = {}
    rows: list[dict[str, Any]] = steered.to_dict("records")
    for row in rows:
        named = {name: row[name] for name in ("weights", "layer", "source", "branch", "dose")}
        for measure in (*MEASURES, NLL, DISTANCE):
            if row["source"] == RANDOM:
                drawn.setdefault((*named.values(), row["draw"], measure), []).append(row[measure])
            else:
                yield named | {
                    "kind": "dose",
                    "template": row["template"],
                    "measure": measure,
                    "value": row[measure],
                }
    for (weights, layer, source, branch, dose, _, measure), values in drawn.items():
        named = {"weights": weights, "layer": layer, "source": source, "branch": branch, "dose": dose}
        yield named | {"kind": "dose", "template": "", "measure": measure, "value": float(np.mean(values))}


def _paired(
    accuracies: Mapping[tuple[str, str], NDArray],
    costs: Mapping[tuple[str, str, str], NDArray],
    templates: Sequence[str],
) -> Iterator[dict[str, object]]:
    """Yield the accuracies and the costs of patching of each template."""
    cells = [("ablation", *key, "accuracy", values) for key, values in accuracies.items()]
    cells += [("patch", *key, values) for key, values in costs.items()]
    for kind, layer, source, measure, values in cells:
        for template, value in zip(templates, values, strict=True):
            named = {"kind": kind, "weights": "trained", "layer": layer, "source": source, "measure": measure}
            yield {**named, "template": template, "value": float(value)}


_MOVED = "mean over templates of clips moved by +α v less clips moved by −α v, of the same seeds"
_STEERED = {"statistic": EFFECT, "weights": "trained", "branch": "both"}
_MAIN = {**_STEERED, "main": True}
FINDINGS = (
    Finding(
        "Do the states drive the loudness: does it change when they are moved from one emotion to another?",
        "Yes, at {n_found} of {n_layers} layers: neutral clips moved {dose:g} of the way from {start} to "
        "{end} differ by {effect} in layer {layer} from clips moved as far the other way ({range} over "
        "layers); {beside}.",
        {**_MAIN, "measure": "loudness"},
        "steering",
        unit="dB",
        signed=True,
        meaning="loudness of clips moved toward one pole less that of clips moved away; 0 without effect",
        aside="This compares no layer with another.",
        formula=_MOVED,
    ),
    Finding(
        "Do the states drive the {contrast} of the sound: does a judge of sound name another one when they "
        "are moved toward it?",
        "Yes, at {n_found} of {n_layers} layers: the probability that a judge of sound, which learned other "
        "templates' clips, gives {end} differs by {effect} in layer {layer} from clips moved toward {start} "
        "({range} over layers); {beside}.",
        {**_MAIN, "measure": PROBABILITY},
        "steering",
        unit="probability",
        signed=True,
        meaning="probability of the end pole, moved toward it less moved away; 0 without effect",
        formula=_MOVED,
    ),
    Finding(
        "Does a single feature drive the loudness: does it change when clips are moved along its vector?",
        "Yes, at {n_found} of {n_layers} layers: neutral clips moved along feature {feature}, as far as "
        "{dose:g} of the way from {start} to {end}, differ by {effect} in layer {layer} from clips moved as "
        "far against it ({range} over layers); {beside}.",
        {**_STEERED, "source": "features", "measure": "loudness"},
        "steering",
        unit="dB",
        signed=True,
        meaning="loudness of clips moved along it less that of clips moved against it; 0 without effect",
        aside="It is the one that moves the states most between the poles in other templates. Templates that "
        "its dictionary names as seen are not steered.",
        absent="features are no source of directions in this study",
        formula=_MOVED,
    ),
    Finding(
        "Does one layer steer more than another?",
        "Yes, in loudness: {n_found} of {n_layers} pairs of layers differ. Layers {layer}, the effect of "
        "moving clips from {start} to {end} in the first less that in the second: {effect}.",
        {"statistic": LAYERS, "weights": "trained", "measure": "loudness"},
        "steering",
        unit="dB",
        signed=True,
        meaning="difference between two layers' effects on loudness; 0 where they are equal",
        absent="one layer was steered",
        formula=f"the first layer's effect − the second's; an effect: {_MOVED}",
    ),
    Finding(
        "Is the {contrasts}' subspace of the states used: does the {contrast} of clips depend on it?",
        "Yes: without it, and not a random subspace of equal rank, a judge of sound no longer names {effect} "
        "after their text (below 0: names more; edited layers: {layer}).",
        {"statistic": ABLATION},
        "ablation",
        unit="fewer",
        signed=True,
        meaning="accuracy without a random subspace less that without the labels' own; 0 without effect",
        formula="clips named after their text without a random subspace − without the labels' own, ÷ clips",
    ),
    Finding(
        "Do the states that another text leaves in cond change what the model expects of the same music?",
        "Yes, at {n_found} of {n_layers} layers: the cost of its tokens changes by {effect} a token in layer "
        "{layer} (part of the clip: {measure}; {range} over layers and parts).",
        {"statistic": PATCHED, "source": "text"},
        "patching",
        unit="nats",
        signed=True,
        meaning="negative log-likelihood in cond, with its states of the other pole's text less without",
        aside="Clips were made under their own text, so a cost above 0 says that the text is used, not how.",
        formula="mean of −log p(token) in cond with the patched states − without",
    ),
)
