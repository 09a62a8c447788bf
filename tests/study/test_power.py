"""What a design can establish, by counting and by simulation."""

import importlib
import math
from collections import Counter
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest

from innerear.study.power import Power, relabelings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(monkeypatch):
    """The script as a module; its siblings are importable as they are when it runs."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("power")


def pairs(n_templates, n_labels, permutations=1000):
    """Minimal pairs: each template with each label once."""
    crossed = list(product(range(n_templates), range(n_labels)))
    return Power.of([f"l{label}" for _, label in crossed], [f"t{t}" for t, _ in crossed], permutations)


@pytest.mark.parametrize(
    "blocks", [["ab", "ab"], ["abc", "abc"], ["aab", "ab"], ["aabb"], ["abb", "cab"], ["ab", "c"]]
)
def test_relabelings_are_the_partitions_that_exist(blocks):
    """Count the assignments by hand, those equal but for the names of labels once."""
    seen = set()
    for chosen in product(*(set(permutations(block)) for block in blocks)):
        flat = [label for block in chosen for label in block]
        names: dict[str, int] = {}
        seen.add(tuple(names.setdefault(label, len(names)) for label in flat))
    counts = Counter(seen)
    assert relabelings([list(block) for block in blocks]) == len(counts)


@pytest.mark.parametrize(
    ("n_templates", "n_labels", "p", "flip"),
    [
        (5, 2, 1 / 16, 1 / 16),
        (5, 4, 1 / 1001, 1 / 16),
        (10, 4, 1 / 1001, 1 / 512),
        (12, 4, 1 / 1001, 1 / 1001),
    ],
)
def test_the_smallest_p(n_templates, n_labels, p, flip):
    power = pairs(n_templates, n_labels)
    assert (power.smallest_p, power.smallest_flip_p) == (pytest.approx(p), pytest.approx(flip))


@pytest.mark.parametrize(
    ("design", "warned"),
    [
        (pairs(10, 4), []),
        (pairs(6, 4), []),
        (pairs(5, 4), ["no claim over templates: sign flips of 5 reach p = 0.0625"]),
        (pairs(5, 2), ["smallest p is 0.0625, so nothing", "no claim over templates"]),
        (pairs(3, 1), ["labels cannot move", "no claim over templates: no two hold several prompts"]),
        (pairs(1, 4), ["labels cannot move", "no claim over templates: no two hold several prompts"]),
        (Power.of(["a", "b"] * 4, [""] * 8, 999), ["no claim over templates: no two hold several prompts"]),
        (Power.of(["a"] * 4, ["x", "x", "y", "y"], 999), ["labels cannot move", "no claim"]),
    ],
)
def test_what_cannot_be_established_is_said(design, warned):
    said = design.warnings
    assert len(said) == len(warned)
    assert all(part in line for part, line in zip(warned, said, strict=True))
    assert str(design).count("WARNING") == len(warned)


def test_no_effect_is_detectable_where_no_p_is_small_enough():
    assert math.isnan(pairs(5, 2).detectable(0.05))
    assert math.isnan(pairs(5, 4).detectable(0.05, flips=True))
    assert math.isnan(pairs(10, 4).detectable(0.001, flips=True))
    assert math.isnan(pairs(10, 4, permutations=99).detectable(0.001))


def test_more_templates_and_labels_detect_less():
    by_templates = [pairs(n, 4).detectable(0.05) for n in (2, 3, 5, 8, 12, 60)]
    assert by_templates == sorted(by_templates, reverse=True)
    assert pairs(10, 8).detectable(0.05) < pairs(10, 4).detectable(0.05) < pairs(10, 4).detectable(0.001)


@pytest.mark.parametrize(("n_templates", "n_labels"), [(6, 4), (10, 4), (8, 3)])
def test_the_formula_agrees_with_simulated_studies(script, n_templates, n_labels):
    power = script.design_of(n_templates, n_labels, 300)
    found = script.simulated(power, 300, np.random.default_rng(0))
    for test, p in found.items():
        simulated = script.detected(p, 0.05)
        assert power.detectable(0.05, flips=test == "flip") == pytest.approx(simulated, rel=0.12)


def test_simulated_studies_without_effect_are_significant_as_often_as_they_should_be(script):
    found = script.simulated(script.design_of(8, 4, 199), 600, np.random.default_rng(1))
    for p in found.values():
        assert 0.028 < (p[0] <= 0.05).mean() < 0.076  # 99 % of binomial draws


def test_ratings_and_sheets_without_templates_have_a_detectable_effect():
    rated = Power.of([-1.0, 0.2, 0.9, 0.5] * 6, [f"t{i // 4}" for i in range(24)], 1000)
    plain = Power.of(["a", "b"] * 12, [""] * 24, 1000)
    assert rated.relabelings == 24**6
    assert 0.1 < plain.detectable(0.05) < rated.detectable(0.05) < 0.3


@pytest.mark.parametrize("n_seeds", [2, 4])
def test_an_interaction_of_emotion_and_seed_is_no_effect_where_templates_have_their_own_seeds(
    script, n_seeds
):
    power, rng = script.design_of(8, 4, 199), np.random.default_rng(n_seeds)
    own = script.level(power, 0.4, n_seeds, 600, rng, own=True)
    shared = script.level(power, 0.4, n_seeds, 100, rng, own=False)
    for test in ("permutation", "flip"):
        assert 0.028 < own[test] < 0.076  # 99 % of binomial draws
        assert shared[test] > 0.3
