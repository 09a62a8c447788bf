"""The trials of a listening test are fair: what is asked is true, and nothing else tells it."""

from collections import Counter
from functools import cache

import numpy as np
import pandas as pd
import pytest
from fake_interventions import SteeredSounds
from fakes import make_design
from scipy.stats import binom

from innerear.analyses.features import BY_FEATURE, FEATURES, TWIN
from innerear.analyses.listening_test import ALL, scores
from innerear.analyses.listening_test.trials import (
    DETECTION,
    INTRUDER,
    LABEL,
    SECONDS,
    Moments,
    feature_trials,
    heard_features,
    label_trials,
    steered_sounds,
    steering_trials,
)
from innerear.errors import InputError

EMOTIONS = ("happy", "sad", "calm")
DESIGN = make_design(4, 2, EMOTIONS)
OF = DESIGN.samples.set_index("sample_id")
SECONDS_OF_STEPS = 0.06 + np.arange(190) / 50
EACH = {INTRUDER: 12, DETECTION: 6}
#: a study with enough prompts for all trials
WIDE = make_design(20, 2, EMOTIONS)


def seeded(seed=0):
    return np.random.default_rng(seed)


def labels(each=12, seed=0):
    return label_trials(DESIGN.samples, "emotion", each=each, rng=seeded(seed))


def bursts(seed=0, silent=True, design=DESIGN):
    """Activations of a feature with bursts in each clip; between them it is silent, or nowhere."""
    rng = seeded(seed)
    fires = np.zeros((design.n_samples, len(SECONDS_OF_STEPS)), np.float32)
    for clip in fires:
        for start in rng.choice(100, 2, replace=False):
            clip[20 + start : 30 + start] = rng.uniform(1, 2)
        clip[:: 1 if not silent else len(clip)] += 0.1
    return fires


def heard(seed=0, design=DESIGN):
    return Moments.of(bursts(seed, design=design), SECONDS_OF_STEPS, design)


@cache
def of_features(seed):
    """Trials of two features and of one of the twin, of the same clips, in a wide study."""
    found = [heard(3 * seed + i, WIDE) for i in range(3)]
    own, control = dict(zip("ab", found[:2], strict=True)), {"twin": found[2]}
    return feature_trials(own, control, each=EACH, rng=seeded(seed))


def pieces(trial):
    return (*trial.examples, *trial.excerpts)


def activation(fires, excerpt):
    """The activations of a feature within an excerpt."""
    clip = OF.index.get_loc(excerpt.clip)
    since = SECONDS_OF_STEPS - excerpt.start + 1e-3
    inside = (since >= 0) & (since < SECONDS)
    assert excerpt.seconds == SECONDS and excerpt.start + SECONDS <= SECONDS_OF_STEPS[-1] + 1e-3
    return fires[clip, inside]


def prompt(excerpt):
    return OF.loc[excerpt.clip, "prompt_id"]


def test_three_share_a_label_and_all_four_templates_differ():
    for trial in labels():
        rows = OF.loc[[one.clip for one in trial.excerpts]]
        assert rows["template"].nunique() == 4
        if not trial.control:
            odd = rows["emotion"].iloc[trial.answer]
            assert sorted(rows["emotion"]) == sorted([trial.group] * 3 + [odd]) and odd != trial.group


def test_where_templates_are_few_all_four_are_of_one_or_there_are_no_trials(caplog):
    samples = make_design(2, 3, EMOTIONS).samples
    templates = samples.set_index("sample_id")["template"]
    for trial in label_trials(samples, "emotion", each=4, rng=seeded()):
        assert templates[[one.clip for one in trial.excerpts]].nunique() == 1
    assert not caplog.records
    assert label_trials(make_design(3, 2, EMOTIONS).samples, "emotion", each=4, rng=seeded()) == []
    assert "0 of 12 trials of emotion can be made" in caplog.text


OF_FEATURES = [one for seed in range(10) for one in of_features(seed)]


@pytest.mark.parametrize("task", [LABEL, INTRUDER, DETECTION])
def test_a_fifth_of_each_task_are_controls_and_the_place_of_the_answer_is_even(task):
    trials = [one for one in (*labels(100), *OF_FEATURES) if one.task == task]
    assert abs(sum(one.control for one in trials) / len(trials) - 1 / 5) < 0.02
    places, n = Counter(one.answer for one in trials), len(trials[0].excerpts)
    assert set(places) == set(range(n))
    assert all(count < binom.ppf(0.9999, len(trials), 1 / n) for count in places.values())


def test_the_seed_decides_the_trials():
    assert labels(seed=1) == labels(seed=1) != labels(seed=2)


