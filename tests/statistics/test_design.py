"""The design as a whole: the shuffled control."""

from functools import partial

import fakes
import numpy as np
from fakes import EMOTIONS

from innerear.statistics.design import Design

sheet = partial(fakes.sheet, n_seeds=4)


def test_shuffled_labels_stay_within_templates_and_differ():
    design = Design(sheet())
    control = design.shuffled()
    assert (control.labels != design.labels).mean() > 0.3
    for block in range(design.n_blocks):
        assert sorted(control.prompt_labels[design.block_of == block]) == sorted(EMOTIONS)
    np.testing.assert_array_equal(control.labels, design.shuffled().labels)
