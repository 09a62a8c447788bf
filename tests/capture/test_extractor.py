"""However MusicGen runs, each step of each branch is recorded: a replay of the clip gives the same states."""

import copy
import threading

import numpy as np
import pytest
import torch
from checkpoints import write_checkpoint

from innerear import ActivationExtractor, load_model
from innerear.errors import InputError
from innerear.models.audiocraft import AudiocraftModel
from innerear.study.generation_settings import GenerationSettings

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
        for name in ("concatenate", "raw"):
            with pytest.raises(InputError, match=f"{name}: 'no' is not allowed"):
                extractor.get_activations(**{name: "no"})
        torch.testing.assert_close(torch.stack(steps), activations["layer_2"])
        extractor.clear_activations()
        with pytest.raises(InputError, match="generate"):
            extractor.get_activations()


@pytest.fixture
def held(tiny_model):
    """A MusicGen as audiocraft's users hold it; what a test sets on it is undone."""
    before = tiny_model.settings
    tiny_model.musicgen.set_generation_params(duration=0.4)
    yield tiny_model.musicgen
    tiny_model.settings = before


CAPTURE = """
model = MusicGen.get_pretrained("facebook/musicgen-large")
model.set_generation_params(duration=8)
extractor = ActivationExtractor(model, layers=[0, 12, 24, 36, 47])
wav = extractor.generate(["happy upbeat music"])
activations = extractor.get_activations(concatenate=True)
print(activations["layer_12"].shape)  # [403, 2, 1, 2048]: steps, branches, batch, d_model
"""
COMPARISON = """
wav_happy = extractor.generate(["happy music"])
act_happy = extractor.get_activations(concatenate=True)
extractor.clear_activations()
wav_sad = extractor.generate(["sad music"])
act_sad = extractor.get_activations(concatenate=True)
sim = cosine_similarity(act_happy["layer_12"], act_sad["layer_12"])
print(f"Similarity: {sim:.4f}")
"""


class Skipped(torch.nn.Module):
    """A block that adds nothing."""

    norm_first = True

    def forward(self, x, **_):
        return x


def test_the_founding_notes_run_as_written(tiny_checkpoint, capsys):
    """Their two snippets, but for the import, on a narrow model with as many blocks as the large one."""
    from innerear import cosine_similarity

    deep = load_model(tiny_checkpoint, device="cpu").musicgen
    blocks = deep.lm.transformer.layers
    real = {i: copy.deepcopy(blocks[i % 3]) for i in (0, 12, 24, 36, 47)}
    deep.lm.transformer.layers = torch.nn.ModuleList(real.get(i, Skipped()) for i in range(48))

    class MusicGen:
        get_pretrained = staticmethod(lambda name: deep)

    names = {"ActivationExtractor": ActivationExtractor, "cosine_similarity": cosine_similarity}
    exec(CAPTURE, names | {"MusicGen": MusicGen}, names)
    assert list(names["activations"]) == [f"layer_{i}" for i in (0, 12, 24, 36, 47)]
    deep.set_generation_params(duration=0.4)
    exec(COMPARISON, names)
    shape, similarity = capsys.readouterr().out.splitlines()
    assert shape == "torch.Size([403, 2, 1, 32])"
    assert -1 < float(similarity.removeprefix("Similarity: ")) < 0.9999


def test_activations_stay_valid_while_the_next_clip_is_made(held):
    extractor = ActivationExtractor(held)
    extractor.generate(["happy music"])
    first = extractor.get_activations()
    copies = {name: states.clone() for name, states in first.items()}
    extractor.generate(["sad music"])
    assert not torch.equal(extractor.get_activations()["layer_2"], copies["layer_2"])
    extractor.clear_activations()
    for name, states in first.items():
        assert torch.equal(states, copies[name])


