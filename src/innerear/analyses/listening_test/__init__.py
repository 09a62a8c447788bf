"""Do listeners hear what the states distinguish? Blind trials, scored exactly."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, count
from math import comb
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binom, binomtest

from innerear.errors import InputError
from innerear.statistics.claims import benjamini_hochberg
from innerear.statistics.significance import ALPHA

#: what a row of all groups together is called
ALL = "all"
#: what the row is called that compares groups with controls
AGAINST = "groups − controls"
COLUMNS = (
    *("task", "group", "control", "n_listeners", "n_trials", "right", "estimate", "chance"),
    *("ci_lo", "ci_hi", "p", "p_corrected", "null", "reason"),
)


@dataclass(frozen=True)
class Excerpt:
    """A piece of a sound: the whole clip, or so many seconds from a second on."""

    clip: str
    start: float = 0.0
    seconds: float | None = None


@dataclass(frozen=True)
class Trial:
    """One question to a listener: which of some excerpts?

    Attributes
    ----------
    task : kind of question; results of one are corrected together.
    group : what is tested by it, such as an emotion or a feature.
    excerpts : in the order in which they are offered.
    answer : position of the right one.
    control : whether chance is expected, as of labels that were shuffled.
    question : as a listener reads it.
    examples : excerpts that are heard before those that are offered.
    """

    task: str
    group: str
    excerpts: tuple[Excerpt, ...]
    answer: int
    control: bool = False
    question: str = ""
    examples: tuple[Excerpt, ...] = ()


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
    trials : all of the test, in order.
    answers : listener → trial → choice; every trial of each.
    seed, n_permutations : of the permutations of groups with controls, and how many are drawn at most.

    Returns
    -------
    A row per task and group, and one of all groups that are no controls: share right, its exact 95 %
    interval (Clopper and Pearson, as if all answers were independent), `exact_p`, corrected over groups
    after Benjamini and Hochberg. With fewer trials than `fewest_trials` there is no p, and `reason` says so.
    The last row of a task compares groups with controls, permuted in all ways where these are at most
    `n_permutations`.

    Raises
    ------
    InputError: there are no answers.
    """
    rows = [
        asdict(trials[trial])
        | {"listener": name, "trial": trial, "choice": choice, "hit": choice == trials[trial].answer}
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
        asked = [row for row in tested if not row["control"]]
        corrected = benjamini_hochberg(np.array([row["p"] for row in asked]))
        for row, p in zip(asked, corrected, strict=True):
            row["p_corrected"] = p
        tested.append(_scored([row for row in own if not row["control"]], ALL, False))
        if {row["control"] for row in own} == {True, False}:
            tested.append(_against_controls(own, rng, n_permutations))
        found += [row | {"task": task} for row in tested]
    return pd.DataFrame(found, columns=list(COLUMNS))


def exact_p(choices: np.ndarray, right: int) -> float:
    """Return the probability of so many right answers if nothing distinguishes the right excerpt.

    Each trial's right excerpt is then any of those that are offered, whatever listeners chose. What several
    listeners choose alike in one trial counts once; of one listener this is the exact binomial test.

    Parameters
    ----------
    choices : [trials, excerpts], how many listeners chose each excerpt.

    Examples
    --------
    >>> exact_p(np.array([[1, 0, 0, 0]] * 2), 2) == exact_p(np.array([[9, 0, 0, 0]] * 2), 18) == 1 / 16
    True
    """
    null = np.ones(1)
    for chosen in choices:
        null = np.convolve(null, np.bincount(chosen) / len(chosen))
    return float(min(1.0, null[right:].sum()))


def fewest_trials(chance: float) -> int:
    """Return the trials that find a listener who is right in three of four more often than not.

    Examples
    --------
    >>> fewest_trials(1 / 4), fewest_trials(1 / 2)
    (5, 13)
    """
    return next(n for n in count(1) if binom.sf(binom.isf(ALPHA, n, chance), n, 0.75) > 0.5)


def _scored(rows: Sequence[Mapping[str, Any]], group: str, control: bool) -> dict[str, Any]:
    n, right, n_offered = len(rows), sum(row["hit"] for row in rows), len(rows[0]["excerpts"])
    chance, trials = 1 / n_offered, list(dict.fromkeys(row["trial"] for row in rows))
    choices = np.zeros((len(trials), n_offered), int)
    for row in rows:
        choices[trials.index(row["trial"]), row["choice"]] += 1
    interval = binomtest(right, n, chance).proportion_ci(method="exact")
    fewest = fewest_trials(chance)
    few = f"{len(trials)} trials; a p takes {fewest}" if len(trials) < fewest else ""
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
        "p": np.nan if few else exact_p(choices, right),
        "p_corrected": np.nan,
        "null": "" if few else "right excerpt drawn anew in each trial; exact",
        "reason": few,
    }


def _against_controls(
    rows: Sequence[Mapping[str, Any]], rng: np.random.Generator, n_permutations: int
) -> dict[str, Any]:
    """Compare mean shares right of groups and controls, by permuting which groups are the controls.

    A group moves as a whole, for all listeners alike: they hear the same trials, and their luck is one.
    """
    hits: dict[tuple[str, bool], list[bool]] = {}
    for row in rows:
        hits.setdefault((row["group"], row["control"]), []).append(row["hit"])
    share = np.array([np.mean(own) for own in hits.values()])
    flag = np.array([control for _, control in hits])
    ways = comb(len(flag), int(flag.sum()))
    few = f"{ways} ways to permute groups and controls; a p of {ALPHA:g} needs {round(1 / ALPHA)}"
    few, exact = few if ways * ALPHA < 1 else "", ways <= n_permutations
    if exact:
        each = combinations(range(len(flag)), int(flag.sum()))
        drawn = [np.isin(np.arange(len(flag)), chosen) for chosen in each]
    else:
        drawn = [flag, *(rng.permutation(flag) for _ in range(n_permutations))]
    observed, *null = (share[~control].mean() - share[control].mean() for control in [flag, *drawn])
    how = f"all {ways} ways" if exact else f"{n_permutations} permutations"
    return {
        "group": AGAINST,
        "control": False,
        "n_listeners": len({row["listener"] for row in rows}),
        "n_trials": len(rows),
        "estimate": observed,
        "chance": 0.0,
        "p": np.nan if few else float(np.mean(np.array(null) >= observed - 1e-12)),
        "null": "" if few else f"{how} of groups and controls",
        "reason": few,
    }
