"""The judge names clips of templates that it has not learned from, and says so where it cannot."""

import numpy as np
import pandas as pd
import pytest

from innerear.acoustics.judge import Judge, wide
from innerear.errors import InputError

LABELS = ["calm", "sad", "happy", "energetic"] * 10
TEMPLATES = np.repeat(list("abcde"), 8).tolist()


def measured(apart, seed=0):
    """Features [N, 6] whose first two hold the label, after the template's own."""
    rng = np.random.default_rng(seed)
    number = np.array([sorted(set(LABELS)).index(label) for label in LABELS])
    template = np.array([TEMPLATES.index(one) for one in TEMPLATES])
    values = rng.normal(size=(len(LABELS), 6)) + 0.01 * template[:, None]
    values[:, 0] += apart * (number // 2)
    values[:, 1] += apart * (number % 2)
    return values * [1, 100, 1, 1e-3, 1, 1]


def named_right(values, judge):
    templates = np.array(TEMPLATES)
    found = []
    for template in dict.fromkeys(TEMPLATES):
        rows = np.flatnonzero(templates == template)
        chosen = judge.posterior(values[rows], template).argmax(axis=1)
        found += [judge.labels[one] == LABELS[row] for one, row in zip(chosen, rows, strict=True)]
    return np.mean(found)


def test_labels_that_sound_apart_are_named_in_templates_left_out():
    values = measured(8)
    assert named_right(values, Judge(values, LABELS, TEMPLATES)) > 0.95


def test_labels_that_do_not_are_named_by_chance():
    shares = [
        named_right(values, Judge(values, LABELS, TEMPLATES)) for values in (measured(0, i) for i in range(8))
    ]
    assert abs(np.mean(shares) - 0.25) < 0.1


def test_a_template_does_not_teach_its_own_judge():
    values = measured(8)
    other = values.copy()
    own = np.array(TEMPLATES) == "a"
    other[own] = 1e6
    before, after = (Judge(one, LABELS, TEMPLATES).posterior(values[own], "a") for one in (values, other))
    assert np.array_equal(before, after)
    assert not np.allclose(
        Judge(values, LABELS, TEMPLATES).posterior(values[own], "b"),
        Judge(other, LABELS, TEMPLATES).posterior(values[own], "b"),
    )


def test_units_do_not_matter_and_probabilities_sum_to_one():
    values = measured(2)
    scaled = values * [10, 0.1, 3, 7, 2, 5]
    one, other = (Judge(of, LABELS, TEMPLATES).posterior(of[:8], "a") for of in (values, scaled))
    assert np.allclose(one, other)
    assert np.allclose(one.sum(axis=1), 1)


def test_a_clip_without_a_feature_has_no_label_and_a_feature_that_many_lack_is_not_used():
    values = measured(8)
    values[::3, 4] = np.nan
    values[5, 0] = np.nan
    judge = Judge(values, LABELS, TEMPLATES)
    assert judge.used.tolist() == [0, 1, 2, 3, 5]
    found = judge.posterior(values[:8], "a")
    assert np.isnan(found[5]).all()
    assert np.isfinite(np.delete(found, 5, axis=0)).all()


def test_a_label_that_one_template_alone_has_cannot_be_judged_there():
    labels = [
        "wild" if template == "a" and label == "calm" else label
        for label, template in zip(LABELS, TEMPLATES, strict=True)
    ]
    with pytest.raises(InputError, match="judge of template 'a' has no clips of wild"):
        Judge(measured(8), labels, TEMPLATES).posterior(measured(8)[:1], "a")


def test_features_are_laid_out_in_the_order_of_the_index():
    clips = pd.DataFrame(
        {"sample_id": ["b", "a", "b"], "feature": ["rms", "rms", "flux"], "value": [1.0, 2.0, 3.0]}
    )
    found = wide(clips, pd.DataFrame({"sample_id": ["a", "b"]}), ["flux", "rms"])
    assert np.array_equal(found, [[np.nan, 2.0], [3.0, 1.0]], equal_nan=True)
