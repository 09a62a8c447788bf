"""The trials of a listening test: of labels, of sparse features, and of steered clips.

A fifth of the trials of each task are controls, which nothing marks.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, cycle, islice, product
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
#: a strong moment of a feature in a clip, in shares of its strongest there
STRONG = 0.5
_ODD = "Three of the four excerpts have something in common. Which one does not belong?"
_LIKE = "The two examples have something in common. Which of the excerpts has it as well?"


def label_trials(samples: pd.DataFrame, label: str, *, each: int, rng: np.random.Generator) -> list[Trial]:
    """Make trials of three clips of one label and one of another, and controls of labels that are shuffled.

    The four are of as many templates, or all of one where the study has fewer: which of them share a template
    says nothing. In controls labels move between a template's clips.

    Parameters
    ----------
    samples : the index; label : its column of labels.
    each : trials of each label; none where too few clips are alike in template, which a warning says.

    Raises
    ------
    InputError: fewer than two labels.
    """
    columns = ("sample_id", "template", label)
    clips = [tuple(map(str, row)) for row in zip(*(samples[name] for name in columns), strict=True)]
    clips = [_Clip(*row) for row in clips if row[2]]
    names = list(dict.fromkeys(clip.label for clip in clips))
    if len(names) < 2:
        said = ", ".join(names)
        raise InputError(f"a listening test compares labels, and the study has one {label}: {said}")
    asked = (_other_label(clips, name, name, rng) for _ in range(each) for name in names)
    found, n = [trial for trial in asked if trial], each * len(names)
    if len(found) < n:
        log.warning(
            "%d of %d trials of %s can be made: one takes four clips of four templates, or of one template",
            len(found),
            n,
            label,
        )
    shuffled = (
        _other_label(_shuffled(clips, rng), name, "shuffled labels", rng, control=True)
        for name in islice(cycle(names), len(found))
    )
    return _mixed(found, (trial for trial in shuffled if trial), rng)


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
) -> Trial | None:
    clips = [clips[i] for i in rng.permutation(len(clips))]
    own = [clip for clip in clips if clip.label == label]
    others = [clip for clip in clips if clip.label != label]
    spread = len({clip.template for clip in clips}) >= 4
    for odd in others:
        if spread:
            near = {clip.template: clip for clip in own if clip.template != odd.template}
            three = [*near.values()][:3]
        else:
            three = [clip for clip in own if clip.template == odd.template][:3]
        if len(three) == 3:
            offered = tuple(Excerpt(clip.name) for clip in (*three, odd))
            return _offer(Trial(LABEL, group, offered, 3, control, _ODD), rng)
    return None


@dataclass(frozen=True)
class Moments:
    """The moments at which a feature fires and is silent, in clips in which it does both.

    Attributes
    ----------
    prompts : the clips of each prompt in which the feature both fires and is silent for `SECONDS`, where
        there are two; prompts with the two strongest clips come first.
    firing : clip → seconds from which an excerpt has a strong moment of it, the strongest first.
    silent : clip → seconds from which it does not fire for `SECONDS`.
    """

    prompts: Sequence[tuple[str, ...]]
    firing: Mapping[str, Sequence[float]]
    silent: Mapping[str, Sequence[float]]

    @classmethod
    def of(cls, fires: NDArray, seconds: NDArray, design: Design) -> "Moments":
        """Find them in activations [N, S'] at steps that sound at seconds [S']."""
        names = design.samples["sample_id"].astype(str).tolist()
        last, firing, silent = max(0.0, seconds[-1] - SECONDS), {}, {}
        for name, own in zip(names, fires, strict=True):
            silences = seconds[_silences(own > 0, seconds)]
            if len(silences) and own.max() > 0:
                strong = [step for step in np.argsort(-own, kind="stable") if own[step] >= STRONG * own.max()]
                firing[name] = np.clip(seconds[strong] - BEFORE, 0, last).round(3).tolist()
                silent[name] = silences.round(3).tolist()
        strength = dict[tuple[str, ...], float]()
        for prompt in range(design.n_prompts):
            clips = [i for i in np.flatnonzero(design.prompt_of == prompt) if names[i] in firing]
            if len(clips) >= 2:
                strength[tuple(names[i] for i in clips)] = np.sort(fires[clips].max(axis=1))[-2]
        return cls(sorted(strength, key=strength.__getitem__, reverse=True), firing, silent)


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
    """Return the first n features that have moments: named ones first, then those that differ most surely.

    Passed over are features that come and go in fewer than two clips of each of two prompts.

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
            if len(moments.prompts) >= 2:
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

    A trial takes two clips of each of two prompts. In each of the four the feature both fires and is silent,
    and it is drawn of which one the silence is heard: what is alike in prompt or clip says nothing. Intruder:
    all four are offered. Detection: the clips of one prompt are examples; of the other two one is silent.

    No two excerpts overlap, whatever feature they are of, and no prompt is in two trials of a feature and a
    task. Where excerpts run out there are fewer trials.

    Parameters
    ----------
    features, controls : name → moments, as `heard_features` finds them; without controls there are none.
    each : task → trials of each feature, at most.
    """
    found, taken = list[Trial](), defaultdict[str, list[float]](list)
    for task in (INTRUDER, DETECTION):
        own = _in_turn(task, features, each[task], taken, rng)
        made = _mixed(own, _in_turn(task, controls, each[task], taken, rng, control=True), rng)
        n, asked = sum(not trial.control for trial in made), each[task] * len(features)
        if n < asked:
            log.warning(
                "%d of %d trials of %s can be made: one takes two clips of each of two prompts, in all of "
                "which the feature both fires and is silent, and no moment is heard twice",
                n,
                asked,
                task,
            )
        found += made
    return found


def _in_turn(
    task: str,
    features: Mapping[str, Moments],
    each: int,
    taken: dict[str, list[float]],
    rng: np.random.Generator,
    *,
    control: bool = False,
) -> Iterator[Trial]:
    """Make trials of one feature after the other, as many of each as there can be."""
    left = {name: list(moments.prompts) for name, moments in features.items()}
    for name in [*features] * each:
        if trial := _of_two_prompts(task, name, features[name], left[name], taken, rng):
            yield replace(trial, control=control)


def _of_two_prompts(
    task: str,
    name: str,
    moments: Moments,
    left: list[tuple[str, ...]],
    taken: dict[str, list[float]],
    rng: np.random.Generator,
) -> Trial | None:
    """Make a trial of the first two prompts that have excerpts left in two clips, and take these."""
    found, kinds = dict[tuple[str, ...], list[str]](), (moments.firing, moments.silent)
    for prompt in left:
        clips = [clip for clip in prompt if all(_free(kind[clip], taken[clip]) for kind in kinds)]
        if len(clips) >= 2:
            found[prompt] = [clips[i] for i in rng.permutation(len(clips))[:2]]
        if len(found) == 2:
            break
    else:
        return None
    for prompt in found:
        left.remove(prompt)
    silence = int(rng.integers(4) if task == INTRUDER else 2 + rng.integers(2))
    heard = list[Excerpt]()
    for clip in chain(*found.values()):
        if len(heard) == silence:
            starts = _free(moments.silent[clip], taken[clip])
            start = starts[rng.integers(len(starts))]
        else:
            start = _free(moments.firing[clip], taken[clip])[0]
        taken[clip].append(start)
        heard.append(Excerpt(clip, start, SECONDS))
    if task == INTRUDER:
        return _offer(Trial(task, name, tuple(heard), silence, question=_ODD), rng)
    two, offered = tuple(heard[:2]), tuple(heard[2:])
    return _offer(Trial(task, name, offered, 3 - silence, question=_LIKE, examples=two), rng)


def _free(starts: Sequence[float], taken: Sequence[float]) -> list[float]:
    """Return from where an excerpt overlaps with none that is taken of its clip."""
    return [start for start in starts if all(abs(start - other) >= SECONDS for other in taken)]


def steering_trials(
    files: Mapping[int, GramFile], pole: str, *, each: int, rng: np.random.Generator
) -> list[Trial]:
    """Make trials of a clip and the same seed steered: which of the two is more like the second pole?

    Steered clips are moved toward that pole or away from it by the largest dose: half and half where all
    pairs are asked. Controls are moved along random directions, and which counts as right is drawn.

    Parameters
    ----------
    files : layer → open file of rule ``steer``.
    each : trials of each layer, or as many as there are pairs: two of each template.
    """
    question, own = f"Which of the two is more {pole}?", list[Trial]()
    controls: list[tuple[int, Trial]] = []
    for layer, file in files.items():
        templates, dose = file.labels("template"), float(np.max(file.coords("dose")))
        pairs = list(product(templates, ((0.0, dose), (-dose, 0.0))))
        for template, two in (pairs[i] for i in rng.permutation(len(pairs))[:each]):
            offered = tuple(Excerpt(steered_name(layer, template, f"dose {one:g}")) for one in two)
            own.append(_offer(Trial(STEERING, f"layer {layer}", offered, 1, False, question), rng))
        numbers, group = file.read("random_template").tolist(), f"layer {layer}, random directions"
        for turn, draw in enumerate(rng.permutation(len(numbers)).tolist()):
            names = (f"dose {0:g}", f"random direction {draw}")
            offered = tuple(Excerpt(steered_name(layer, templates[numbers[draw]], one)) for one in names)
            control = Trial(STEERING, group, offered, int(rng.integers(2)), True, question)
            controls.append((turn, _offer(control, rng)))
    in_turn = sorted(controls, key=lambda one: one[0])
    return _mixed(own, (control for _, control in in_turn), rng)


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


def _mixed(own: Iterable[Trial], controls: Iterator[Trial], rng: np.random.Generator) -> list[Trial]:
    """Make trials, of every four one control as long as there are any, and mix them."""
    every = list[Trial]()
    for number, trial in enumerate(own):
        every += [trial, *islice(controls, int(number % 4 == 1))]
    return [every[i] for i in rng.permutation(len(every))]