@pytest.mark.parametrize(
    "settings",
    [
        {"cfg_coef": 1.5},
        {"cfg_coef": 0.0},
        {"two_step_cfg": True},
        {"duration": 0.62, "extend_stride": 0.2},
        {"temperature": 0.0, "use_sampling": True},
    ],
)
def test_a_held_musicgen_composes_what_it_would_alone(held, settings, monkeypatch):
    monkeypatch.setattr(held, "max_duration", 0.5)
    held.set_generation_params(**{"duration": 0.4, "use_sampling": False, "extend_stride": 0.3, **settings})
    params = dict(held.generation_params)
    _, codes = held.generate(["happy music"], return_tokens=True)
    extractor = ActivationExtractor(held)
    wav, own = extractor.generate(["happy music"], return_tokens=True)
    assert torch.equal(own, codes)
    assert torch.equal(extractor.codes, codes)
    assert wav.shape == (1, codes.shape[-1] * 32)
    assert held.generation_params == params


@pytest.mark.parametrize(
    ("setting", "value"), [("temperature", 0.3), ("top_k", 2), ("top_p", 0.3), ("cfg_coef", 7.0)]
)
def test_what_is_set_on_the_model_holds_unless_an_argument_says_otherwise(held, setting, value):
    extractor = ActivationExtractor(held)
    extractor.generate(["happy music"], **{setting: value})
    by_argument = extractor.codes
    held.set_generation_params(duration=0.4, **{setting: value})
    extractor.generate(["happy music"])
    assert torch.equal(extractor.codes, by_argument)
    held.set_generation_params(duration=0.4)
    extractor.generate(["happy music"])
    assert not torch.equal(extractor.codes, by_argument)


def test_the_arguments_of_audiocraft_are_understood(held, capsys):
    extractor = ActivationExtractor(held)
    extractor.generate(["happy music"])
    codes = extractor.codes
    assert capsys.readouterr().out == ""
    for arguments, named in (
        ((["happy music"], True), {}),
        ((["happy music"], True, True), {}),
        ((), {"descriptions": ["happy music"], "progress": True}),
        ((["happy music"],), {"progress": True, "return_tokens": False, "cfg_coef": 3, "seeds": [0]}),
    ):
        returned = extractor.generate(*arguments, **named)
        assert "23 /     23" in capsys.readouterr().out
        assert torch.equal(extractor.codes, codes)
        assert isinstance(returned, tuple) is (len(arguments) == 3)
    extractor.set_generation_params(duration=0.2, cfg_coef=5.0)
    assert (held.duration, held.generation_params["cfg_coef"]) == (0.2, 5.0)
    extractor.generate(["happy music"])
    assert extractor.timeline.n_steps == 13


def test_a_custom_progress_callback_is_called(held):
    steps = []
    held.set_custom_progress_callback(lambda done, total: steps.append((done, total)))
    try:
        ActivationExtractor(held).generate(["happy music"], progress=True)
    finally:
        held.set_custom_progress_callback(None)
    assert steps[-1] == (23, 23)


def test_a_model_loaded_by_name_composes_five_seconds(tiny_model):
    assert tiny_model.settings == GenerationSettings()
    assert GenerationSettings().duration == 5


def test_music_without_a_text_runs_one_branch(held):
    held.set_generation_params(duration=0.4, use_sampling=False)
    _, codes = held.generate_unconditional(2, return_tokens=True)
    extractor = ActivationExtractor(held)
    _, own = extractor.generate_unconditional(2, return_tokens=True)
    assert torch.equal(own, codes)
    assert extractor.branches == ("uncond",)
    states = extractor.get_activations()["layer_2"]
    assert states.shape == (23, 1, 2, 32)
    assert states.branches == ("uncond",)
    extractor.replay([None])
    both = extractor.get_activations()["layer_2"]
    for branch in (0, 1):
        torch.testing.assert_close(both[:, branch], states[:, 0], rtol=1e-4, atol=1e-5)


def test_repetitions_of_a_text_are_not_one_clip(held):
    extractor = ActivationExtractor(held)
    extractor.generate([None, "happy music", None, "sad music", "happy music"])
    by_default = extractor.codes
    extractor.generate([None, "happy music", None, "sad music", "happy music"], seeds=[0, 0, 1, 0, 1])
    assert torch.equal(extractor.codes, by_default)
    assert not torch.equal(by_default[0], by_default[2])
    # A text beside none runs both branches, which are one where there is no text.
    assert extractor.branches == ("cond", "uncond")
    states = extractor.get_activations()["layer_2"]
    torch.testing.assert_close(states[:, 0, 0], states[:, 1, 0])
    assert (states[:, 0, 1] - states[:, 1, 1]).abs().max() > 1e-3