def test_one_of_two_clips_of_two_prompts_is_silent():
    fires, six = bursts(), [dict.fromkeys(EACH, 0) | {task: 6} for task in EACH]
    trials = [one for each in six for one in feature_trials({"it": heard()}, {}, each=each, rng=seeded())]
    assert Counter(one.task for one in trials) == {INTRUDER: 6, DETECTION: 6}
    for trial in trials:
        assert len({one.clip for one in pieces(trial)}) == 4
        assert sorted(Counter(map(prompt, pieces(trial))).values()) == [2, 2]
        answer = trial.excerpts[trial.answer]
        rest = [one for one in pieces(trial) if one is not answer]
        if trial.task == INTRUDER:
            silent, firing = answer, rest
        else:
            assert len(set(map(prompt, trial.examples))) == 1
            [silent] = [one for one in trial.excerpts if one is not answer]
            firing = [answer, *trial.examples]
        assert not activation(fires, silent).any()
        for one in firing:
            clip = fires[OF.index.get_loc(one.clip)]
            assert activation(fires, one).max() >= clip.max() / 2
    for task in EACH:
        asked = Counter(
            one for trial in trials if trial.task == task for one in set(map(prompt, pieces(trial)))
        )
        assert max(asked.values()) == 1


def test_no_two_excerpts_of_features_overlap():
    trials = of_features(0)
    every = pd.DataFrame(
        [(one.clip, one.start) for trial in trials for one in pieces(trial)], columns=["clip", "start"]
    )
    gaps = every.sort_values(["clip", "start"]).groupby("clip")["start"].diff().dropna()
    assert Counter(one.control for one in trials)[True] and len(gaps)
    assert gaps.min() >= SECONDS - 1e-9


def newest(_):
    """One who picks what sounds least known among four, and the most known of two."""
    known = Counter()

    def choose(trial):
        counts = np.array([known[one.clip] for one in trial.excerpts])
        known.update(one.clip for one in pieces(trial))
        return counts.argmin() if trial.task == INTRUDER else counts.argmax()

    return choose


def of_taste(rng):
    """One who likes some emotions, prompts and clips better than others, whatever is asked."""
    likes = {}

    def choose(trial):
        clips = [one.clip for one in trial.excerpts]
        keys = [(clip, clip.split("/")[0], clip.split("/")[0].split("-")[1]) for clip in clips]
        return np.argmax([sum(likes.setdefault(key, rng.normal()) for key in own) for own in keys])

    return choose


def who_groups(rng):
    """One who hears which excerpts are of one prompt, and nothing else."""

    def choose(trial):
        prompts = [one.clip.split("/")[0] for one in trial.excerpts]
        alike = [i for i, own in enumerate(prompts) if prompts.count(own) > 1]
        return rng.choice(alike)

    return choose


@pytest.mark.parametrize("listener", [newest, of_taste, who_groups])
def test_listeners_who_do_not_hear_the_feature_are_at_chance_and_found_as_often_as_the_level_says(listener):
    right, found, rng = Counter(), [], seeded(1)
    for seed in range(30):
        trials, choose = of_features(seed), listener(rng)
        table = scores(trials, {"a": {i: int(choose(one)) for i, one in enumerate(trials)}}, n_permutations=1)
        for row in table[table["group"].isin([*"ab", ALL])].to_dict("records"):
            if row["group"] == ALL:
                right[row["task"]] += row["right"]
                right[row["task"], "n"] += row["n_trials"]
            elif row["task"] == INTRUDER:
                found.append(row["p"] <= 0.05)
    assert sum(found) <= binom.ppf(0.999, len(found), 0.05)
    for task, chance in ((INTRUDER, 0.25), (DETECTION, 0.5)):
        low, high = binom.ppf([0.0005, 0.9995], right[task, "n"], chance)
        assert low <= right[task] <= high


def test_prompts_in_which_a_feature_fires_most_come_first_and_each_of_their_clips_may_be_the_answer():
    fires = bursts() * np.linspace(1, 9, DESIGN.n_samples)[:, None]
    found = Moments.of(fires, SECONDS_OF_STEPS, DESIGN)
    highest = pd.Series(fires.max(axis=1), OF.index)
    lower = [highest[[*clips]].nlargest(2).iloc[-1] for clips in found.prompts]
    assert len(lower) > 3 and lower == sorted(lower, reverse=True)
    first = {clip for two in found.prompts[:2] for clip in two}
    for task, n_silent in ((INTRUDER, 4), (DETECTION, 2)):
        each, drawn = dict.fromkeys(EACH, 0) | {task: 1}, Counter()
        for seed in range(200):
            [trial] = feature_trials({"it": found}, {}, each=each, rng=seeded(seed))
            assert {one.clip for one in pieces(trial)} == first
            drawn[trial.excerpts[trial.answer].clip] += 1
        assert len(drawn) == n_silent and max(drawn.values()) <= binom.ppf(0.9999, 200, 1 / n_silent)


