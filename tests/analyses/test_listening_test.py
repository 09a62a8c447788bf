"""A listening test finds listeners who can tell, not those who guess, and its trials are fair."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from innerear.analyses.listening_test import AGAINST, ALL, FEWEST_TRIALS, Trial, intruders, scores
from innerear.errors import InputError

EMOTIONS = ("happy", "sad", "calm")
SAMPLES = pd.DataFrame(
    [
        {"sample_id": f"{template}-{emotion}/seed-{seed}", "template": template, "emotion": emotion}
        for template in ("piano", "band", "guitar", "song")
        for emotion in EMOTIONS
        for seed in (0, 1)
    ]
)
OF = SAMPLES.set_index("sample_id")


def trials(each=12, seed=0):
    return intruders(SAMPLES, "emotion", each=each, rng=np.random.default_rng(seed))


def guessing(made, rng):
    return {number: int(rng.integers(4)) for number in range(len(made))}


def perfect(made):
    return {number: trial.answer for number, trial in enumerate(made)}


def knowing(made, rng):
    """One who knows emotions: right where there is one, guessing where labels were shuffled."""
    right, guessed = perfect(made), guessing(made, rng)
    return {number: (guessed if trial.control else right)[number] for number, trial in enumerate(made)}


def test_three_share_an_emotion_and_the_fourth_a_template_with_one_of_them():
    for trial in trials():
        assert len(set(trial.excerpts)) == 4
        if trial.control:
            continue
        rows = OF.loc[list(trial.excerpts)]
        odd = rows.iloc[trial.answer]
        three = rows.drop(index=trial.excerpts[trial.answer])
        assert set(three["emotion"]) == {trial.group} and odd["emotion"] != trial.group
        assert three["template"].nunique() == 3 and odd["template"] in set(three["template"])


def test_a_fifth_are_controls_and_the_place_of_the_answer_is_even():
    made = trials(each=100)
    assert sum(trial.control for trial in made) == len(made) / 5
    places = Counter(trial.answer for trial in made)
    assert all(places[place] < binom.ppf(0.9999, len(made), 0.25) for place in range(4))


def test_the_seed_decides_the_trials():
    assert trials(seed=1) == trials(seed=1) != trials(seed=2)


def test_one_who_knows_is_right_and_better_than_on_controls():
    made = trials()
    rng = np.random.default_rng(0)
    found = scores(made, {name: knowing(made, rng) for name in "abcd"}).set_index("group")
    assert (found.loc[list(EMOTIONS), "p_corrected"] < 1e-6).all()
    assert (found.loc[[*EMOTIONS, ALL], "estimate"] == 1).all()
    assert found.loc["shuffled labels", "p"] > 0.001
    assert found.loc[AGAINST, "p"] < 0.01


def test_those_who_guess_are_found_as_often_as_the_level_says():
    made, found = trials(), []
    for seed in range(200):
        answers = {"a": guessing(made, np.random.default_rng(seed))}
        found.append(scores(made, answers, n_permutations=1).set_index("group").loc[ALL, "p"] <= 0.05)
    assert sum(found) <= binom.ppf(0.999, 200, 0.05)


def test_p_is_the_exact_binomial():
    """Seven of twelve right at a chance of a quarter."""
    made = [Trial("intruder", "x", ("a", "b", "c", "d"), 0)] * 12
    found = scores(made, {"a": {number: 0 if number < 7 else 1 for number in range(12)}}).iloc[0]
    assert found["p"] == pytest.approx(binom.sf(6, 12, 0.25)) == pytest.approx(0.0143, abs=1e-4)


def test_fewer_trials_give_an_estimate_and_the_reason():
    made = trials(each=2)
    found = scores(made, {"a": perfect(made)}).set_index("group")
    assert found.loc["happy", "estimate"] == 1
    assert np.isnan(found.loc["happy", "p"])
    assert found.loc["happy", "reason"] == f"2 answers; a p needs {FEWEST_TRIALS}"


def test_what_cannot_be_asked_or_scored_is_said():
    with pytest.raises(InputError, match="the study has one emotion: happy"):
        intruders(SAMPLES[SAMPLES["emotion"] == "happy"], "emotion", each=1, rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="has 2 clips"):
        few = SAMPLES[SAMPLES["template"] == "piano"]
        intruders(few, "emotion", each=1, rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="responses/"):
        scores(trials(), {})