def test_audio_is_continued_as_audiocraft_does(held):
    held.set_generation_params(duration=0.4, use_sampling=False)
    wave = 0.1 * torch.randn(2, 1, 320, generator=torch.Generator().manual_seed(0))
    _, codes = held.generate_continuation(wave, 1600, ["happy music", "sad music"], return_tokens=True)
    extractor = ActivationExtractor(held)
    _, own = extractor.generate_continuation(wave.numpy(), 1600, ["happy music", "sad music"], False, True)
    assert torch.equal(own, codes)
    extractor.generate_continuation(wave[0], 1600)
    _, codes = held.generate_continuation(wave[0], 1600, return_tokens=True)
    assert torch.equal(extractor.codes, codes)
    assert extractor.branches == ("uncond",)


def test_two_threads_compose_what_they_would_alone(tiny_checkpoint):
    models = [load_model(tiny_checkpoint, device="cpu") for _ in range(2)]
    alone = [models[0].generate([text], [seed], 0.6).codes for text, seed in zip(TEXTS, (1, 2), strict=False)]
    made = {}

    def compose(i, model):
        extractor = ActivationExtractor(model)
        for n in range(3):
            extractor.generate([TEXTS[i]], seeds=[i + 1], duration=0.6)
            made[i, n] = extractor.codes, extractor.get_activations()["layer_2"].shape

    # Two models at a time, then two threads that share one.
    for pair in (models, models[:1] * 2):
        made.clear()
        threads = [threading.Thread(target=compose, args=one) for one in enumerate(pair)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 6
        for (i, _), (codes, shape) in made.items():
            assert torch.equal(codes, alone[i])
            assert shape == (33, 2, 1, 32)


def test_audiocraft_draws_from_torch_after_an_extractor_has_run(held):
    held.set_generation_params(duration=0.4, top_k=5)
    torch.manual_seed(3)
    _, before = held.generate(["happy music"], return_tokens=True)
    ActivationExtractor(held).generate(["happy music"])
    torch.manual_seed(3)
    _, after = held.generate(["happy music"], return_tokens=True)
    assert torch.equal(before, after)
    _, later = held.generate(["happy music"], return_tokens=True)
    assert not torch.equal(later, after)


def test_melody_audio_is_refused(held):
    with pytest.raises(InputError, match="melody audio is not supported"):
        ActivationExtractor(held).generate_with_chroma(["happy music"], torch.zeros(1, 1, 320), 1600)


def test_a_model_in_train_mode_is_run_in_eval_mode(held):
    extractor = ActivationExtractor(held)
    extractor.generate(["happy music"])
    codes, states = extractor.codes, extractor.get_activations()["layer_2"]
    held.lm.train()
    try:
        extractor.generate(["happy music"])
        assert torch.equal(extractor.codes, codes)
        extractor.replay(["happy music"])
        torch.testing.assert_close(extractor.get_activations()["layer_2"], states, rtol=1e-4, atol=1e-5)
        assert all(module.training for module in held.lm.transformer.modules())
    finally:
        held.lm.eval()


def test_replayed_codes_have_the_windows_of_a_generation(tiny_model, short_window):
    extractor = ActivationExtractor(short_window)
    extractor.generate(TEXTS[:1], duration=1.0)
    codes, captured = extractor.codes, extractor.get_activations()
    other = ActivationExtractor(short_window)
    other.generate(TEXTS[1:2], duration=0.3)  # its timeline is of no use
    other.replay(TEXTS[:1], codes=codes.numpy())
    assert other.timeline == extractor.timeline
    assert_same(captured, other.get_activations())
    assert len(tiny_model.timeline(33).windows) == 2


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


def test_windows_are_those_of_audiocraft(short_window, held):
    musicgen = held
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


CODES = np.zeros((1, 4, 20), int)


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        (["a", "b"], {"codes": CODES}, r"codes: codes of shape \(1, 4, 20\) are not 2 samples"),
        (["a"], {"codes": CODES[:, :3]}, r"are not some samples × 4 codebooks"),
        (["a"], {"codes": CODES + 16}, r"codes from 16 to 16 are not within the model's 0 to 15"),
        (["a"], {"codes": CODES - 1}, "codes from -1 to -1"),
        (["a"], {"codes": CODES * np.nan}, r"codes are torch\.float64; give integers"),
        (["a"], {"codes": CODES[..., :0]}, "at least 0, at most|above 0 and at most 600"),
        (["a"], {"codes": "x"}, "a str is no array of codes"),
        (["a"], {"codes": CODES, "guidance": np.inf}, r"guidance \(cfg_coef\): inf is not allowed"),
        (["a"], {"codes": CODES, "timeline": 3}, "a int is no innerear"),
        ("a", {"codes": CODES}, "one text; give a list"),
        ([3], {"codes": CODES}, "prompt 0: 3 is no text"),
    ],
)
def test_replay_refuses(tiny_model, prompts, options, message):
    with pytest.raises(InputError, match=message) as refusal:
        ActivationExtractor(tiny_model).replay(prompts, **options)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 1e-40}, "temperature: 1e-40 is not allowed; give a number at least 0.01"),
        ({"temperature": 0}, r"temperature: 0 is not allowed.*use_sampling=False"),
        ({"temperature": None}, "temperature: None is not allowed"),
        ({"guidance": float("nan")}, r"guidance \(cfg_coef\): nan is not allowed; give a number at least 0"),
        ({"cfg_coef": "3"}, r"guidance \(cfg_coef\): '3' is not allowed"),
        ({"cfg_coef": 3, "guidance": 3}, "cfg_coef and guidance are both given"),
        ({"top_p": 1.5}, "top_p: 1.5 is not allowed; give a number at least 0 and at most 1"),
        ({"top_k": 2.5}, "top_k: 2.5 is not allowed; give a whole number"),
        ({"top_k": 10**30}, "whole number from 0 to 1000000"),
        ({"duration": "3"}, "duration: '3' is not allowed; give a number above 0 and at most 600"),
        ({"duration": float("inf")}, "duration: inf is not allowed"),
        ({"duration": 1e-40}, "holds no codec frame"),
        ({"stride": 1.0}, "stride: 1.0 is not allowed"),
        ({"extend_stride": 30}, "extend_stride: 30 is not allowed; give a number above 0 and below 30"),
        ({"use_sampling": "no"}, "use_sampling: 'no' is not allowed; give True or False"),
        ({"two_step": 2}, r"two_step \(two_step_cfg\): 2 is not allowed"),
        (
            {"seeds": [2**32]},
            "seeds, entry 0: 4294967296 is not allowed; give a whole number from 0 to 42949",
        ),
        ({"seeds": [-1]}, "seeds, entry 0: -1"),
        ({"seeds": [True]}, "seeds, entry 0: True"),
        ({"seeds": [0.5]}, "seeds, entry 0: 0.5"),
        ({"seeds": 7}, "seeds: 7 is no list"),
        ({"seeds": [1, 2]}, "1 prompts and 2 seeds"),
        ({"given": CODES}, "20 frames are given, of a clip of 20"),
        ({"given": CODES + 99}, "given: codes from 99 to 99"),
        ({"given": CODES[0]}, "given: codes of shape"),
        ({"progress": "yes"}, "progress: 'yes' is not allowed; give True, False or a function"),
        ({"tempreature": 1.0}, r"'tempreature' is no setting \(did you mean 'temperature'\?\)"),
        ({"descriptions": ["sad music"]}, "prompts and descriptions are both given"),
        ({"return_tokens": "no"}, "return_tokens: 'no' is not allowed; give True or False"),
    ],
)
def test_every_wrong_argument_is_one_line_that_names_it(tiny_model, options, message):
    extractor = ActivationExtractor(tiny_model)
    with pytest.raises(InputError, match=message) as refusal:
        extractor.generate(["happy music"], **{"duration": 0.4, **options})
    assert "\n" not in str(refusal.value)
    assert not any(block._forward_hooks for block in tiny_model.modules("residual"))


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ("happy music", "one text; give a list of texts"),
        ([], "0 prompts"),
        (None, "None is no list of texts"),
        ([""], "prompt 0 is empty"),
        (["happy music", 5], "prompt 1: 5 is no text"),
        ([b"happy"], "is no text"),
        ({"happy": 1}, "is no list of texts"),
        (["\ud800"], r"prompt 0: .* holds the character U\+D800"),
        (["happy", "sa\0d"], r"prompt 1: .* holds the character U\+0000"),
    ],
)
def test_prompts_that_are_no_texts_are_refused(tiny_model, prompts, message):
    with pytest.raises(InputError, match=message):
        ActivationExtractor(tiny_model).generate(prompts, duration=0.4)


