"""Directions are what their source says, and refuse the prompts that they were fitted on."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from innerear.errors import InputError
from innerear.interventions.directions import (
    Direction,
    between,
    of_dictionary,
    of_study,
    random_directions,
    strongest_feature,
)
from innerear.io.tables import write_table
from innerear.results import open_study
from innerear.stacks.stack import Stack, StackWriter
from innerear.timeline import Timeline

LABELS = ["calm", "energetic", "calm", "energetic"]
POLES = ("calm", "energetic")


def test_means_are_the_difference_of_prompt_means_over_branches():
    means = np.random.default_rng(0).normal(size=(4, 2, 5))
    found = between(means, LABELS, POLES, layer=3, prompts=list("abcd"))
    expected = (means[[1, 3]] - means[[0, 2]]).mean(axis=(0, 1))
    assert np.allclose(found.vector, expected)
    assert (found.layer, found.name, found.training_prompts) == (3, "calm → energetic (means)", {*"abcd"})


def test_delta_is_the_difference_of_cond_less_uncond():
    means = np.random.default_rng(0).normal(size=(4, 2, 5))
    found = between(means, LABELS, POLES, layer=0, source="delta")
    delta = means[:, 0] - means[:, 1]
    assert np.allclose(found.vector, (delta[[1, 3]] - delta[[0, 2]]).mean(axis=0))


def test_a_probe_turns_away_from_what_varies_within_labels():
    rng = np.random.default_rng(0)
    labels = np.array(LABELS * 20)
    values = rng.normal(size=(80, 1, 2)) * [1, 20] + (labels == "energetic")[:, None, None] * [2, 4]
    means, probe = (between(values, labels, POLES, layer=0, source=source) for source in ("means", "probe"))
    assert np.linalg.norm(means.vector) == pytest.approx(np.linalg.norm(probe.vector), rel=1e-5)
    turn = [abs(one.vector[1]) / np.linalg.norm(one.vector) for one in (means, probe)]
    assert turn[1] < turn[0]


def test_a_probes_covariance_is_half_its_mean_variance():
    values = np.random.default_rng(0).normal(size=(12, 1, 3)) * [1, 4, 0.5]
    labels = ["calm", "energetic", "sad"] * 4
    found = between(values, labels, POLES, layer=0, source="probe").vector
    clouds = [values[start::3, 0] for start in range(3)]
    covariance = sum(np.cov(cloud.T, bias=True) for cloud in clouds) / 3
    shrunken = covariance / 2 + np.eye(3) * covariance.trace() / 3 / 2
    moved = clouds[1].mean(axis=0) - clouds[0].mean(axis=0)
    turned = np.linalg.inv(shrunken) @ moved
    expected = turned / np.linalg.norm(turned) * np.linalg.norm(moved)
    assert found == pytest.approx(expected, rel=1e-5)
    assert not np.allclose(expected, moved, rtol=0.1)


def test_a_direction_refuses_the_prompts_that_it_was_fitted_on():
    direction = Direction(np.ones(3), 1, name="calm → energetic", training_prompts=frozenset({"piano-calm"}))
    direction.require_unseen(["guitar-calm"])
    with pytest.raises(InputError, match=r"fitted on prompt 'piano-calm' \(1 of those that are scored\)"):
        direction.require_unseen(["guitar-calm", "piano-calm"])
    assert direction.scaled(2.0).training_prompts == {"piano-calm"}
    assert np.linalg.norm(direction.scaled(2.0).vector) == pytest.approx(2)


def test_random_directions_have_one_length_and_the_states_law():
    root = np.random.default_rng(0).normal(size=(6, 3))
    drawn = random_directions(root @ root.T, 4.0, 2000, seed=0)
    assert np.allclose(np.linalg.norm(drawn, axis=1), 4)
    assert np.linalg.matrix_rank(drawn, tol=1e-3) == 3
    again = random_directions(root @ root.T, 4.0, 2000, seed=0)
    assert np.array_equal(drawn, again)
    along = np.linalg.eigh(root @ root.T)[1][:, -1]
    assert np.abs(drawn @ along).mean() > 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: between(np.ones((4, 2, 3)), LABELS, ("calm", "wild"), layer=0), "no prompt is 'wild'"),
        (lambda: between(np.ones((4, 2, 3)), LABELS, POLES, layer=0, source="mean"), "did you mean 'means'"),
        (lambda: between(np.ones((4, 1, 3)), LABELS, POLES, layer=0, source="delta"), "there is one branch"),
        (lambda: between(np.ones((4, 2, 3)), LABELS, POLES, layer=0), "finite, and not 0"),
        (lambda: Direction(np.ones((2, 2)), 0), r"shape \(2, 2\)"),
        (lambda: Direction(np.ones(2) + 1j, 0), "is no vector of real numbers"),
        (lambda: Direction("x", 0), "'x' is no vector of real numbers"),
        (lambda: Direction([[1.0], [1.0, 2.0]], 0), "is no vector of real numbers"),
        (lambda: Direction([None, 1.0], 0), "is no vector of real numbers"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def dictionary(folder, **settings):
    folder.mkdir(exist_ok=True)
    save_file({"W_dec": np.eye(3, 5, dtype=np.float32)}, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(settings))
    return folder


def test_a_latent_of_a_dictionary_is_a_direction(tmp_path):
    prompts = ["piano-calm"]
    folder = dictionary(tmp_path / "sae", metadata={"layer": 3, "site": "mlp", "training_prompts": prompts})
    found = of_dictionary(folder, 1)
    assert found.vector.tolist() == [0, 1, 0, 0, 0]
    assert (found.layer, found.site, found.training_prompts) == (3, "mlp", {"piano-calm"})
    with pytest.raises(InputError, match="latent: 3 is not there"):
        of_dictionary(folder, 3)
    for latent in ("1", 0.5, -1, None):
        with pytest.raises(InputError, match="latent: "):
            of_dictionary(folder, latent)
    with pytest.raises(InputError, match="names no layer"):
        of_dictionary(dictionary(tmp_path / "other"), 1)
    with pytest.raises(InputError, match=r"no cfg\.json"):
        of_dictionary(tmp_path / "none", 1)
    with pytest.raises(InputError, match="layer is 3, not 0"):
        of_dictionary(folder, 1, layer=0)
    with pytest.raises(InputError, match="folder: 5 is no path"):
        of_dictionary(5, 1)
    (folder / "sae_weights.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match="its W_dec cannot be read"):
        of_dictionary(folder, 1)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"metadata": 5}', '{"metadata": {"layer": 0, "training_prompts": 5}}', "[]"]
)
def test_a_dictionary_with_broken_settings_gives_no_direction(tmp_path, text):
    (dictionary(tmp_path / "sae") / "cfg.json").write_text(text)
    with pytest.raises(InputError, match=r"sae/cfg\.json"):
        of_dictionary(tmp_path / "sae", 1, layer=0)


@pytest.mark.parametrize("layer", [-1, True, "3", 0.5])
def test_a_dictionary_of_a_layer_that_no_model_has_gives_no_direction(tmp_path, layer):
    with pytest.raises(InputError, match=r"sae/cfg\.json: layer: .* is not allowed; give a whole number"):
        of_dictionary(dictionary(tmp_path / "sae", metadata={"layer": layer}), 1)


@pytest.mark.parametrize("shape", [(5, 3), (5,), (3, 5, 1)])
def test_a_decoder_of_another_shape_gives_no_direction(tmp_path, shape):
    folder = dictionary(tmp_path / "sae", d_in=5)
    save_file({"W_dec": np.ones(shape, np.float32)}, folder / "sae_weights.safetensors")
    with pytest.raises(InputError, match=r"its W_dec has shape .*, not \[latents, 5\]"):
        of_dictionary(folder, 1, layer=0)


def test_a_decoder_in_bfloat16_gives_a_direction(tmp_path):
    folder = dictionary(tmp_path / "sae")
    save_tensors({"W_dec": torch.eye(3, 5).bfloat16()}, folder / "sae_weights.safetensors")
    assert of_dictionary(folder, 1, layer=0).vector.tolist() == [0, 1, 0, 0, 0]


@pytest.mark.parametrize("dtype", ["complex64", "int8", "bool"])
def test_a_decoder_of_other_numbers_gives_no_direction(tmp_path, dtype):
    folder = dictionary(tmp_path / "sae")
    save_file({"W_dec": np.eye(3, 5).astype(dtype)}, folder / "sae_weights.safetensors")
    with pytest.raises(InputError, match=f"W_dec is {dtype}, not floats"):
        of_dictionary(folder, 1, layer=0)


def test_the_strongest_feature_moves_the_states_most_whichever_way():
    labels = ["calm", "calm", "loud", "loud", "sad"]
    fires = np.array([[1.0, 0, 4], [1, 0, 4], [3, 0.5, 1], [3, 0.5, 1], [0, 90, 0]])
    decoder = np.array([[2.0, 0], [0, 3], [0, 1]])
    # Moved: 2 · 2, .5 · 3, −3 · 1; a third label does not count.
    number, vector = strongest_feature(fires, decoder, labels, ("calm", "loud"))
    assert (number, vector.tolist()) == (0, [1.0, 0.0])
    number, vector = strongest_feature(fires[:, 1:], decoder[1:], labels, ("calm", "loud"))
    assert (number, vector.tolist()) == (1, [0.0, -1.0])
    with pytest.raises(InputError, match="no feature fires otherwise in clips of 'loud'"):
        strongest_feature(np.ones((5, 3)), decoder, labels, ("calm", "loud"))


def make_study(folder):
    """Write a study of two templates and two labels; return its prompts' mean states."""
    rng, timeline = np.random.default_rng(0), Timeline(6, 4, 50.0)
    rows, means = [], {}
    for template in ("piano", "band"):
        for emotion in POLES:
            prompt = f"{template}-{emotion}"
            states = rng.normal(size=(2, timeline.n_steps, 5)).astype(np.float32)
            attrs = {"sample_id": f"{prompt}/seed-0", "prompt_id": prompt, "template": template}
            attrs |= {"emotion": emotion, "seed": 0, "text": "x", "model": "m", "model_identity": "i"}
            path = folder / "stacks" / prompt / "seed-0.h5"
            path.parent.mkdir(parents=True)
            codes = np.zeros((4, 6), np.int64)
            with StackWriter(path, attrs, codes, timeline, ["cond", "uncond"], "float32") as stack:
                stack.write("residual", 0, states, np.zeros(states.shape[:2], np.float32))
            means[prompt] = states[:, timeline.complete].mean(axis=(0, 1))
            with Stack(path) as stack:
                rows.append({**stack.attrs, "stack": str(path)})
    write_table(pd.DataFrame(rows), folder / "samples.tsv")
    return means


