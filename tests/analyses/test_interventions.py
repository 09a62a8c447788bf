"""Planted interventions are found, over templates and against random directions; none are found in noise."""

import fake_interventions as fake
import numpy as np
import pandas as pd
import pytest
from fakes import rows

from innerear.analyses.interventions import (
    ABLATION,
    ACCURACY,
    AWAY,
    COST,
    EFFECT,
    FINDINGS,
    LAYERS,
    MATCHED,
    PATCHED,
    PROBABILITY,
    SMALLER,
    SWAPPED,
    interventions,
)
from innerear.pages.findings import findings


def found(seed=0, *, used=True, cost=0.1, twin=False, **options):
    rng = np.random.default_rng(seed)
    steered = fake.steered(rng, **options)
    if twin:
        other = fake.steered(rng, weights="random_init", effect=0.0, draws=0)
        steered = pd.concat([steered, other], ignore_index=True)
    return interventions(
        *fake.sheet(rng),
        steered,
        fake.ablated(rng, used),
        fake.patched(rng, cost),
        poles=fake.POLES,
        model="nano",
        statistics=fake.STATISTICS,
    )


@pytest.fixture(scope="module")
def planted():
    return found(twin=True)


def test_what_follows_the_dose_is_found_in_decibels_in_both_tests(planted):
    table = rows(planted.map, statistic=EFFECT, source="means", measure="loudness", weights="trained")
    assert table["layer"].tolist() == [0, 3]
    assert np.allclose(table["estimate"], 30, atol=1)
    assert ((table["ci_lo"] < 30.5) & (table["ci_hi"] > 29.5)).all()
    assert (table["p_corrected"] == 1 / 40).all()
    assert (table["min_p"] == 1 / 40).all()
    assert (table["p_flip_corrected"] <= 2 / 128).all()
    assert (table["k"] == 8).all()
    assert (table["random"] < 10).all()
    assert table["null"].str.startswith("39 random directions of the states' covariance").all()
    smaller = rows(planted.map, statistic=SMALLER, measure="loudness", weights="trained")
    assert np.allclose(smaller["estimate"], 15, atol=1)
    judged = rows(planted.map, statistic=EFFECT, source="means", measure=PROBABILITY, weights="trained")
    assert (judged["estimate"] > 0.8).all()


def test_what_does_not_is_not(planted):
    noise = rows(planted.map, statistic=EFFECT, weights="trained")
    for other in (rows(noise, measure="flatness"), rows(noise, source="delta", measure="loudness")):
        assert (other["p_corrected"] > 0.05).all()
        assert (other["p_flip_corrected"] > 0.05).all()


def test_an_effect_no_larger_than_random_ones_is_of_these_directions_and_not_of_this_one():
    table = rows(found(random=60.0).map, statistic=EFFECT, source="means", measure="loudness")
    assert (table["p_corrected"] > 0.05).all()
    assert (table["p_flip_corrected"] <= 0.05).all()


def test_the_random_twin_is_tested_over_templates_alone_and_shows_nothing(planted):
    twin = rows(planted.map, weights="random_init", statistic=EFFECT, measure="loudness")
    assert twin["random"].isna().all()
    assert (twin["p_corrected"] > 0.05).all()


def test_layers_that_steer_alike_do_not_differ_and_costs_rise_with_the_dose(planted):
    layers = rows(planted.map, statistic=LAYERS, measure="loudness", weights="trained")
    assert layers["layer"].tolist() == ["0 − 3"]
    assert (layers["p_corrected"] > 0.05).all()
    costs = rows(planted.map, statistic=COST, source="means", weights="trained", layer=0)
    assert costs.set_index("dose")["estimate"].round(2).to_dict() == pytest.approx(
        {0.25: 0.0625, -0.25: 0.0625, 0.5: 0.25, -0.5: 0.25}, abs=0.02
    )
    matched = rows(planted.map, statistic=MATCHED, weights="trained")
    assert set(matched["source"]) == {"means"}
    assert (matched["estimate"] <= 0.26).all()


def test_how_far_states_are_from_their_usual_place_stands_beside_the_cost(planted):
    away = rows(planted.map, statistic=AWAY, weights="trained", layer=0)
    means = away[away["source"].isin(["means", "none"])].set_index("dose")["estimate"].to_dict()
    assert means == pytest.approx({0.0: 1, 0.25: 1.25, -0.25: 1.25, 0.5: 1.5, -0.5: 1.5})
    assert (away["unit"] == "× the usual").all() and away["p"].isna().all()
    drawn = rows(planted.curves, source="random", measure="distance", weights="trained")
    assert np.allclose(drawn["value"], 1.5)


def test_a_subspace_that_is_used_costs_accuracy_and_one_that_is_not_does_not(planted):
    lost = rows(planted.map, statistic=ABLATION)
    assert lost["layer"].tolist() == ["3", "all"]
    assert (lost["estimate"] > 0.4).all()
    assert (lost[["p_corrected", "p_flip_corrected"]] <= 0.05).all(axis=None)
    shares = rows(planted.map, statistic=ACCURACY).set_index(["layer", "source"])["estimate"]
    assert shares["none", "none"] > 0.9
    assert shares["all", "random"] > 0.9
    unused = rows(found(used=False).map, statistic=ABLATION)
    assert (unused["p_corrected"] > 0.05).all()


