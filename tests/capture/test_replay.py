"""An extra capture is what generation would have stored, made from the tokens alone."""

import numpy as np
import pytest
import xarray as xr

from innerear.capture.generation import generate_samples
from innerear.capture.replay import replay_samples
from innerear.errors import InputError
from innerear.stacks import Stack
from innerear.study.prompts import Prompt, Sample

SAMPLES = [
    Sample(Prompt("piano-happy", "happy music with a piano", "piano", "happy", valence=0.8), 3),
    Sample(Prompt("piano-sad", "sad music", "piano", "sad"), 4),
]
GENERATION = {"duration": 0.4, "guidance": 2.0}


def generate(model, folder, capture, duration=0.4):
    stacks = [folder / f"{i}.h5" for i in range(len(SAMPLES))]
    audio = [folder / f"{i}.wav" for i in range(len(SAMPLES))]
    settings = GENERATION | {"duration": duration}
    generate_samples(model, SAMPLES, stacks, audio, study="s", capture=capture, generation=settings)
    return stacks


def test_a_replayed_capture_is_what_generation_would_have_stored(tiny_model, tmp_path):
    wanted = {"layers": [1], "dtype": "float32", "sites": ["cross_attention", "mlp"], "branches": ["cond"]}
    reference = generate(tiny_model, tmp_path / "reference", wanted)
    stacks = generate(tiny_model, tmp_path / "stacks", {"layers": [0], "dtype": "float16"})
    outputs = [tmp_path / "captures" / path.name for path in stacks]
    replay_samples(tiny_model, stacks, outputs, capture=wanted)
    for path, made in zip(reference, outputs, strict=True):
        with Stack(path) as expected, Stack(made) as replayed:
            assert replayed.places == expected.places == [("cross_attention", 1), ("mlp", 1)]
            assert replayed.branches == ("cond",)
            np.testing.assert_array_equal(replayed.codes, expected.codes)
            for site, layer in expected.places:
                np.testing.assert_allclose(
                    replayed.read(layer, site), expected.read(layer, site), rtol=1e-4, atol=1e-5
                )
            same = ("sample_id", "text", "seed", "tokens_sha256", "model_identity", "generation_guidance")
            assert {name: replayed.attrs[name] for name in same} == {
                name: expected.attrs[name] for name in same
            }


def test_the_likelihood_comes_with_named_axes(tiny_model, tmp_path):
    stacks = generate(tiny_model, tmp_path, {"layers": [0], "dtype": "float16"})
    output = tmp_path / "out.h5"
    replay_samples(
        tiny_model, stacks[:1], [output], capture={"layers": "all", "dtype": "float16", "sites": ["residual"]}
    )
    with xr.open_dataset(output, engine="h5netcdf", group="likelihood") as likelihood:
        assert likelihood["nll"].dims == ("distribution", "codebook", "frame")
        assert likelihood["distribution"].values.tolist() == ["cond", "uncond", "guided"]
        assert likelihood["nll"].shape == (3, 4, 20)
        assert (likelihood["nll"] > 0).all()


def test_clips_of_other_weights_or_another_length_are_refused(tiny_model, tmp_path, monkeypatch):
    capture = {"layers": [0], "dtype": "float16", "sites": ["residual"]}
    stacks = generate(tiny_model, tmp_path / "a", capture)
    longer = generate(tiny_model, tmp_path / "b", capture, duration=0.5)
    outputs = [tmp_path / "0.h5", tmp_path / "1.h5"]
    with pytest.raises(InputError, match="another timeline"):
        replay_samples(tiny_model, [stacks[0], longer[1]], outputs, capture=capture)
    monkeypatch.setattr(tiny_model, "_identity", "sha256:other")
    with pytest.raises(InputError, match="replay clips with the model that composed them"):
        replay_samples(tiny_model, stacks, outputs, capture=capture)
    assert not any(path.exists() for path in outputs)


def test_a_twin_reads_the_same_codes_and_says_what_it_is(tiny_model, tiny_checkpoint, tmp_path):
    from innerear.models import load_model

    wanted = {"layers": [1], "dtype": "float32", "sites": ["residual"]}
    stacks = generate(tiny_model, tmp_path / "stacks", wanted)
    twin = load_model(tiny_checkpoint, device="cpu", random_init=True)
    outputs = [tmp_path / "twin" / path.name for path in stacks]
    with pytest.raises(InputError, match="was made with weights"):
        replay_samples(twin, stacks, outputs, capture=wanted)
    replay_samples(twin, stacks, outputs, capture=wanted, twin=True)
    for path, made in zip(stacks, outputs, strict=True):
        with Stack(path) as own, Stack(made) as other:
            np.testing.assert_array_equal(own.codes, other.codes)
            assert other.attrs["model_identity"] == twin.identity() != own.attrs["model_identity"]
            assert not np.allclose(own.read(1), other.read(1), atol=0.1)
