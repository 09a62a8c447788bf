"""Every published family composes audiocraft's own tokens, and its states are those of plain hooks."""

import importlib.machinery
import itertools
import sys
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from checkpoints import FAMILIES, write_checkpoint

from innerear import ActivationExtractor
from innerear.errors import InputError
from innerear.models import load_model
from innerear.models.loading import build_context
from innerear.models.sampling import Race

TEXTS, SEEDS = ["happy music", "calm music"], [3, 4]


@contextmanager
def audiocrafts(monkeypatch, seeds):
    """audiocraft's own sampling, with the samples' own noise in place of torch's."""
    from audiocraft.models import lm

    race = Race(seeds)

    def multinomial(probabilities, num_samples):
        return race.draw(probabilities)

    functions = SimpleNamespace(sample_top_k=race.top_k, sample_top_p=race.top_p, multinomial=multinomial)
    with monkeypatch.context() as patched:
        patched.setattr(lm, "utils", functions)
        yield


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """A family's model here, and the same checkpoint loaded by audiocraft alone."""
    directory = write_checkpoint(tmp_path_factory.mktemp("family") / "model", **FAMILIES[request.param])
    ours = load_model(directory, device="cpu", label=request.param)
    from audiocraft.models import AudioGen, MusicGen

    alone = AudioGen if request.param == "audiogen" else MusicGen
    with build_context(directory, "a test's model"):
        return ours, alone.get_pretrained(str(directory), device="cpu")


@pytest.mark.parametrize("settings", [{}, {"use_sampling": False}, {"two_step_cfg": True}, {"top_k": 0}])
def test_tokens_and_sound_are_audiocrafts_own(family, settings, monkeypatch):
    ours, theirs = family
    theirs.set_generation_params(duration=0.4, **{"extend_stride": 5, **settings})
    with audiocrafts(monkeypatch, SEEDS):
        audio, codes = theirs.generate(TEXTS, return_tokens=True)
    own = {{"two_step_cfg": "two_step"}.get(name, name): value for name, value in settings.items()}
    made = ours.generate(TEXTS, SEEDS, 0.4, **own)
    assert torch.equal(made.codes, codes)
    torch.testing.assert_close(made.audio, audio.mean(dim=1))


def test_states_are_those_of_plain_hooks(family, monkeypatch):
    ours, theirs = family
    extractor = ActivationExtractor(ours)
    extractor.generate(TEXTS, seeds=SEEDS, duration=0.4)
    states: dict[int, list] = {}

    def append(module, inputs, output, layer):
        states.setdefault(layer, []).append(output[:, -1])

    handles = [
        block.register_forward_hook(lambda *call, layer=layer: append(*call, layer=layer))
        for layer, block in enumerate(theirs.lm.transformer.layers)
    ]
    theirs.set_generation_params(duration=0.4, extend_stride=5)
    with audiocrafts(monkeypatch, SEEDS):
        theirs.generate(TEXTS)
    for handle in handles:
        handle.remove()
    recorded = extractor.get_activations(raw=True)
    assert sorted(states) == [0, 1, 2]
    for layer, steps in states.items():
        plain = torch.stack(steps).unflatten(1, (2, len(TEXTS)))  # [S, C, B, D]
        torch.testing.assert_close(recorded[f"layer_{layer}"], plain, rtol=1e-4, atol=1e-5)


def test_what_the_sites_add_makes_the_residual_stream(family):
    ours, _ = family
    extractor = ActivationExtractor(ours, sites=ours.sites)
    extractor.generate(TEXTS, seeds=SEEDS, duration=0.2)
    states = extractor.get_activations(raw=True)
    stream = states["input/layer_0"]
    for layer in range(3):
        added = [states[f"{site}/layer_{layer}"] for site in ours.sites if site not in ("residual", "input")]
        assert all(one.abs().max() > 0.01 for one in added)
        stream = stream + sum(added)
        torch.testing.assert_close(states[f"layer_{layer}"], stream, rtol=1e-4, atol=1e-5)
        stream = states[f"layer_{layer}"]


