"""A listening test finds listeners who can tell, and not those who guess."""

import numpy as np
import pytest
from fakes import sheet
from scipy.stats import binom

from innerear.analyses.listening_test import AGAINST, ALL, Trial, exact_p, scores
from innerear.analyses.listening_test.trials import label_trials
from innerear.errors import InputError

EMOTIONS = ("happy", "sad", "calm")
SAMPLES = sheet(4, 2, EMOTIONS)


def trials(each=12, seed=0):
    return label_trials(SAMPLES, "emotion", each=each, rng=np.random.default_rng(seed))


def guessing(made, rng):
    return {number: int(rng.integers(4)) for number in range(len(made))}


def perfect(made):
    return {number: trial.answer for number, trial in enumerate(made)}


def knowing(made, rng):
    """One who knows emotions: right where there is one, guessing where labels were shuffled."""
    right, guessed = perfect(made), guessing(made, rng)
    return {number: (guessed if trial.control else right)[number] for number, trial in enumerate(made)}


def test_one_who_knows_is_right_and_better_than_on_controls():
    made = trials()
    rng = np.random.default_rng(0)
    found = scores(made, {name: knowing(made, rng) for name in "abcd"}).set_index("group")
    assert (found.loc[list(EMOTIONS), "p_corrected"] < 1e-6).all()
    assert (found.loc[[*EMOTIONS, ALL], "estimate"] == 1).all()
    assert found.loc["shuffled labels", "p"] > 0.001
    assert found.loc[AGAINST, "estimate"] > 0.5


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


def test_listeners_who_choose_alike_are_no_further_evidence():
    """All of them find the same excerpts odd, whatever is asked."""
    made, rng, found = trials(), np.random.default_rng(0), []
    for _ in range(200):
        odd = guessing(made, rng)
        answers = dict.fromkeys("abcdef", odd)
        found.append(scores(made, answers, n_permutations=1).set_index("group").loc[ALL, "p"] <= 0.05)
    assert sum(found) <= binom.ppf(0.999, 200, 0.05)
    assert exact_p(np.array([[6, 0, 0, 0]] * 12), 42) == pytest.approx(binom.sf(6, 12, 0.25))


@pytest.mark.parametrize(("offered", "enough"), [(4, 5), (2, 13)])
def test_trials_that_cannot_reach_the_level_give_an_estimate_and_the_reason(offered, enough):
    for n in (enough - 1, enough):
        made = [Trial("intruder", "x", tuple("abcd"[:offered]), 0)] * n
        found = scores(made, {name: dict.fromkeys(range(n), 0) for name in "ab"}).iloc[0]
        assert found["estimate"] == 1
        assert np.isnan(found["p"]) == (n < enough)
        assert found["reason"] == ("" if n == enough else f"{n} trials; a p takes {enough}")


def test_controls_are_compared_where_there_are_enough_ways_to_permute_them():
    made = trials()
    found = scores(made, dict.fromkeys("ab", knowing(made, np.random.default_rng(0))))
    row = found.set_index("group").loc[AGAINST]
    assert np.isnan(row["p"]) and row["estimate"] > 0.5
    assert row["reason"] == "4 ways to permute groups and controls; a p of 0.05 needs 20"


@pytest.mark.parametrize("n_listeners", [1, 5])
def test_groups_and_controls_at_chance_are_told_apart_as_often_as_the_level_says(n_listeners):
    """Groups have more trials than controls, and listeners choose alike."""
    made = [Trial("x", str(group), tuple("ab"), 0, group > 2) for group in range(6) for _ in range(8)]
    made = [trial for i, trial in enumerate(made) if not trial.control or i % 8 < 2]
    rng, found = np.random.default_rng(0), []
    for _ in range(150):
        answers = {number: int(rng.integers(2)) for number in range(len(made))}
        table = scores(made, dict.fromkeys("abcde"[:n_listeners], answers)).set_index("group")
        found.append(table.loc[AGAINST, "p"] <= 0.05)
    assert sum(found) <= binom.ppf(0.999, 150, 0.05)


@pytest.mark.parametrize("seed", range(5))
def test_the_fewest_ways_reach_the_level_for_one_who_is_always_right(seed):
    """Three groups and three controls of one listener."""
    made = [
        Trial("intruder", str(group), tuple("abcd"), 0, group > 2) for group in range(6) for _ in range(12)
    ]
    answers = {number: int(trial.control) for number, trial in enumerate(made)}
    row = scores(made, {"a": answers}, seed=seed).set_index("group").loc[AGAINST]
    assert row["p"] == 1 / 20 and row["estimate"] == 1


def test_many_ways_are_drawn_and_the_answer_is_near_the_exact_one():
    made = [Trial("x", str(group), tuple("ab"), 0, group > 3) for group in range(8) for _ in range(4)]
    rng = np.random.default_rng(0)
    answers = {
        number: int(rng.random() < (0.5 if trial.control else 0.3)) for number, trial in enumerate(made)
    }
    exact, drawn = (
        scores(made, {"a": answers}, n_permutations=n).set_index("group").loc[AGAINST, "p"] for n in (70, 69)
    )
    assert 0 < exact < 1 and abs(exact - drawn) < 0.2


def test_one_of_fixed_taste_is_found_as_often_as_the_level_says():
    """Some clips and templates sound odder than others to this listener, whatever is asked."""
    found, rng = [], np.random.default_rng(0)
    for seed in range(200):
        odd, made = {}, trials(5, seed)

        def oddness(clip, odd=odd):
            return sum(odd.setdefault(key, rng.normal()) for key in (clip, clip.split("-")[0]))

        choices = [np.argmax([oddness(one.clip) for one in trial.excerpts]) for trial in made]
        answers = dict(enumerate(map(int, choices)))
        found.append(scores(made, {"a": answers}, n_permutations=1).set_index("group").loc[ALL, "p"] <= 0.05)
    assert sum(found) <= binom.ppf(0.999, 200, 0.05)


def test_only_what_is_asked_about_is_corrected_together():
    made = trials()
    found = scores(made, {"a": perfect(made)}).set_index("group")
    assert np.isnan(found.loc["shuffled labels", "p_corrected"]) and found.loc["shuffled labels", "p"] < 0.01
    assert found.loc[list(EMOTIONS), "p_corrected"].notna().all()


def test_without_answers_nothing_is_scored():
    with pytest.raises(InputError, match="responses/"):
        scores(trials(), {})