def test_patched_text_costs_where_it_is_planted(planted):
    table = rows(planted.map, statistic=PATCHED, source="text", measure="whole").set_index("layer")
    assert table["estimate"].round(1).to_dict() == {"0": 0.0, "3": 0.1}
    throughout = rows(planted.map, statistic=SWAPPED, source="text")
    assert throughout["layer"].to_list() == ["none"]
    assert throughout["estimate"].round(1).to_list() == [0.1]
    assert table.loc["3", "p_corrected"] <= 0.05
    assert table.loc["0", "p_corrected"] > 0.05
    history = rows(planted.map, statistic=PATCHED, source="history")
    assert np.allclose(history["estimate"], 4, atol=0.2)


def test_prompts_are_counted_as_they_were_composed(planted):
    """One neutral text a template is steered; of all four labels without a subspace, of two when patched."""
    counted = planted.map.groupby("statistic")["n_prompts"].unique()
    assert (counted.map(len) == 1).all()
    n, of = len(fake.TEMPLATES), counted.map(lambda one: one[0])
    assert (of[[EFFECT, SMALLER, LAYERS, COST, MATCHED]] == n).all()
    assert (of[[ACCURACY, ABLATION]] == 4 * n).all()
    assert (of[[PATCHED, SWAPPED]] == 2 * n).all()


def test_a_clip_without_values_leaves_its_cells_untested_with_the_reason():
    table = rows(found(lacks="t1").map, statistic=EFFECT, source="means", measure="loudness")
    assert table["estimate"].isna().all()
    assert table["p_corrected"].isna().all()
    assert (table["null"] == "none: a clip has no value").all()


def test_with_few_templates_there_is_no_claim_over_templates(monkeypatch):
    monkeypatch.setattr(fake, "TEMPLATES", fake.TEMPLATES[:4])
    table = rows(found().map, statistic=EFFECT, source="means", measure="loudness")
    assert (table["p_corrected"] <= 0.05).all()
    assert table["p_flip"].isna().all()


def test_noise_is_called_an_effect_no_more_often_than_it_may_be():
    options = {"effect": 0.0, "random": 0.0, "used": False, "cost": 0.0, "draws": 19}
    called = []
    for seed in range(20):
        table = found(seed, **options).map
        own = rows(table, statistic=EFFECT, source="means", measure="loudness")
        called.append([(own[name] <= 0.05).any() for name in ("p_corrected", "p_flip_corrected")])
    assert (np.sum(called, axis=0) <= 4).all()


def test_the_page_says_it_in_plain_units(planted):
    table = findings({"interventions": planted.map})
    answers = table[table["control"] == ""]["answer"].tolist()
    assert "neutral clips moved 0.5 of the way from calm to energetic differ by +" in answers[0]
    assert "dB" in answers[0]
    assert "features are no source of directions" in answers[2]
    assert answers[3].startswith("Not established")
    assert "names" in answers[4]
    assert "nats a token" in answers[5]
    assert table["established"].tolist()[0] == "established"
    twins = table[table["control"] == "random weights"]
    assert len(twins) and (twins["established"] != "established").all()


def test_features_are_tested_on_the_templates_that_they_steer_alone():
    own = fake.TEMPLATES[2:]
    table = found(features=own).map
    steered = rows(table, statistic=EFFECT, source="features", measure="loudness")
    assert np.allclose(steered["estimate"], 30, atol=1)
    assert (steered["n_templates"] == len(own)).all()
    assert (steered["k"] == len(own)).all()
    assert np.allclose(steered["p_flip"], 2 / 2 ** len(own))
    # One of the three templates with random directions is among them.
    assert steered["null"].str.endswith("on the clips of 1 template").all()
    assert (steered["p_corrected"] == 1 / 40).all()
    assert (steered["feature"] == "7 (4 templates), 9 (2 templates)").all()
    assert (rows(table, statistic=COST, source="features")["n_templates"] == len(own)).all()
    assert (rows(table, statistic=COST, source="means")["n_templates"] == len(fake.TEMPLATES)).all()
    # Costs are compared on the templates that all sources steer.
    assert (rows(table, statistic=MATCHED)["n_templates"] == len(own)).all()
    means = rows(table, statistic=EFFECT, source="means", measure="loudness")
    assert (means["n_templates"] == len(fake.TEMPLATES)).all()
    answers = findings({"interventions": table})["answer"].tolist()
    assert "moved along feature 7 (4 templates), 9 (2 templates), as far as 0.5 of the way" in answers[2]


def test_the_answers_are_of_the_first_source_whichever_it_is():
    rng = np.random.default_rng(0)
    steered = fake.steered(rng).replace({"source": {"means": "probe"}})
    table = interventions(
        *fake.sheet(rng),
        steered,
        fake.ablated(rng, True),
        fake.patched(rng, 0.1),
        poles=fake.POLES,
        model="nano",
        statistics=fake.STATISTICS,
    ).map
    loudness = rows(table, **FINDINGS[0].where)
    assert loudness["source"].tolist() == ["probe"] * 2
    assert np.allclose(loudness["estimate"], 30, atol=1)
