"""What a MusicGen composes follows from its prompt and its seed, and from nothing else."""

import warnings
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from checkpoints import write_checkpoint

from innerear.errors import InputError
from innerear.models import MusicModel, load_model
from innerear.models.audiocraft import AudiocraftModel

SHORT, LONG = "happy music", "energetic music with a slow piano solo and the guitar"


def test_it_is_a_music_model(tiny_model):
    assert isinstance(tiny_model, MusicModel)
    assert (tiny_model.n_layers, tiny_model.d_model) == (3, 32)
    assert (tiny_model.n_codebooks, tiny_model.card) == (4, 16)
    assert (tiny_model.frame_rate, tiny_model.sample_rate) == (50, 1600)
    assert tiny_model.max_duration == 30
    assert tiny_model.has_cross_attention


def test_shapes(tiny_model):
    made = tiny_model.generate([SHORT, LONG, SHORT], [0, 1, 2], 0.4)
    assert made.codes.shape == (3, 4, 20)
    assert made.codes.dtype == torch.int64
    assert made.audio.shape == (3, 640)
    assert made.audio.dtype == torch.float32
    assert made.codes.min() >= 0
    assert made.codes.max() < 16


def test_tokens_do_not_depend_on_the_batch(tiny_model):
    texts = [SHORT, LONG, "sad music", SHORT, LONG]
    seeds = [0, 1, 2, 3, 4]
    together = tiny_model.generate(texts, seeds, 0.3).codes
    for i in range(5):
        alone = tiny_model.generate([texts[i]], [seeds[i]], 0.3).codes[0]
        torch.testing.assert_close(alone, together[i])
    order = [3, 0, 4, 2, 1]
    shuffled = tiny_model.generate([texts[i] for i in order], [seeds[i] for i in order], 0.3).codes
    torch.testing.assert_close(shuffled, together[order])


def test_a_clip_does_not_depend_on_a_longer_neighbour_even_in_its_states(tiny_model):
    from innerear import ActivationExtractor

    extractor = ActivationExtractor(tiny_model)
    extractor.generate([SHORT], seeds=[0], duration=0.4)
    alone = extractor.get_activations()["layer_2"][:, :, 0].clone()
    extractor.generate([LONG, SHORT], seeds=[1, 0], duration=0.4)
    torch.testing.assert_close(extractor.get_activations()["layer_2"][:, :, 1], alone, rtol=1e-4, atol=1e-5)


def test_seed_and_prompt_matter(tiny_model):
    codes = tiny_model.generate([SHORT, SHORT, "sad music"], [0, 1, 0], 0.6).codes
    assert not torch.equal(codes[0], codes[1])
    assert not torch.equal(codes[0], codes[2])


def test_the_global_generator_is_neither_used_nor_moved(tiny_model):
    torch.manual_seed(1)
    first = tiny_model.generate([SHORT], [0], 0.4).codes
    after = torch.rand(2)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(2), after)
    torch.manual_seed(2)
    assert torch.equal(tiny_model.generate([SHORT], [0], 0.4).codes, first)


@pytest.mark.parametrize("settings", [{"top_k": 0}, {"top_k": 3}, {"top_p": 0.7}, {"temperature": 0.5}])
def test_every_way_of_sampling_draws_from_the_samples_own_noise(tiny_model, settings):
    one = tiny_model.generate([SHORT, "sad music"], [5, 6], 0.4, **settings).codes
    two = tiny_model.generate(["sad music", SHORT], [6, 5], 0.4, **settings).codes
    torch.testing.assert_close(one, two[[1, 0]])


def test_top_k_of_one_is_greedy(tiny_model):
    greedy = tiny_model.generate([SHORT], [0], 0.4, use_sampling=False).codes
    torch.testing.assert_close(tiny_model.generate([SHORT], [9], 0.4, top_k=1).codes, greedy)


