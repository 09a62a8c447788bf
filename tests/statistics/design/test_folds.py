"""Folds: whole templates or whole prompts, every label in each."""

from functools import partial

import fakes
import numpy as np
import pytest
from fakes import EMOTIONS

from innerear.errors import InputError
from innerear.statistics.design import Design

sheet = partial(fakes.sheet, n_seeds=4)


def test_folds_are_whole_templates_and_hold_every_emotion():
    design = Design(sheet())
    folds = design.folds()
    assert len(folds) == 5
    for fold in folds:
        assert not set(design.prompt_of[fold.train]) & set(design.prompt_of[fold.test])
        assert len(set(design.samples["template"].iloc[fold.test])) == 1
        assert set(design.labels[fold.test]) == set(EMOTIONS)
    np.testing.assert_array_equal(np.sort(np.concatenate([f.test for f in folds])), np.arange(80))
    inner = design.subset(folds[0].train).folds()
    assert len(inner) == 4


@pytest.mark.parametrize("n", [3, 25])
def test_folds_without_templates_are_prompt_groups_by_label(n):
    design = Design(sheet(n, templates=False, n_seeds=2))
    folds = design.folds()
    assert len(folds) == min(n, 10)
    for fold in folds:
        assert not set(design.prompt_of[fold.train]) & set(design.prompt_of[fold.test])
        assert set(design.labels[fold.test]) == set(EMOTIONS)


def test_folds_that_cannot_be_made_are_refused():
    with pytest.raises(InputError, match="add a template"):
        Design(sheet(1)).folds()


def test_ratings_without_templates_have_folds_that_span_them():
    samples = sheet(n_templates=5, templates=False)
    number = {prompt: i for i, prompt in enumerate(dict.fromkeys(samples["prompt_id"]))}
    design = Design(samples.assign(arousal=[number[p] / 20 for p in samples["prompt_id"]]), label="arousal")
    assert design.why_not(100) == ""
    folds = design.folds()
    assert len(folds) == 10
    for fold in folds:
        assert np.ptp(design.targets[design.prompt_of[fold.test], 0]) >= 0.4


def test_too_few_ratings_are_counted():
    samples = sheet(n_templates=1, templates=False).query("emotion != 'energetic'")
    design = Design(samples.assign(arousal=samples["emotion"].map(EMOTIONS.index) / 4), label="arousal")
    with pytest.raises(InputError, match=r"3 prompts with a rating of arousal are fewer than 4.* or prompts"):
        design.folds()
