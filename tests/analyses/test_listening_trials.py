"""The trials of a listening test are fair: what is asked is true, and nothing else tells it."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from fake_interventions import SteeredSounds
from fakes import make_design
from scipy.stats import binom

from innerear.analyses.features import BY_FEATURE, FEATURES, TWIN
from innerear.analyses.listening_trials import (
    DETECTION,
    INTRUDER,
    PROMPTS,
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


def seeded(seed=0):
    return np.random.default_rng(seed)


def labels(each=12, seed=0):
    return label_trials(DESIGN.samples, "emotion", each=each, rng=seeded(seed))


def bursts(seed=0, silent=True):
    """Activations of a feature with bursts in each clip; between them it is silent, or nowhere."""
    rng = seeded(seed)
    fires = np.zeros((DESIGN.n_samples, len(SECONDS_OF_STEPS)), np.float32)
    for clip in fires:
        clip[(start := int(rng.integers(20, 100))) : start + 10] = rng.uniform(1, 2, 10)
        clip[:: 1 if not silent else len(clip)] += 0.1
    return fires


def heard(seed=0):
    return Moments.of(bursts(seed), SECONDS_OF_STEPS, DESIGN)


def activation(fires, excerpt):
    """The activations of a feature within an excerpt."""
    clip = OF.index.get_loc(excerpt.clip)
    since = SECONDS_OF_STEPS - excerpt.start + 1e-3
    inside = (since >= 0) & (since < SECONDS)
    assert excerpt.seconds == SECONDS and excerpt.start + SECONDS <= SECONDS_OF_STEPS[-1] + 1e-3
    return fires[clip, inside]


def prompt(excerpt):
    return OF.loc[excerpt.clip, "prompt_id"]


def test_three_share_a_label_and_the_fourth_a_template_with_one_of_them():
    for trial in labels():
        assert len(set(trial.excerpts)) == 4
        if trial.control:
            continue
        rows = OF.loc[[one.clip for one in trial.excerpts]]
        odd = rows.iloc[trial.answer]
        three = rows.drop(index=trial.excerpts[trial.answer].clip)
        assert set(three["emotion"]) == {trial.group} and odd["emotion"] != trial.group
        assert three["template"].nunique() == 3 and odd["template"] in set(three["template"])


@pytest.mark.parametrize(
    "trials",
    [
        labels(100),
        feature_trials({"a": heard(0)}, {"b": heard(1)}, each=dict.fromkeys(EACH, 200), rng=seeded()),
    ],
)
def test_a_fifth_of_each_task_are_controls_and_the_place_of_the_answer_is_even(trials):
    for task in {one.task for one in trials}:
        own = [one for one in trials if one.task == task]
        assert sum(one.control for one in own) == len(own) / 5
        places, n = Counter(one.answer for one in own), len(own[0].excerpts)
        assert set(places) == set(range(n))
        assert all(count < binom.ppf(0.9999, len(own), 1 / n) for count in places.values())


def test_the_seed_decides_the_trials():
    assert labels(seed=1) == labels(seed=1) != labels(seed=2)


def test_the_intruder_is_silent_in_the_prompt_of_one_of_the_others():
    fires = bursts()
    trials = feature_trials({"it": heard()}, {}, each=EACH, rng=seeded())
    assert len(trials) == sum(EACH.values())
    for trial in trials:
        answer = trial.excerpts[trial.answer]
        rest = [one for one in trial.excerpts if one is not answer]
        if trial.task == INTRUDER:
            silent, firing = answer, rest
            assert len({prompt(one) for one in firing}) == 3 and prompt(silent) in map(prompt, firing)
        else:
            [silent], firing = rest, [answer, *trial.examples]
            assert prompt(silent) == prompt(answer) and len({prompt(one) for one in firing}) == 3
        assert not activation(fires, silent).any()
        for one in firing:
            strongest = [fires[OF["prompt_id"].to_numpy() == prompt(one)].max()]
            assert activation(fires, one).max() == strongest


def test_features_are_heard_where_they_fire_most():
    fires = bursts() * np.linspace(1, 9, DESIGN.n_samples)[:, None]
    found = Moments.of(fires, SECONDS_OF_STEPS, DESIGN)
    highest = pd.Series(fires.max(axis=1)).groupby(DESIGN.prompt_of).max().sort_values(ascending=False)
    assert list(found.firing) == highest.index[:PROMPTS].tolist()


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
    assert not short.enough and min(one.start for one in short.firing.values()) >= 0


def test_steered_clips_are_offered_beside_the_same_seed_untouched():
    files = {layer: SteeredSounds(np.arange(10)[:, None] * np.ones(8)) for layer in (0, 3)}
    trials = steering_trials(files, "energetic", each=4, rng=seeded())
    own = [one for one in trials if not one.control]
    assert Counter(one.group for one in own) == {"layer 0": 4, "layer 3": 4}
    assert sum(one.control for one in trials) == 2
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


def test_a_study_without_steering_or_features_has_no_such_trials():
    assert steering_trials({}, "", each=4, rng=seeded()) == []
    assert feature_trials({}, {}, each=EACH, rng=seeded()) == []


def test_what_cannot_be_asked_is_said():
    samples = DESIGN.samples
    with pytest.raises(InputError, match="the study has one emotion: happy"):
        label_trials(samples[samples["emotion"] == "happy"], "emotion", each=1, rng=seeded())
    with pytest.raises(InputError, match="has 2 clips"):
        label_trials(samples[samples["template"] == "t0"], "emotion", each=1, rng=seeded())