def table(kind, names):
    """A row per feature of layer 2, the surest first."""
    common = {"statistic": BY_FEATURE, "kind": kind, "branch": "uncond", "measure": "mean activation"}
    own = {"layer": 2, "feature": names, "f": -np.arange(len(names)), "p_corrected": 0.5, "named": False}
    return pd.DataFrame(common | own)


def sparse(*fires):
    """Features 0, 1, … of one layer in sparse form."""
    values = np.stack(fires, axis=-1)
    return np.broadcast_to(np.arange(len(fires)), values.shape), values


def test_named_features_are_asked_about_first_and_those_that_cannot_be_heard_not_at_all(caplog):
    activations = {2: sparse(bursts(0), bursts(1, silent=False), bursts(2), bursts(3))}
    rows = table(FEATURES, [0, 1, 2, 3])
    rows.loc[3, "named"] = True
    found = heard_features(rows, activations, SECONDS_OF_STEPS, DESIGN, n=3)
    assert list(found) == [f"layer 2, feature {one}" for one in ("3, named", "0, not named", "2, not named")]
    assert not caplog.records
    assert len(heard_features(rows, activations, SECONDS_OF_STEPS, DESIGN, n=4)) == 3
    assert "3 of 4 features can be heard" in caplog.text
    twin = heard_features(table(TWIN, [2]), activations, SECONDS_OF_STEPS, DESIGN, n=1, twin=True)
    assert list(twin) == ["layer 2, feature 2, of random weights"]


def test_clips_shorter_than_an_excerpt_give_no_trials():
    short = Moments.of(bursts()[:, :40], SECONDS_OF_STEPS[:40], DESIGN)
    assert not short.prompts
    assert feature_trials({"it": short}, {}, each=EACH, rng=seeded()) == []


def test_steered_clips_are_offered_beside_the_same_seed_untouched():
    files = {layer: SteeredSounds(np.arange(10)[:, None] * np.ones(8)) for layer in (0, 3)}
    trials = steering_trials(files, "energetic", each=4, rng=seeded())
    own = [one for one in trials if not one.control]
    assert Counter(one.group for one in own) == {"layer 0": 4, "layer 3": 4}
    controls = Counter(one.group for one in trials if one.control)
    assert controls == {"layer 0, random directions": 1, "layer 3, random directions": 1}
    more = Counter()
    for one in own:
        answer, other = one.excerpts[one.answer].clip, one.excerpts[1 - one.answer].clip
        assert answer.split(", dose")[0] == other.split(", dose")[0]
        more[float(other.split("dose ")[1]), float(answer.split("dose ")[1])] += 1
        assert one.question == "Which of the two is more energetic?"
    assert more == {(0.0, 0.5): 4, (-0.5, 0.0): 4}
    sounds = steered_sounds(files)
    assert {piece.clip for one in trials for piece in one.excerpts} <= set(sounds)
    assert sounds["t1, layer 3, dose 0.5"][0] == pytest.approx(5 / 32767)
    assert sounds["t1, layer 0, random direction 3"][0] == pytest.approx(9 / 32767)
    assert len(steering_trials(files, "x", each=99, rng=seeded())) == 8 + 2  # each pair once


def test_an_edited_clip_is_right_in_half_of_the_trials_and_of_the_controls():
    files, edited = {0: SteeredSounds(np.ones((10, 8)))}, Counter()
    for seed in range(200):
        for one in steering_trials(files, "energetic", each=4, rng=seeded(seed)):
            edited[one.control] += not one.excerpts[one.answer].clip.endswith("dose 0")
    assert edited[False] == 400  # two of each four
    low, high = binom.ppf([0.0005, 0.9995], 200, 0.5)
    assert low <= edited[True] <= high


def test_a_study_without_steering_or_features_has_no_such_trials():
    assert steering_trials({}, "", each=4, rng=seeded()) == []
    assert feature_trials({}, {}, each=EACH, rng=seeded()) == []


def test_what_cannot_be_asked_is_said():
    samples = DESIGN.samples
    with pytest.raises(InputError, match="the study has one emotion: happy"):
        label_trials(samples[samples["emotion"] == "happy"], "emotion", each=1, rng=seeded())
