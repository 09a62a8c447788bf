"""The design as a whole: strata of pairs, and the shuffled control."""

from functools import partial

import fakes
import numpy as np
from fakes import EMOTIONS

from innerear.statistics.design import Design

sheet = partial(fakes.sheet, n_seeds=4)


def test_strata_by_definition():
    design = Design(sheet(3, n_seeds=2))
    strata, samples = design.strata(), design.samples
    for i in range(len(samples)):
        for j in range(len(samples)):
            a, b = samples.iloc[i], samples.iloc[j]
            if i == j or (a.template == b.template and a.prompt_id != b.prompt_id):
                expected = 0
            elif a.prompt_id == b.prompt_id:
                expected = 1
            else:
                expected = (2 if a.emotion == b.emotion else 4) + (a.seed != b.seed)
            assert strata[i, j] == expected
    counts = [(strata == k).sum() for k in range(1, 6)]
    assert counts == [24, 48, 48, 144, 144]


def test_shuffled_labels_stay_within_templates_and_differ():
    design = Design(sheet())
    control = design.shuffled()
    assert (control.labels != design.labels).mean() > 0.3
    for block in range(design.n_blocks):
        assert sorted(control.prompt_labels[design.block_of == block]) == sorted(EMOTIONS)
    np.testing.assert_array_equal(control.labels, design.shuffled().labels)
