"""The trials of a listening test: of labels, of sparse features, and of steered clips.

A fifth of the trials of each task are controls, which nothing marks.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, cycle, islice, product
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from innerear.analyses.features import FEATURES, TWIN, is_true, surest
from innerear.analyses.listening_test import Excerpt, Trial
from innerear.errors import InputError
from innerear.features.activations import Sparse, activation_of
from innerear.stacks import GramFile
from innerear.statistics.design import Design

log = logging.getLogger(__name__)

#: tasks: which of four has another label; in which of four is a feature silent; in which of two does it fire,
#: as in two examples; which of two is nearer to the pole that clips are steered to
LABEL, INTRUDER, DETECTION, STEERING = "label", "intruder", "detection", "steering"
#: seconds of an excerpt in which a feature fires or is silent, and how many come before its strongest moment
SECONDS, BEFORE = 1.0, 0.4
#: prompts in which a feature fires most, whose strongest moments are heard; fewest of them with a silence
PROMPTS, SILENT = 8, 2
_ODD = "Three of the four excerpts have something in common. Which one does not belong?"
_LIKE = "The two examples have something in common. Which of the excerpts has it as well?"


def label_trials(samples: pd.DataFrame, label: str, *, each: int, rng: np.random.Generator) -> list[Trial]:
    """Make trials of three clips of one label and one of another, and controls of labels that are shuffled.

    The three are of different templates where there are enough; the intruder is of the template of one of
    them. In controls labels move between the clips of a template.

    Parameters
    ----------
    samples : the index; label : its column of labels.
    each : trials of each label.

    Raises
    ------
    InputError: fewer than two labels, or no three clips of a label.
    """
    columns = ("sample_id", "template", label)
    clips = [tuple(map(str, row)) for row in zip(*(samples[name] for name in columns), strict=True)]
    clips = [_Clip(*row) for row in clips if row[2]]
    names = list(dict.fromkeys(clip.label for clip in clips))
    if len(names) < 2:
        said = ", ".join(names)
        raise InputError(f"a listening test compares labels, and the study has one {label}: {said}")
    found = [_other_label(clips, name, name, rng) for name in names for _ in range(each)]
    controls = (
        _other_label(_shuffled(clips, rng), names[number % len(names)], "shuffled labels", rng, control=True)
        for number in count()
    )
    return _mixed(found, controls, rng)


class _Clip(NamedTuple):
    name: str
    template: str
    label: str


def _shuffled(clips: Sequence[_Clip], rng: np.random.Generator) -> list[_Clip]:
    """Move labels between the clips of each template."""
    moved = list(clips)
    for template in dict.fromkeys(clip.template for clip in clips):
        places = [i for i, clip in enumerate(clips) if clip.template == template]
        for place, other in zip(places, rng.permutation(places), strict=True):
            moved[place] = clips[place]._replace(label=clips[other].label)
    return moved


def _other_label(
    clips: Sequence[_Clip], label: str, group: str, rng: np.random.Generator, *, control: bool = False
) -> Trial:
    own = [clips[i] for i in rng.permutation(len(clips)) if clips[i].label == label]
    if len(own) < 3:
        raise InputError(f"{label!r} has {len(own)} clips; a trial takes three of one label")
    # One of each template first, then the others.
    seen = Counter[str]()
    turns = []
    for clip in own:
        turns.append(seen[clip.template])
        seen[clip.template] += 1
    three = [own[i] for i in np.argsort(turns, kind="stable")[:3]]
    others = [clip for clip in clips if clip.label != label]
    near = [clip for clip in others if clip.template in {one.template for one in three}] or others
    offered = [Excerpt(clip.name) for clip in (*three, near[rng.integers(len(near))])]
    return _offer(Trial(LABEL, group, tuple(offered), 3, control, _ODD), rng)


@dataclass(frozen=True)
class Moments:
    """What is heard of a feature, by prompt.

    Attributes
    ----------
    firing : the strongest moment of each of the `PROMPTS` prompts in which it fires most.
    silent : of those of them that have any, all excerpts in which it does not fire.
    """

    firing: Mapping[int, Excerpt]
    silent: Mapping[int, Sequence[Excerpt]]

    @classmethod
    def of(cls, fires: NDArray, seconds: NDArray, design: Design) -> "Moments":
        """Find them in activations [N, S'], whose steps sound at seconds [S']."""
        names = design.samples["sample_id"].astype(str).tolist()
        highest = fires.max(axis=1)
        members = [np.flatnonzero(design.prompt_of == prompt) for prompt in range(design.n_prompts)]
        order = np.argsort([-highest[clips].max() for clips in members], kind="stable")
        firing, silent = {}, {}
        for prompt in order[:PROMPTS].tolist():
            clip = members[prompt][highest[members[prompt]].argmax()]
            if highest[clip] <= 0:
                break
            start = np.clip(seconds[fires[clip].argmax()] - BEFORE, 0, max(0.0, seconds[-1] - SECONDS))
            firing[prompt] = Excerpt(names[clip], round(float(start), 3), SECONDS)
            own = [
                Excerpt(names[other], round(float(seconds[step]), 3), SECONDS)
                for other in members[prompt]
                for step in _silences(fires[other] > 0, seconds)
            ]
            if own:
                silent[prompt] = own
        return cls(firing, silent)

    @property
    def enough(self) -> bool:
        """Whether trials can be made of them."""
        return len(self.firing) >= 3 and len(self.silent) >= SILENT


def _silences(fires: NDArray, seconds: NDArray) -> NDArray:
    """Return the steps from which nothing fires for `SECONDS`."""
    stop = np.searchsorted(seconds, seconds + SECONDS)
    before = np.r_[0, np.cumsum(fires)]
    return np.flatnonzero((seconds + SECONDS <= seconds[-1]) & (before[stop] == before[:-1]))


def heard_features(
    table: pd.DataFrame,
    activations: Mapping[int, Sparse],
    seconds: NDArray,
    design: Design,
    *,
    n: int,
    twin: bool = False,
) -> dict[str, Moments]:
    """Return the first n features that can be heard: named ones first, then those that differ most surely.

    Passed over are features that fire in fewer than 3 prompts, or that are silent for `SECONDS` in fewer than
    `SILENT` of the prompts in which they fire most: such a prompt's clips differ in nothing else.

    Parameters
    ----------
    table : map of `innerear.analyses.features`.
    activations : layer → sparse activations of all clips, of the model or of its random twin.
    twin : whether the twin's features are meant.
    """
    found: dict[str, Moments] = {}
    for row in surest(table, TWIN if twin else FEATURES).to_dict("records"):
        layer, number = int(row["layer"]), int(row["feature"])
        if layer in activations and len(found) < n:
            moments = Moments.of(activation_of(activations[layer], number), seconds, design)
            kind = "of random weights" if twin else "named" if is_true(row["named"]) else "not named"
            if moments.enough:
                found[f"layer {layer}, feature {number}, {kind}"] = moments
    if len(found) < n:
        kind = "features of random weights" if twin else "features"
        log.warning("%d of %d %s can be heard; see heard_features", len(found), n, kind)
    return found


def feature_trials(
    features: Mapping[str, Moments],
    controls: Mapping[str, Moments],
    *,
    each: Mapping[str, int],
    rng: np.random.Generator,
) -> list[Trial]:
    """Make trials of features, and controls of features of random weights.

    Intruder: in three excerpts of different prompts the feature fires most; in the fourth, of the prompt of
    one of the three, it is silent. Detection: it fires in two examples, and in one of two other excerpts of
    one prompt.

    Parameters
    ----------
    features, controls : name → moments, as `heard_features` finds them; without controls there are none.
    each : task → trials of each feature.
    """
    found: list[Trial] = []
    for task, make in ((INTRUDER, _silent_one), (DETECTION, _firing_one)):
        own = [make(*one, rng) for one in features.items() for _ in range(each[task])]
        found += _mixed(own, (make(*one, rng, control=True) for one in cycle(controls.items())), rng)
    return found


def _silent_one(name: str, moments: Moments, rng: np.random.Generator, *, control: bool = False) -> Trial:
    near, *others, silence = _matched(moments, rng)
    return _offer(Trial(INTRUDER, name, (near, *others, silence), 3, control, _ODD), rng)


def _firing_one(name: str, moments: Moments, rng: np.random.Generator, *, control: bool = False) -> Trial:
    near, *others, silence = _matched(moments, rng)
    return _offer(Trial(DETECTION, name, (silence, near), 1, control, _LIKE, tuple(others)), rng)


def _matched(moments: Moments, rng: np.random.Generator) -> list[Excerpt]:
    """Draw moments of three prompts in which a feature fires, and a silence in the first of the prompts."""
    prompt = list(moments.silent)[rng.integers(len(moments.silent))]
    others = [one for other, one in moments.firing.items() if other != prompt]
    silences = moments.silent[prompt]
    two = [others[i] for i in rng.permutation(len(others))[:2]]
    return [moments.firing[prompt], *two, silences[int(rng.integers(len(silences)))]]


def steering_trials(
    files: Mapping[int, GramFile], pole: str, *, each: int, rng: np.random.Generator
) -> list[Trial]:
    """Make trials of a clip and the same seed steered: which of the two is more like the second pole?

    Half of the steered clips are moved toward that pole, half away from it, by the largest dose. Controls are
    moved along random directions.

    Parameters
    ----------
    files : layer → open file of rule ``steer``.
    each : trials of each layer, or as many as there are different ones.
    """
    question, own, controls = f"Which of the two is more {pole}?", list[Trial](), list[Trial]()
    for layer, file in files.items():
        templates, dose = file.labels("template"), float(np.max(file.coords("dose")))
        pairs = list(product(templates, ((0.0, dose), (-dose, 0.0))))
        for template, two in (pairs[i] for i in rng.permutation(len(pairs))[:each]):
            offered = tuple(Excerpt(steered_name(layer, template, f"dose {one:g}")) for one in two)
            own.append(Trial(STEERING, f"layer {layer}", offered, 1, False, question))
        for draw, number in enumerate(file.read("random_template").tolist()):
            names = (f"dose {0:g}", f"random direction {draw}")
            offered = tuple(Excerpt(steered_name(layer, templates[number], one)) for one in names)
            controls.append(Trial(STEERING, f"layer {layer}, random directions", offered, 1, True, question))
    mixed = [controls[i] for i in rng.permutation(len(controls))]
    return _mixed([_offer(one, rng) for one in own], (_offer(one, rng) for one in mixed), rng)


def steered_name(layer: int, template: str, how: str) -> str:
    """Return what a steered clip is called in a key."""
    return f"{template}, layer {layer}, {how}"


def steered_sounds(files: Mapping[int, GramFile]) -> dict[str, tuple[NDArray, int]]:
    """Return the sound [n, 1] within ±1 and its rate of each clip that `steering_trials` may name."""
    found: dict[str, tuple[NDArray, int]] = {}
    for layer, file in files.items():
        rate, templates = file.attrs.whole("sample_rate"), file.labels("template")
        own, drawn = (file.read(name)[..., None] / np.float32(32767) for name in ("audio", "random_audio"))
        for (i, template), (d, dose) in product(enumerate(templates), enumerate(file.coords("dose"))):
            found[steered_name(layer, template, f"dose {dose:g}")] = own[i, d], rate
        for draw, number in enumerate(file.read("random_template").tolist()):
            found[steered_name(layer, templates[number], f"random direction {draw}")] = drawn[draw], rate
    return found


def _offer(trial: Trial, rng: np.random.Generator) -> Trial:
    """Offer a trial's excerpts in a random order."""
    order = rng.permutation(len(trial.excerpts))
    excerpts = tuple(trial.excerpts[i] for i in order)
    return replace(trial, excerpts=excerpts, answer=int(np.argmax(order == trial.answer)))


def _mixed(own: Sequence[Trial], controls: Iterable[Trial], rng: np.random.Generator) -> list[Trial]:
    """Mix trials with a quarter as many controls, where there are any."""
    every = [*own, *islice(controls, round(len(own) / 4))]
    return [every[i] for i in rng.permutation(len(every))]
