"""However MusicGen runs, each step of each branch is recorded: a replay of the clip gives the same states."""

import numpy as np
import pytest
import torch
from checkpoints import write_checkpoint

from innerear import ActivationExtractor, load_model
from innerear.errors import InputError
from innerear.models.audiocraft import AudiocraftModel

SITES = ("residual", "self_attention", "cross_attention", "mlp", "input")


def test_extractor_records_s_steps_and_two_branches(tiny_model):
    with ActivationExtractor(tiny_model, layers=[0, 2]) as extractor:
        wav = extractor.generate(["happy music", "sad music"], seeds=[7, 8], duration=0.4)
        assert wav.shape == (2, 0.4 * tiny_model.sample_rate)
        assert extractor.timeline.n_steps == 23
        assert extractor.codes.shape == (2, 4, 20)
        assert extractor.branches == ("cond", "uncond")
        activations = extractor.get_activations()
        assert list(activations) == ["layer_0", "layer_2"]
        assert activations["layer_2"].shape == (23, 2, 2, 32)
        assert activations["layer_2"].axes == extractor.axes == ("step", "branch", "sample", "d_model")
        steps = extractor.get_activations(concatenate=False)["layer_2"]
        assert len(steps) == 23
        torch.testing.assert_close(torch.stack(steps), activations["layer_2"])
        extractor.clear_activations()
        with pytest.raises(InputError, match="generate"):
            extractor.get_activations()


def test_extractor_takes_a_musicgen_and_generates_what_it_would(tiny_model):
    from audiocraft.models.musicgen import MusicGen

    musicgen = tiny_model.musicgen
    assert isinstance(musicgen, MusicGen)
    extractor = ActivationExtractor(musicgen)
    extractor.generate(["happy music"], duration=0.4, use_sampling=False)
    musicgen.set_generation_params(use_sampling=False, duration=0.4)
    _, codes = musicgen.generate(["happy music"], return_tokens=True)
    torch.testing.assert_close(extractor.codes, codes)


def test_extractor_refuses_what_is_no_model():
    with pytest.raises(InputError, match="object is not a MusicGen"):
        ActivationExtractor(object())


def test_steps_differ_which_is_the_bug_this_began_with(tiny_model):
    extractor = ActivationExtractor(tiny_model)
    extractor.generate(["happy music"], seeds=[1], duration=0.4)
    for states in extractor.get_activations().values():
        assert (states.std(dim=0).amax(dim=-1) > 0).all()