def test_numbers_of_any_library_are_numbers(tiny_model):
    extractor = ActivationExtractor(tiny_model)
    extractor.generate(["happy music"], seeds=[7], duration=0.4, guidance=2.0, top_k=5, given=CODES[..., :2])
    plain = extractor.codes
    extractor.generate(
        np.array(["happy music"]),
        seeds=np.array([7]),
        duration=np.float32(0.4),
        guidance=torch.tensor(2.0),
        top_k=5.0,
        use_sampling=np.bool_(True),
        given=torch.zeros(1, 4, 2, dtype=torch.int32),
    )
    assert torch.equal(extractor.codes, plain)


def test_seeds_up_to_32_bits_are_different_clips(tiny_model):
    seeds = [0, 7, 2**31, 2**32 - 1]
    codes = tiny_model.generate(["happy music"] * 4, seeds, 0.4).codes
    assert len({one.numpy().tobytes() for one in codes}) == 4


@pytest.mark.parametrize(
    ("layers", "chosen"),
    [
        (1, [1]),
        ("0-1", [0, 1]),
        ("2", [2]),
        ("all", [0, 1, 2]),
        (None, [0, 1, 2]),
        (np.array([2, 0]), [0, 2]),
        (torch.tensor([1]), [1]),
        (np.int64(2), [2]),
        (range(2), [0, 1]),
    ],
)
def test_layers_are_named_in_any_way(tiny_model, layers, chosen):
    assert ActivationExtractor(tiny_model, layers=layers).layers == chosen