def test_a_replay_gives_the_same_states_and_audiocrafts_likelihood(family):
    ours, theirs = family
    extractor = ActivationExtractor(ours)
    extractor.generate(TEXTS, seeds=SEEDS, duration=0.4)
    captured = {name: one.clone() for name, one in extractor.get_activations().items()}
    codes = extractor.codes
    nll = extractor.replay(TEXTS, codes)
    for name, states in extractor.get_activations().items():
        torch.testing.assert_close(states, captured[name], rtol=1e-4, atol=1e-5)
    attributes, _ = theirs._prepare_tokens_and_attributes(TEXTS, None)
    provider = theirs.lm.condition_provider
    with torch.no_grad():
        conditions = provider(provider.tokenize(attributes))
        logits = theirs.lm.compute_predictions(codes, [], conditions, keep_only_valid_steps=False).logits
    # [B, K, T, card] -> [B, card, K, T]
    expected = torch.nn.functional.cross_entropy(logits.permute(0, 3, 1, 2), codes, reduction="none")
    torch.testing.assert_close(nll[:, 0], expected, rtol=1e-4, atol=1e-5)


def test_a_stack_keeps_the_timeline_of_the_family(family, tmp_path):
    from innerear.capture.generation import generate_samples
    from innerear.stacks import Stack
    from innerear.study.prompts import Prompt, Sample

    ours, _ = family
    sample = Sample(Prompt("p", "happy music", "t", "happy"), 0)
    paths = [tmp_path / "clip.h5"], [tmp_path / "clip.wav"]
    capture, generation = {"layers": "all", "dtype": "float32"}, {"duration": 0.4}
    generate_samples(ours, [sample], *paths, study="s", capture=capture, generation=generation)
    with Stack(paths[0][0]) as stack:
        assert stack.timeline == ours.timeline(0.4)
        assert stack.shape(0)[1] == 20 + max(ours.musicgen.lm.pattern_provider.delays)
        np.testing.assert_array_equal(stack.frames, stack.timeline.frames)


def test_short_segments_are_extended_like_audiocrafts(family, monkeypatch):
    ours, theirs = family
    if ours.name != "audiogen":
        assert ours.max_duration == 30
        return
    assert ours.max_duration == 10
    theirs.set_generation_params(duration=11, extend_stride=6)
    with audiocrafts(monkeypatch, SEEDS[:1]):
        _, codes = theirs.generate(TEXTS[:1], return_tokens=True)
    assert len(ours.timeline(11).windows) == 2
    assert torch.equal(ours.generate(TEXTS[:1], SEEDS[:1], 11).codes, codes)


@pytest.mark.parametrize("segment", [1.5, 15])
def test_segments_that_audiocraft_refuses_run(tmp_path, segment):
    model = load_model(write_checkpoint(tmp_path / "model", segment=segment), device="cpu")
    assert model.max_duration == segment
    assert model.generate(["happy music"], [0], 2).codes.shape == (1, 4, 100)


def test_a_parallel_pattern_takes_a_step_a_frame(tmp_path):
    model = load_model(write_checkpoint(tmp_path / "model", n_q=2, delays=[0, 0]), device="cpu")
    extractor = ActivationExtractor(model)
    extractor.generate(["happy music"], duration=0.2)
    assert extractor.get_activations()["layer_0"].shape[0] == 10
    assert extractor.timeline is not None
    assert extractor.timeline.complete.all()


def test_other_patterns_are_refused(tmp_path):
    directory = write_checkpoint(tmp_path / "model", pattern="musiclm")
    with pytest.raises(InputError, match=r"interleaves its codebooks by MusicLMPattern.*only delays"):
        load_model(directory, device="cpu")


@pytest.fixture(scope="module")
def melody(tmp_path_factory):
    return load_model(write_checkpoint(tmp_path_factory.mktemp("melody") / "model", melody=True))