def test_a_study_gives_directions_without_the_templates_that_are_scored(tmp_path):
    means = make_study(tmp_path)
    direction = of_study(open_study(tmp_path), *POLES, layer=0, without=["band"])
    assert np.allclose(direction.vector, means["piano-energetic"] - means["piano-calm"], atol=1e-5)
    assert direction.training_prompts == {"piano-calm", "piano-energetic"}
    direction.require_unseen(["band-calm"])


@pytest.mark.parametrize(
    ("without", "message"),
    [
        (["pianoo"], r"the study has no template 'pianoo' \(did you mean 'piano'\?\); it has piano, band"),
        (["Piano"], "no template 'Piano' .did you mean 'piano'"),
        (["band", "piano-calm"], "no template 'piano-calm'"),
        ([1], "no template 1; it has"),
        ([None], "no template None; it has"),
        (["piano", "band"], "leaves no template"),
        ("piano", r"without: 'piano' is no list of templates; use \[piano, band\]"),
        (None, "without: None is no list"),
        (3, "without: 3 is no list"),
    ],
)
def test_templates_that_a_study_does_not_have_are_not_left_out_silently(tmp_path, without, message):
    make_study(tmp_path)
    with pytest.raises(InputError, match=message):
        of_study(open_study(tmp_path), *POLES, layer=0, without=without)


@pytest.mark.parametrize("study", ["results/emotions_nano", None, pd.DataFrame({"prompt_id": ["a"]})])
def test_what_is_no_study_is_refused(study):
    with pytest.raises(InputError, match=r"is no open study; give innerear\.open_study\(folder\)"):
        of_study(study, *POLES, layer=0)