@pytest.mark.parametrize(
    "layers",
    [3, -1, True, 1.0, [1.5], [None], ["1"], "1-7", "2-0", "one", "0-30000", {}, b"1", float("nan"), [1, 1]],
)
def test_layers_that_are_not_there_are_refused(tiny_model, layers):
    with pytest.raises(InputError, match="layers: "):
        ActivationExtractor(tiny_model, layers=layers)


@pytest.mark.parametrize("sites", ["residual", None, 5, [5], [["mlp"]], ["mpl"], ["mlp", "mlp"], []])
def test_sites_that_are_not_there_are_refused(tiny_model, sites):
    with pytest.raises(InputError, match="sites: "):
        ActivationExtractor(tiny_model, sites=sites)


@pytest.mark.parametrize(
    "options",
    [
        {"prompt": "x"},
        {"prompt": np.zeros(9)},
        {"prompt": np.full((1, 1, 9), np.nan)},
        {"prompt": np.zeros((1, 1, 320), np.int16)},  # 16-bit samples, which are no sound within ±1
        {"prompt": np.zeros((1, 1, 320), np.complex64)},
        {"prompt": np.full((1, 1, 320), 32_000.0)},
        {"prompt_sample_rate": 0},
        {"prompt_sample_rate": "x"},
        {"descriptions": ["a", "b"]},
    ],
)
def test_continuation_refuses(tiny_model, options):
    arguments = {"prompt": np.zeros((1, 1, 320), np.float32), "prompt_sample_rate": 1600, **options}
    with pytest.raises(InputError):
        ActivationExtractor(tiny_model).generate_continuation(**arguments)