@pytest.mark.parametrize(("device", "sizes"), [("cpu", [4, 4, 4, 4, 1]), ("cuda", [8, 8, 1])])
def test_the_codec_decodes_a_few_clips_at_a_time(tiny_model, monkeypatch, device, sizes):
    codes = torch.randint(16, (17, 4, 20), generator=torch.Generator().manual_seed(0))
    decoded, whole = [], tiny_model.musicgen.generate_audio

    def noted(codes):
        decoded.append(len(codes))
        return whole(codes)

    monkeypatch.setattr(tiny_model.musicgen, "generate_audio", noted)
    monkeypatch.setattr(tiny_model, "device", torch.device(device))
    audio = tiny_model._decode(codes)
    assert decoded == sizes
    torch.testing.assert_close(audio, whole(codes).mean(dim=1))


def test_progress_counts_the_steps_of_all_runs(tiny_model):
    calls = []
    tiny_model.generate(
        [SHORT, LONG], [0, 1], 0.4, rows=1, progress=lambda done, total: calls.append((done, total))
    )
    assert calls[-1] == (46, 46)  # two runs of 23 steps
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def runs_of(model, texts):
    """The samples of each run of a call."""
    runs = []

    def note(rows, passes):
        runs.append(list(rows))
        return nullcontext()

    model.generate(texts, range(len(texts)), 0.1, observe=note)
    return sorted(runs)


def test_texts_of_any_length_share_a_run(tiny_model):
    assert runs_of(tiny_model, [SHORT, LONG, None, "sad music"]) == [[0, 1, 2, 3]]


def test_prepended_texts_share_a_run_with_those_of_their_length(tmp_path):
    model = load_model(write_checkpoint(tmp_path / "model", prepend=True), device="cpu")
    assert runs_of(model, [SHORT, LONG, "sad music"]) == [[0, 2], [1]]


@pytest.mark.parametrize(
    ("texts", "seeds", "duration", "message"),
    [
        ([], [], 1, "0 prompts"),
        ([SHORT], [1, 2], 1, "1 prompts and 2 seeds"),
        ([SHORT, " "], [1, 2], 1, "prompt 1 is empty"),
        (SHORT, [1], 1, "list of texts"),
        ([SHORT], [1], 0.01, r"at least 0\.02 s"),
    ],
)
def test_bad_requests_name_what_is_wrong(tiny_model, texts, seeds, duration, message):
    with pytest.raises(InputError, match=message):
        tiny_model.generate(texts, seeds, duration)


def test_a_decimal_duration_loses_no_frame(tiny_model):
    assert tiny_model.timeline(0.58).n_frames == 29  # 0.58 · 50 = 28.999…
    assert tiny_model.timeline(0.5).n_frames == 25
    assert tiny_model.timeline(0.599).n_frames == 29


def test_out_of_memory_halves_the_batch(tiny_model, monkeypatch):
    sizes = []
    run = AudiocraftModel._compose

    def small_gpu(self, texts, seeds, *rest):
        sizes.append(len(texts))
        if len(texts) > 2:
            raise torch.OutOfMemoryError
        return run(self, texts, seeds, *rest)

    expected = tiny_model.generate([SHORT] * 5, range(5), 0.2).codes
    monkeypatch.setattr(AudiocraftModel, "_compose", small_gpu)
    torch.testing.assert_close(tiny_model.generate([SHORT] * 5, range(5), 0.2).codes, expected)
    assert sizes == [5, 3, 2, 1, 2]