def test_melody_audio_without_demucs_is_refused_in_one_line(melody, monkeypatch):
    monkeypatch.setitem(sys.modules, "demucs", None)
    melody.musicgen.set_generation_params(duration=0.2, extend_stride=5)
    with pytest.raises(InputError, match="demucs, which is not installed"):
        melody.musicgen.generate_with_chroma(["happy music"], torch.zeros(1, 800), 1600)
    assert melody.generate(["happy music"], [0], 0.2).codes.shape == (1, 4, 10)


def test_melody_audio_is_read_where_demucs_is_installed(melody, monkeypatch):
    separator = torch.nn.Identity()
    separator.samplerate, separator.audio_channels = 1600, 2
    separated = []

    def apply_model(model, wave, device):
        assert model is separator
        separated.append(wave.shape[1:])
        return torch.stack([wave] * 4, dim=1)

    def convert_audio(wave, before, after, channels):
        return wave.mean(dim=-2, keepdim=True).expand(*wave.shape[:-2], channels, wave.shape[-1])

    contents = {
        "demucs": {},
        "demucs.pretrained": {"get_model": lambda name: separator},
        "demucs.apply": {"apply_model": apply_model},
        "demucs.audio": {"convert_audio": convert_audio},
    }
    for name, values in contents.items():
        module = ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules["demucs"].pretrained = sys.modules["demucs.pretrained"]
    melody.musicgen.set_generation_params(duration=0.2, use_sampling=False, extend_stride=5)
    tone = torch.sin(torch.arange(1600) * 2 * np.pi * 220 / 1600)[None]
    codes = [
        melody.musicgen.generate_with_chroma(["happy music"], wave, 1600, return_tokens=True)[1]
        for wave in (tone, tone.flip(-1) * 0)
    ]
    assert separated == [(2, 1600)] * 2
    assert not torch.equal(*codes)


def test_train_mode_changes_nothing_and_is_restored(tiny_checkpoint):
    model = load_model(tiny_checkpoint, device="cpu")
    lm, codec = model.musicgen.lm, model.musicgen.compression_model
    (conditioner,) = lm.condition_provider.conditioners.values()
    assert conditioner.word_dropout > 0
    texts = ["happy music with a piano and the guitar solo"] * 3
    made = model.generate(texts, [0, 1, 2], 0.2)
    nll = model.replay(made.codes, texts, model.timeline(0.2))
    for network in (lm, codec, conditioner.t5):
        network.train()
    again = model.generate(texts, [0, 1, 2], 0.2)
    assert torch.equal(again.codes, made.codes)
    assert torch.equal(again.audio, made.audio)
    assert torch.equal(model.replay(made.codes, texts, model.timeline(0.2)), nll)
    assert all(module.training for module in itertools.chain(lm.modules(), codec.modules()))
    assert all(module.training for module in conditioner.t5.modules())


def test_a_held_model_of_any_precision_has_an_identity(tiny_checkpoint):
    musicgen = load_model(tiny_checkpoint, device="cpu").musicgen
    seen = set()
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        musicgen.lm.to(dtype)
        seen.add(load_model(musicgen).identity())
    before = load_model(musicgen).identity().split(";")
    (conditioner,) = musicgen.lm.condition_provider.conditioners.values()
    next(conditioner.t5.parameters()).data.add_(1)
    after = load_model(musicgen).identity().split(";")
    assert len(seen) == 3
    assert [one != other for one, other in zip(before, after, strict=True)] == [False, True, False]


def test_a_held_model_is_named_without_its_path(tiny_checkpoint):
    with build_context(tiny_checkpoint, "a test's model"):
        from audiocraft.models import MusicGen

        held = MusicGen.get_pretrained(str(tiny_checkpoint), device="cpu")
    assert load_model(held).name == tiny_checkpoint.name
    assert load_model(held, label="mine").name == "mine"
