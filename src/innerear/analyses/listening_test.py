"""Whether listeners can tell what the states tell: blind trials, scored exactly."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from innerear.errors import InputError
from innerear.statistics.claims import benjamini_hochberg

#: trials of a group from which there is a p: 7 of 12 right at a chance of 1/4 is p = .014
FEWEST_TRIALS = 12
#: what a row of all groups together is called
ALL = "all"
#: what the row is called that compares groups with controls
AGAINST = "groups − controls"
COLUMNS = (
    *("task", "group", "control", "n_listeners", "n_trials", "right", "estimate", "chance"),
    *("ci_lo", "ci_hi", "p", "p_corrected", "null", "reason"),
)


@dataclass(frozen=True)
class Trial:
    """One question to a listener: which of some excerpts?

    Attributes
    ----------
    task : kind of question, a key of `TASKS`.
    group : what is tested by it, such as an emotion or a feature.
    excerpts : sample ids, in the order in which they are offered.
    answer : position of the right one.
    control : whether chance is expected, as of labels that were shuffled.
    """

    task: str
    group: str
    excerpts: tuple[str, ...]
    answer: int
    control: bool = False


#: task → the question, as a listener reads it
TASKS: Mapping[str, str] = {
    "intruder": "Three of the four excerpts have something in common. Which one does not belong?",
    "detection": "Which of the two excerpts is like the first two?",
    "more energetic": "Which of the two is more energetic?",
}


def intruders(samples: pd.DataFrame, label: str, *, each: int, rng: np.random.Generator) -> list[Trial]:
    """Make trials of three clips of one label and one of another, and controls of labels that are shuffled.

    The three are of different templates where there are enough; the intruder is of the template of one of
    them. A fifth of all trials are controls: labels move between the clips of a template.

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
    found = [_intruder(clips, name, name, rng) for name in names for _ in range(each)]
    for number in range(round(len(found) / 4)):
        name = names[number % len(names)]
        found.append(_intruder(_shuffled(clips, rng), name, "shuffled labels", rng, control=True))
    return [found[i] for i in rng.permutation(len(found))]


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


def _intruder(
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
    offered = [*three, near[rng.integers(len(near))]]
    order = rng.permutation(4)
    names = tuple(offered[i].name for i in order)
    return Trial("intruder", group, names, int(np.argmax(order == 3)), control)


def scores(
    trials: Sequence[Trial],
    answers: Mapping[str, Mapping[int, int]],
    *,
    seed: int = 0,
    n_permutations: int = 9999,
) -> pd.DataFrame:
    """Score the answers of listeners.

    Parameters
    ----------
    answers : listener → trial → choice; every trial of each.

    Returns
    -------
    A row per task and group, and one of all groups that are no controls: share right, its exact 95 %
    interval (Clopper and Pearson), exact binomial p against chance, one-sided, corrected over groups after
    Benjamini and Hochberg. Below `FEWEST_TRIALS` there is no p, and `reason` says so. The last row of a task
    compares groups with controls, whose names are permuted within listeners.
    """
    rows = [
        asdict(trials[trial])
        | {"listener": name, "hit": choice == trials[trial].answer, "n": len(trials[trial].excerpts)}
        for name, given in answers.items()
        for trial, choice in given.items()
    ]
    if not rows:
        raise InputError("there are no answers to score; put the files that listeners saved into responses/")
    rng, found = np.random.default_rng(seed), []
    for task in dict.fromkeys(row["task"] for row in rows):
        own = [row for row in rows if row["task"] == task]
        groups = list(dict.fromkeys((row["group"], row["control"]) for row in own))
        tested = [
            _scored([row for row in own if (row["group"], row["control"]) == one], *one) for one in groups
        ]
        corrected = benjamini_hochberg(np.array([row["p"] for row in tested]))
        tested = [row | {"p_corrected": p} for row, p in zip(tested, corrected, strict=True)]
        tested.append(_scored([row for row in own if not row["control"]], ALL, False))
        if {row["control"] for row in own} == {True, False}:
            tested.append(_against_controls(own, rng, n_permutations))
        found += [row | {"task": task} for row in tested]
    return pd.DataFrame(found, columns=list(COLUMNS))


def _scored(rows: Sequence[Mapping[str, Any]], group: str, control: bool) -> dict[str, Any]:
    n, right = len(rows), sum(row["hit"] for row in rows)
    chance = 1 / rows[0]["n"]
    test = binomtest(right, n, chance, alternative="greater")
    interval = binomtest(right, n, chance).proportion_ci(method="exact")
    few = f"{n} answers; a p needs {FEWEST_TRIALS}" if n < FEWEST_TRIALS else ""
    return {
        "group": group,
        "control": control,
        "n_listeners": len({row["listener"] for row in rows}),
        "n_trials": n,
        "right": right,
        "estimate": right / n,
        "chance": chance,
        "ci_lo": interval.low,
        "ci_hi": interval.high,
        "p": np.nan if few else test.pvalue,
        "p_corrected": np.nan,
        "null": "" if few else "exact binomial of all answers at chance",
        "reason": few,
    }


def _against_controls(
    rows: Sequence[Mapping[str, Any]], rng: np.random.Generator, n_permutations: int
) -> dict[str, Any]:
    """Compare groups with controls: which groups are controls is permuted within each listener."""
    cells = list(dict.fromkeys((row["listener"], row["group"], row["control"]) for row in rows))
    hits: dict[tuple, list[bool]] = {one: [] for one in cells}
    for row in rows:
        hits[row["listener"], row["group"], row["control"]].append(row["hit"])
    right, count = (np.array([of(hits[one]) for one in cells]) for of in (sum, len))
    flag = np.array([control for _, _, control in cells])

    def difference(control: np.ndarray) -> float:
        own, other = (right[part].sum() / count[part].sum() for part in (~control, control))
        return float(own - other)

    names = list(dict.fromkeys(name for name, _, _ in cells))
    listeners = [np.flatnonzero([one[0] == name for one in cells]) for name in names]
    observed, larger = difference(flag), 0
    for _ in range(n_permutations):
        moved = flag.copy()
        for own in listeners:
            moved[own] = rng.permutation(flag[own])
        larger += difference(moved) >= observed - 1e-12
    few = f"{len(cells)} groups of answers; a p needs {FEWEST_TRIALS}" if len(cells) < FEWEST_TRIALS else ""
    return {
        "group": AGAINST,
        "control": False,
        "n_listeners": len(listeners),
        "n_trials": len(rows),
        "estimate": observed,
        "chance": 0.0,
        "p": np.nan if few else (1 + larger) / (1 + n_permutations),
        "null": "" if few else f"{n_permutations} permutations of groups and controls within listeners",
        "reason": few,
    }
