"""The map of grouped steps shows the times of the steps themselves."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from fakes import Measured, make_design

from innerear.analyses.discriminability import DISTANCE
from innerear.errors import InputError
from innerear.gram.reading import analysed_cells
from innerear.io.clips import write_clip
from innerear.pages.heading import Heading
from innerear.pages.map_page import MEASURES, Firing, map_page
from innerear.pages.pack import MISSING, UNIT, Packed, unpack
from innerear.pages.step_axis import StepAxis

#: steps, pads at either end, and seconds of a step
STEPS, PADS, PERIOD = 56, 3, 0.02
COMPLETE = range(PADS, STEPS - PADS)


def measured(size):
    """Design and Gram file of noise, `size` steps a group; the last of 50 complete steps are fewer."""
    design = make_design(2, 1)
    x = np.random.default_rng(0).normal(size=(design.n_samples, 2, STEPS, 6))
    gram = Measured(x, design, pads=PADS, n_bins=5, steps_per_matrix=size)
    middle = gram.coords("step") + (gram.read("step_count") - 1) / 2
    gram.arrays["seconds"] = (("step",), middle * PERIOD)
    return design, gram


def shown(size, tmp_path, measures=("discriminability", "decomposition")):
    """What the page holds, `told` and its arrays; and the rows of groups. Texts are swapped step by step."""
    design, gram = measured(size)
    sha256 = write_clip(path := tmp_path / "clip.wav", np.zeros(800), 8000)
    samples = design.samples.assign(audio=str(path), audio_sha256=sha256, text="a piece")
    cells = analysed_cells(gram)
    cells = cells[cells["over"] == "steps"]
    numbers = {"estimate": cells["step"].astype(float), "ci_lo": np.nan, "ci_hi": np.nan}
    numbers |= {"p_corrected": 0.5, "p_flip_corrected": np.nan}
    where = {"layer": 0, "branch": "uncond", "statistic": DISTANCE, "measure": "", "weights": "trained"}
    rows = cells.assign(**where, **numbers)
    singly = pd.DataFrame({"step": COMPLETE, "estimate": np.array(COMPLETE, float), "over": "steps"})
    singly = singly.assign(**where | {"statistic": "text"}, ci_lo=np.nan, ci_hi=np.nan, p_corrected=0.5)
    made = dict.fromkeys(("discriminability", "similarity"), rows) | {"decomposition": singly}
    tables = {name: one if name in measures else one.iloc[:0] for name, one in made.items()}
    n = len(samples)
    page = map_page(
        samples,
        Heading("noise", "made up", n, n),
        tables=tables,
        grams={0: gram},
        mel=[np.zeros((8, 20))] * n,
        codes=np.zeros((n, 4, STEPS - PADS), int),
        features=[Firing(0, 7, False, np.ones((n, len(COMPLETE))))],
    )
    told = json.loads(re.search(r'id="told">(.*?)</script>', page, re.DOTALL)[1])
    blocks = re.findall(r'class="array" data-name="(.*?)" data-kind="(.*?)">(.*?)<', page)
    arrays = {name: unpack(Packed(kind, (-1,), text)) for name, kind, text in blocks}
    return told, arrays, rows


@pytest.mark.parametrize("size", [1, 4, 64])
def test_steps_of_a_group_stand_where_they_are(size):
    _, gram = measured(size)
    axis = StepAxis.of(gram)
    np.testing.assert_allclose(axis.seconds, np.arange(STEPS) * PERIOD, atol=1e-6)
    assert np.flatnonzero(axis.complete).tolist() == list(COMPLETE)
    covered = [step for start, stop in axis.bins for step in range(start, stop)]
    assert covered == list(COMPLETE)


def test_a_map_of_groups_shows_values_planes_codes_and_features_at_their_times(tmp_path):
    told, arrays, rows = shown(4, tmp_path)
    assert len(told["seconds"]) == len(told["complete"]) == STEPS
    values = arrays["distance-value"].reshape(3, STEPS)[1]  # of cond, uncond and delta
    starts = np.array(rows["step"], int)
    for step in range(STEPS):
        group = starts[starts <= step][-1:] if step in COMPLETE else []
        assert (values[step] != MISSING) == len(group)
        assert not len(group) or values[step] * UNIT == pytest.approx(group[0])
    # Texts are swapped step by step, whatever the Gram files average.
    values = arrays["text-value"].reshape(3, STEPS)[1]
    assert values[COMPLETE] * UNIT == pytest.approx(np.array(COMPLETE))
    assert (np.delete(values, COMPLETE) == MISSING).all()
    # The plane of a bin is that of the seconds under the pointer.
    assert told["bins"][0][0] == PADS and told["bins"][-1][1] == STEPS - PADS
    assert len(told["features"]) == 1
    assert {"codes", "features"} <= set(arrays)


@pytest.mark.parametrize("place", [{"layer": 7}, {"step": STEPS}])
def test_rows_of_places_that_the_map_lacks_are_refused(place):
    _, gram = measured(4)
    rows = pd.DataFrame({"layer": [0, 0], "step": [3, 4], "estimate": 1.0})
    rows.loc[1, list(place)] = list(place.values())
    with pytest.raises(InputError, match="which the Gram files do not have"):
        StepAxis.of(gram).by_layer(rows, "estimate", [0])


def test_a_map_of_nothing_keeps_one_measure(tmp_path):
    told, arrays, _ = shown(1, tmp_path, measures=())
    assert [one["key"] for one in told["measures"]] == [MEASURES[0].key]
    assert (arrays["distance-value"] == MISSING).all()


def test_the_scale_knows_what_lies_beyond_it(tmp_path):
    told, *_ = shown(1, tmp_path, measures=("discriminability",))
    (scale,) = told["measures"]
    assert scale["least"] == 0 and scale["top"] < scale["most"] == max(COMPLETE)