def test_uncond_knows_neither_prompt_nor_seed_at_step_0(tiny_model):
    extractor = ActivationExtractor(tiny_model)
    extractor.generate(["happy music", "happy music", "sad music"], seeds=[1, 2, 1], duration=0.4)
    for states in extractor.get_activations().values():
        cond, uncond = states[0].numpy()
        np.testing.assert_allclose(uncond[1:], uncond[:1].repeat(2, 0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(cond[1], cond[0], rtol=1e-5, atol=1e-6)
        assert np.abs(cond[2] - cond[0]).max() > 1e-3


@pytest.fixture
def short_window(tiny_model):
    """The tiny model with a window of 20 frames."""
    model = AudiocraftModel(tiny_model.musicgen, "tiny")
    model.max_duration = 0.4
    return model


@pytest.fixture(scope="session")
def prepending(tmp_path_factory):
    """A tiny model that prepends its text to the sequence, as melody does."""
    return load_model(
        write_checkpoint(tmp_path_factory.mktemp("prepending") / "m", prepend=True), device="cpu"
    )


def capture_and_replay(model, texts, sites=("residual",), **settings):
    """Generate and replay; return both sets of activations, and the extractor."""
    extractor = ActivationExtractor(model, sites=sites)
    extractor.generate(texts, seeds=range(len(texts)), **settings)
    captured = extractor.get_activations()
    extractor.replay(texts)
    return captured, extractor.get_activations(), extractor


def assert_same(captured, replayed):
    assert captured.keys() == replayed.keys()
    for name, states in captured.items():
        torch.testing.assert_close(states, replayed[name], rtol=1e-4, atol=1e-5, msg=name)


TEXTS = ["happy music", "sad music", "a calm solo piano with guitar"]


def test_replay_gives_what_was_captured_at_every_site(tiny_model):
    captured, replayed, _ = capture_and_replay(tiny_model, TEXTS, SITES, duration=0.4)
    assert list(captured) == [
        *(f"layer_{i}" for i in range(3)),
        *(f"{site}/layer_{i}" for site in SITES[1:4] for i in range(3)),
        "input/layer_0",
    ]
    assert_same(captured, replayed)


def test_sites_add_up_to_the_residual_stream(tiny_model):
    """A pre-norm block's output is its input and what its three parts add."""
    extractor = ActivationExtractor(tiny_model, sites=SITES)
    extractor.generate(TEXTS[:2], seeds=[0, 1], duration=0.2)
    acts = extractor.get_activations()
    for layer in range(3):
        stream = acts["input/layer_0"] if layer == 0 else acts[f"layer_{layer - 1}"]
        parts = sum(acts[f"{site}/layer_{layer}"] for site in SITES[1:4])
        torch.testing.assert_close(acts[f"layer_{layer}"], stream + parts, rtol=1e-4, atol=1e-5)


def test_the_input_of_layer_0_is_equal_in_both_branches(tiny_model):
    extractor = ActivationExtractor(tiny_model, layers=[2], sites=["input"])
    extractor.generate(TEXTS[:2], seeds=[0, 1], duration=0.2)
    states = extractor.get_activations()["input/layer_0"]
    torch.testing.assert_close(states[:, 0], states[:, 1])


def test_guidance_in_two_steps_is_the_same_generation(tiny_model):
    one, _, first = capture_and_replay(tiny_model, TEXTS, duration=0.4)
    two, replayed, second = capture_and_replay(tiny_model, TEXTS, duration=0.4, two_step=True)
    torch.testing.assert_close(first.codes, second.codes)
    assert second.branches == ("cond", "uncond")
    assert_same(one, two)
    assert_same(two, replayed)


def test_two_step_guidance_uses_the_guidance_asked_for(tiny_model):
    settings = {"seeds": [0], "duration": 0.4, "guidance": 7.0}
    extractor = ActivationExtractor(tiny_model)
    extractor.generate(TEXTS[:1], **settings)
    codes = extractor.codes
    extractor.generate(TEXTS[:1], two_step=True, **settings)
    torch.testing.assert_close(extractor.codes, codes)
    assert tiny_model.musicgen.lm.cfg_coef == 3.0


def test_no_guidance_is_the_cond_branch_alone(tiny_model):
    both, _, guided = capture_and_replay(tiny_model, TEXTS, duration=0.4, guidance=1.0)
    extractor = ActivationExtractor(tiny_model)
    extractor.generate(TEXTS, seeds=range(3), duration=0.4, guidance=None)
    assert extractor.branches == ("cond",)
    torch.testing.assert_close(extractor.codes, guided.codes)
    for name, states in extractor.get_activations().items():
        torch.testing.assert_close(states, both[name][:, :1], rtol=1e-4, atol=1e-5)
    assert tiny_model.musicgen.lm._fsdp is None


def test_a_prefix_is_not_steps(prepending):
    assert not prepending.has_cross_attention
    captured, replayed, _ = capture_and_replay(prepending, TEXTS, duration=0.4)
    assert captured["layer_0"].shape == (23, 2, 3, 32)
    assert_same(captured, replayed)
    with pytest.raises(InputError, match="no site 'cross_attention'"):
        ActivationExtractor(prepending, sites=["cross_attention"])


def test_a_prefix_in_two_steps(prepending):
    extractor = ActivationExtractor(prepending)
    extractor.generate(TEXTS[:2], seeds=[0, 1], duration=0.2, two_step=True)
    assert extractor.get_activations()["layer_0"].shape == (13, 2, 2, 32)


def test_windows_are_those_of_audiocraft(short_window):
    musicgen = short_window.musicgen
    extractor = ActivationExtractor(short_window)
    extractor.generate(["happy music"], duration=1.0, stride=0.6, use_sampling=False)
    before = musicgen.max_duration
    try:
        musicgen.max_duration = 0.4
        musicgen.set_generation_params(use_sampling=False, duration=1.0, extend_stride=0.24)
        _, codes = musicgen.generate(["happy music"], return_tokens=True)
    finally:
        musicgen.max_duration = before
    torch.testing.assert_close(extractor.codes, codes)
    assert extractor.timeline.windows == ((0, 20, 0), (12, 20, 8), (24, 20, 8), (36, 14, 8))


def test_every_window_is_recorded_step_by_step(short_window):
    captured, replayed, extractor = capture_and_replay(short_window, TEXTS, duration=1.0)
    assert captured["layer_0"].shape[0] == extractor.timeline.n_steps == 3 * 23 + 17
    assert_same(captured, replayed)
    # Reread frames have a shorter context: their states differ from the first ones.
    timeline = extractor.timeline
    again = np.flatnonzero((timeline.window == 1) & timeline.reread.all(axis=1))
    before = timeline.window == 0
    first = [
        int(np.flatnonzero(before & (timeline.frames[:, 0] == frame))[0])
        for frame in timeline.frames[again, 0]
    ]
    assert len(again) == 5
    assert (captured["layer_2"][again] - captured["layer_2"][first]).abs().max() > 1e-3


def test_windows_of_a_model_that_prepends(prepending):
    model = AudiocraftModel(prepending.musicgen, "prepending")
    model.max_duration = 0.4
    captured, replayed, _ = capture_and_replay(model, TEXTS, duration=0.7)
    assert_same(captured, replayed)


def test_a_clip_is_continued_from_audio(tiny_model):
    wave = 0.1 * torch.randn(2, 320, generator=torch.Generator().manual_seed(0))
    given = tiny_model.encode(wave, tiny_model.sample_rate)
    assert given.shape == (2, 4, 10)
    captured, replayed, extractor = capture_and_replay(tiny_model, TEXTS[:2], duration=0.5, given=given)
    torch.testing.assert_close(extractor.codes[..., :10], given)
    assert extractor.timeline.n_steps == 28
    assert extractor.timeline.reread.sum() == 40
    assert_same(captured, replayed)
    assert extractor.nll[..., :10].isnan().all()
    assert extractor.nll[..., 10:].isfinite().all()


def test_nothing_left_to_compose_is_refused(tiny_model):
    given = torch.zeros(1, 4, 10, dtype=torch.long)
    with pytest.raises(InputError, match="10 frames are given, of a clip of 10"):
        ActivationExtractor(tiny_model).generate(["happy music"], duration=0.2, given=given)


def test_a_model_that_fails_early_leaves_no_half_capture(tiny_model):
    extractor = ActivationExtractor(tiny_model)
    calls = []

    def fail_at_the_eighth(*_):
        calls.append(1)
        if len(calls) == 8:
            raise ValueError("eighth")

    handle = tiny_model.musicgen.lm.transformer.layers[1].register_forward_hook(fail_at_the_eighth)
    with pytest.raises(ValueError, match="eighth"):
        extractor.generate(["happy music"], duration=0.4)
    handle.remove()
    with pytest.raises(InputError, match="no activations"):
        extractor.get_activations()
    assert not any(block._forward_hooks for block in tiny_model.modules("residual"))
    extractor.generate(["happy music"], duration=0.4)
    assert extractor.get_activations()["layer_1"].shape[0] == 23


def test_likelihood_is_that_of_the_tokens_that_were_drawn(tiny_model):
    """The guided distribution at temperature 1 is what sampling drew from: greedy tokens are its mode."""
    extractor = ActivationExtractor(tiny_model)
    extractor.generate(TEXTS[:2], duration=0.4, use_sampling=False)
    nll = extractor.replay(TEXTS[:2])
    assert nll.shape == (2, 3, 4, 20)
    assert (nll >= 0).all()
    other = extractor.codes.roll(1, dims=2)
    rolled = extractor.replay(TEXTS[:2], codes=other)
    assert (nll[:, 2].mean() < rolled[:, 2].mean()).item()
    # No token of 16 is less likely than the mode, whose probability is at least 1/16.
    assert nll[:, 2].max() <= np.log(16)


def test_replay_under_another_prompt_or_none_changes_cond_alone(tiny_model):
    extractor = ActivationExtractor(tiny_model)
    extractor.generate(["happy music"], seeds=[1], duration=0.4)
    own = extractor.get_activations()["layer_2"]
    extractor.replay(["sad music"])
    swapped = extractor.get_activations()["layer_2"]
    torch.testing.assert_close(swapped[:, 1], own[:, 1], rtol=1e-4, atol=1e-5)
    assert (swapped[:, 0] - own[:, 0]).abs().max() > 1e-3
    extractor.replay([None])
    silent = extractor.get_activations()["layer_2"]
    torch.testing.assert_close(silent[:, 0], own[:, 1], rtol=1e-4, atol=1e-5)


def test_there_must_be_something_to_replay(tiny_model):
    with pytest.raises(InputError, match="nothing to replay"):
        ActivationExtractor(tiny_model).replay(["happy music"])
    with pytest.raises(InputError, match="are not"):
        ActivationExtractor(tiny_model).replay(["a", "b"], codes=torch.zeros(1, 4, 20, dtype=torch.long))
