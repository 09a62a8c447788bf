"""A job writes whole stacks with whole clips, and the same ones in any batch."""

import numpy as np
import pytest
import soundfile

from innerear.capture.generation import generate_samples
from innerear.errors import InputError
from innerear.stacks import Stack
from innerear.study.prompts import Prompt, Sample

HAPPY = Prompt("piano-happy", "happy music", "piano", "happy", valence=0.8, arousal=0.5)
SAD = Prompt("guitar-sad", "sad music with a slow guitar", "guitar", "sad")
GENERATION = {"duration": 0.4, "guidance": 3.0, "temperature": 1.0, "top_k": 250, "top_p": 0.0}
CAPTURE = {"layers": "all", "dtype": "float16"}


def make(model, folder, samples, capture=CAPTURE, generation=GENERATION, **how):
    stacks = [folder / f"{sample.id}.h5" for sample in samples]
    audio = [folder / f"{sample.id}.wav" for sample in samples]
    settings = {"study": "emotions", "capture": capture, "generation": generation}
    generate_samples(model, samples, stacks, audio, **settings, **how)
    return stacks, audio


def test_a_batch_writes_what_single_jobs_write(tiny_model, tmp_path):
    samples = [Sample(HAPPY, 0), Sample(SAD, 0), Sample(HAPPY, 1)]
    together, clips = make(tiny_model, tmp_path / "batch", samples)
    for i, sample in enumerate(samples):
        alone, clip = make(tiny_model, tmp_path / "single", [sample])
        assert soundfile.read(clip[0])[0].tolist() == pytest.approx(soundfile.read(clips[i])[0], abs=1e-3)
        with Stack(alone[0]) as one, Stack(together[i]) as other:
            assert one.attrs["tokens_sha256"] == other.attrs["tokens_sha256"]
            for layer in range(3):
                np.testing.assert_allclose(one.read(layer), other.read(layer), rtol=2e-3, atol=2e-3)


def test_in_calls_of_so_many_rows_a_clip_is_the_same_to_the_last_bit_and_fillers_are_not_written(
    tiny_model, tmp_path
):
    sample, neighbour = Sample(HAPPY, 0), Sample(Prompt("calm", "calm music", "piano", "calm"), 5)
    capture = CAPTURE | {"dtype": "float32"}
    found = []
    for folder, samples in ((tmp_path / "alone", [sample]), (tmp_path / "beside", [sample, neighbour])):
        (path, *_), _ = make(tiny_model, folder, samples, capture, rows=3)
        assert len(list(folder.rglob("*.h5"))) == len(list(folder.rglob("*.wav"))) == len(samples)
        with Stack(path) as stack:
            assert stack.attrs["rows"] == 3
            states = [(stack.read(layer), stack.levels(layer)) for layer in range(3)]
            found.append((stack.codes, stack.attrs["audio_sha256"], states))
    (codes, clip, states), (own, other, same) = found
    assert clip == other
    np.testing.assert_array_equal(codes, own)
    for one, two in zip(states, same, strict=True):
        np.testing.assert_array_equal(one[0], two[0])
        np.testing.assert_array_equal(one[1], two[1])


def test_stack_and_clip_say_what_they_are(tiny_model, tmp_path):
    stacks, audio = make(tiny_model, tmp_path, [Sample(HAPPY, 7)])
    with Stack(stacks[0]) as stack:
        attrs = stack.attrs
        assert stack.layers() == [0, 1, 2]
        assert stack.branches == ("cond", "uncond")
        assert stack.read(0).shape == (2, 23, 32)
        assert stack.read(0).dtype == np.float16
    expected = {
        "study": "emotions",
        "sample_id": "piano-happy/seed-7",
        "prompt_id": "piano-happy",
        "template": "piano",
        "emotion": "happy",
        "text": "happy music",
        "valence": 0.8,
        "seed": 7,
        "model": "tiny",
        "model_identity": tiny_model.identity(),
        "dtype": "float32",
        "device": "cpu",
        "generation_guidance": 3.0,
        "version_audiocraft": "1.3.0",
        "n_steps": 23,
    }
    assert {name: attrs[name] for name in expected} == expected
    clip = soundfile.info(audio[0])
    assert (clip.frames, clip.samplerate, clip.channels, clip.subtype) == (640, 1600, 1, "PCM_16")


def test_chosen_layers_branches_and_precision(tiny_model, tmp_path):
    capture = {"layers": [2, 0], "branches": ["uncond"], "dtype": "float32", "sites": ["residual"]}
    stacks, _ = make(tiny_model, tmp_path / "some", [Sample(HAPPY, 0)], capture)
    whole, _ = make(tiny_model, tmp_path / "all", [Sample(HAPPY, 0)], CAPTURE | {"dtype": "float32"})
    with Stack(stacks[0]) as stack, Stack(whole[0]) as reference:
        assert stack.layers() == [0, 2]
        assert stack.branches == ("uncond",)
        np.testing.assert_allclose(stack.read(2)[0], reference.read(2)[1], rtol=1e-5, atol=1e-6)


def test_a_stack_that_exists_has_its_audio(tiny_model, tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("innerear.stacks.StackWriter.write", full_disk)
    with pytest.raises(InputError, match="the disk is full"):
        make(tiny_model, tmp_path, [Sample(HAPPY, 0)])
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert left == ["seed-0.wav"]


@pytest.mark.parametrize(
    ("capture", "generation", "message"),
    [
        ({"layers": [3]}, {}, r"\[3\] cannot be captured; the model has the layers 0 to 2"),
        ({"sites": ["norm"]}, {}, "no site 'norm'"),
        ({"branches": ["delta"]}, {}, "'delta'"),
        ({"branches": []}, {}, "capture.branches"),
        ({}, {"duration": 40, "stride": 0}, "stride: 0 is not allowed"),
    ],
)
def test_what_the_model_cannot_do_is_refused_before_generation(
    tiny_model, tmp_path, monkeypatch, capture, generation, message
):
    monkeypatch.setattr(type(tiny_model), "_compose", lambda *_: pytest.fail("generated"))
    with pytest.raises(InputError, match=message):
        make(tiny_model, tmp_path, [Sample(HAPPY, 0)], CAPTURE | capture, GENERATION | generation)
    assert list(tmp_path.iterdir()) == []


def test_progress_shows_in_a_log(tiny_model, tmp_path, capsys):
    make(tiny_model, tmp_path, [Sample(HAPPY, 0)])
    shown = capsys.readouterr().err
    assert "piano-happy/seed-0" in shown
    assert "23/23" in shown
