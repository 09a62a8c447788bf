"""Similarity figures show what the tables say."""

import numpy as np
import pandas as pd
import pytest
from fakes import Stored
from matplotlib.text import Text

from innerear.figures.drawing.maps import Steps, by_layer_and_step
from innerear.figures.drawing.tables import rows_of, spread_evenly
from innerear.figures.similarity import draw, effect_map, similarity_matrices, strata_curves


def panels(figure):
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


def test_steps_are_recovered_from_the_table(study):
    steps = Steps.of(rows_of(study.similarity, over="steps"))
    assert len(steps.complete) == study.n_steps
    np.testing.assert_allclose(steps.seconds, np.arange(study.n_steps) / 50, atol=1e-6)
    assert steps.complete.sum() == study.n_steps - 6


def test_map_lays_values_out_by_layer_and_step(study):
    rows = rows_of(
        study.similarity,
        over="steps",
        branch="uncond",
        measure="centred",
        statistic="emotion effect, other seed",
    )
    values = by_layer_and_step(rows, "estimate", study.layers, Steps.of(rows))
    one = rows_of(rows, layer=3, step=20)
    assert values[1, 20] == one["estimate"].item()
    assert np.isnan(values[:, :3]).all()
    corrected = by_layer_and_step(rows, "p_corrected", study.layers, Steps.of(rows))
    assert (corrected[:, study.onset : -3] <= 0.05).all()


def test_effect_map_outlines_what_is_significant(study):
    figure = effect_map(study.similarity, model="nano")
    assert "nano" in figure.get_suptitle()
    assert "max-T over layers × steps" in figure.get_suptitle()
    cond, uncond, _ = panels(figure)[:3]
    outline, _ = uncond.collections
    x = np.concatenate([path.vertices[:, 0] for path in outline.get_paths()])
    assert x.min() == pytest.approx(study.onset - 0.5, abs=1)
    assert sum(len(path.vertices) for c in cond.collections[:-1] for path in c.get_paths()) < len(x)


def test_effect_map_without_tests_says_why(study):
    table = study.similarity.assign(p=np.nan, p_corrected=np.nan, null="none: one prompt per emotion")
    assert "not tested (one prompt per emotion)" in effect_map(table, model="nano").get_suptitle()


def test_an_effect_without_pairs_says_why_on_its_panels(study):
    table = study.similarity
    other = table["statistic"] == "emotion effect, other seed"
    gaps = dict.fromkeys(("estimate", "p", "p_corrected"), np.nan)
    table = pd.concat([table[~other], table[other].assign(**gaps, null="none: no two samples are alike")])
    same, last = panels(effect_map(table, model="nano"))[::5]
    assert [text.get_text() for text in last.texts] == ["no two samples are alike"]
    assert not same.texts


def test_matrices_are_ordered_and_parted_by_emotion(study):
    figure = similarity_matrices(study.matrices, study.samples, model="nano")
    assert len(panels(figure)) == 6
    ticks = [text.get_text() for text in panels(figure)[-2].get_xticklabels()]
    assert ticks == list(dict.fromkeys(study.samples["emotion"]))
    image = panels(figure)[2].images[0].get_array()  # uncond, layer 0
    np.testing.assert_allclose(np.diag(image), 1, atol=1e-5)
    n = len(study.samples) // 4
    inside = np.mean([image[k * n : (k + 1) * n, k * n : (k + 1) * n].mean() for k in range(4)])
    assert inside > image.mean() + 0.1


def test_matrices_are_ordered_by_what_is_compared(study):
    ratings = np.random.default_rng(0).permutation(len(study.samples)) / 10 - 1
    samples = study.samples.assign(valence=ratings)
    figure = similarity_matrices(study.matrices, samples, model="nano", contrast="valence")
    corner = panels(figure)[-2]
    ends = [str(ratings.min()), str(ratings.max())]
    assert [text.get_text() for text in corner.get_xticklabels()] == ends
    assert not corner.lines
    assert "ordered valence → prompt → seed" in figure.get_suptitle()
    stored = study.matrices[0].read("matrices", measure=0, window=0)[0]
    order = np.argsort(ratings)
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), stored[order][:, order])