def test_a_gpu_too_small_for_one_clip_names_the_setting(tiny_model, monkeypatch):
    def no_memory(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(AudiocraftModel, "_compose", no_memory)
    with pytest.raises(InputError, match=r"generation\.duration, use a smaller model, or set model\.device"):
        tiny_model.generate([SHORT], [0], 0.2)


@pytest.mark.parametrize("n_q", [1, 2])
def test_other_numbers_of_codebooks(tmp_path, n_q):
    from innerear import ActivationExtractor

    extractor = ActivationExtractor(load_model(write_checkpoint(tmp_path / "model", n_q=n_q), device="cpu"))
    for duration, n_frames in ((0.1, 5), (0.02, 1)):
        extractor.generate([SHORT], duration=duration)
        assert extractor.codes.shape == (1, n_q, n_frames)
        assert extractor.get_activations()["layer_0"].shape[0] == n_frames + n_q - 1


def test_one_frame_takes_k_steps(tiny_model):
    from innerear import ActivationExtractor

    extractor = ActivationExtractor(tiny_model)
    extractor.generate([SHORT], duration=0.02)
    assert extractor.get_activations()["layer_0"].shape[0] == 4


def test_generation_warns_of_nothing(tiny_model):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tiny_model.generate([SHORT], [0], 0.1)
    assert [str(warning.message) for warning in caught] == []


def test_audio_of_any_array_is_encoded(tiny_model):
    wave = 0.1 * torch.randn(2, 320, generator=torch.Generator().manual_seed(0))
    codes = tiny_model.encode(wave, tiny_model.sample_rate)
    assert codes.shape == (2, 4, 10)
    both = wave[:, None].repeat(1, 2, 1).numpy()
    assert torch.equal(tiny_model.encode(both, np.int64(1600)), codes)


def test_codes_are_decoded_as_they_are_after_composing(tiny_model):
    made = tiny_model.generate([SHORT, LONG], [0, 1], 0.3)
    assert torch.equal(tiny_model.decode(made.codes), made.audio)
    with pytest.raises(InputError, match="codes of shape"):
        tiny_model.decode(made.codes[0])


@pytest.mark.parametrize(
    ("audio", "rate", "message"),
    [
        (torch.zeros(320), 1600, r"audio of shape \(320,\) is not"),
        (torch.zeros(1, 3, 320), 1600, "with 1 or 2 channels"),
        (torch.zeros(1, 0), 1600, "is not"),
        (torch.full((1, 320), torch.nan), 1600, "NaN"),
        ("clip.wav", 1600, "a str is no array of audio"),
        (torch.zeros(1, 320), 0, "sample_rate: 0 is not allowed"),
        (torch.zeros(1, 320), "16k", "sample_rate: '16k'"),
        (torch.zeros(1, 320), 999_983, "audio of 999983 Hz cannot be resampled to 1600 Hz"),
    ],
)
def test_what_is_no_audio_is_refused(tiny_model, audio, rate, message):
    with pytest.raises(InputError, match=message):
        tiny_model.encode(audio, rate)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "mps"}, "model.device: 'mps' is not allowed; use auto, cpu, cuda or cuda:<n>"),
        ({"device": None}, "model.device: None is not allowed"),
        ({"device": 0}, "model.device: 0 is not allowed"),
        ({"device": torch.device("meta")}, "is not allowed; use auto, cpu"),
        ({"device": "cuda:99"}, "torch sees .* GPU"),
        ({"dtype": torch.float64}, "model.dtype: torch.float64 is not allowed"),
        ({"dtype": None}, "model.dtype: None is not allowed"),
        ({"random_init": "no"}, "random_init: 'no' is not allowed; give True or False"),
        ({"random_init": True, "seed": -1}, "seed: -1 is not allowed; give a whole number"),
        ({"random_init": True, "seed": "a"}, "seed: 'a' is not allowed"),
    ],
)
def test_a_model_that_cannot_be_loaded_so_is_refused_at_once(tiny_checkpoint, options, message):
    with pytest.raises(InputError, match=message) as refusal:
        load_model(tiny_checkpoint, **options)
    assert "\n" not in str(refusal.value)


def test_devices_and_dtypes_of_torch_are_understood(tiny_checkpoint):
    model = load_model(tiny_checkpoint, device=torch.device("cpu"), dtype=torch.float32)
    assert (model.device, model.dtype) == (torch.device("cpu"), torch.float32)