def test_a_part_of_the_samples_is_drawn_where_the_matrices_hold_a_part(study):
    kept = np.arange(0, len(study.samples), 2)
    part = {}
    for layer, stored in study.matrices.items():
        axes, values = stored.arrays["matrices"]
        axes_of = stored.axes | dict.fromkeys(("sample", "sample_2"), np.asarray(stored.axes["sample"])[kept])
        part[layer] = Stored({"matrices": (axes, values[..., kept, :][..., kept])}, axes_of)
    figure = similarity_matrices(part, study.samples, model="nano")
    assert figure.axes[0].images[0].get_array().shape == (len(kept), len(kept))
    assert f"{len(kept)} of them are drawn" in " ".join(figure.get_suptitle().split())


def test_raw_matrices_are_named_a_diagnostic(study):
    figure = similarity_matrices(study.matrices, study.samples, model="nano", measure="raw (diagnostic)")
    assert "diagnostic" in figure.get_suptitle()
    assert figure.axes[0].images[0].colorbar.extend == "neither"  # no cosine is above 1


def test_strata_have_five_curves_with_bands(study):
    figure = strata_curves(study.similarity, model="nano")
    panel = panels(figure)[0]
    named = [line for line in panel.lines if not line.get_label().startswith("_")]
    assert len(named) == 5
    assert len(panel.collections) == 5
    assert "95% of 50 bootstraps of templates" in figure.get_suptitle()
    lacking = study.similarity.assign(interval="none: 50% of resamples hold no such pairs")
    title = strata_curves(lacking, model="nano").get_suptitle()
    assert "no band where too many resamples hold no such pairs" in title


def test_every_figure_is_drawn_under_its_file_name(study):
    figures = draw(study.samples, study.similarity, study.matrices, model="nano", contrast="emotion")
    assert list(figures) == [
        *("similarity_matrices", "similarity_standardised", "similarity_raw"),
        *("similarity_strata", "emotion_effect"),
    ]
    assert "diagnostic" in figures["similarity_raw"].get_suptitle()


def test_a_label_of_the_studys_own_is_called_by_its_name(study):
    samples = study.samples.rename(columns={"emotion": "genre"})
    for figure in draw(samples, study.similarity, study.matrices, model="nano", contrast="genre").values():
        assert not [text for text in figure.findobj(Text) if "emotion" in text.get_text().lower()]


def test_layers_are_chosen_evenly_with_both_ends():
    assert spread_evenly(range(48), 6) == [0, 9, 19, 28, 38, 47]
    assert spread_evenly([5, 2, 2], 6) == [2, 5]


@pytest.mark.parametrize("last", [1, 2, 3, 4])
@pytest.mark.parametrize("pads", [0, 3])
def test_a_row_of_several_steps_fills_them_all(last, pads):
    """The last group may have fewer steps, and pads come after those."""
    step, counts = pads + np.array([0, 4, 8]), np.array([4, 4, last])
    seconds = np.float32(step + (counts - 1) / 2) / 50
    table = pd.DataFrame({"layer": 0, "step": step, "seconds": seconds, "estimate": [1.0, 2.0, 3.0]})
    steps, complete = Steps.of(table), range(pads, pads + 8 + last)
    np.testing.assert_allclose(steps.seconds, np.arange(2 * pads + 8 + last) / 50, atol=1e-6)
    assert np.flatnonzero(steps.complete).tolist() == list(complete)
    values = by_layer_and_step(table, "estimate", [0], steps)[0]
    assert values[complete].tolist() == np.repeat([1.0, 2.0, 3.0], counts).tolist()
    assert np.isnan(np.delete(values, complete)).all()
