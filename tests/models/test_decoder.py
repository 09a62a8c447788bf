"""The static decoder gives audiocraft's tokens and states to the last bit, or says why it does not run."""

import pytest
import torch
from checkpoints import FAMILIES, write_checkpoint

from innerear import ActivationExtractor
from innerear.capture.hooks import capture
from innerear.errors import InputError
from innerear.models import load_model
from innerear.models.refusals import refusals
from innerear.timeline import Timeline

SITES = ("residual", "self_attention", "cross_attention", "mlp", "input")
EQUAL, MIXED = ["happy music", "calm music"], ["happy music", "a slow sad tune on the piano", None]
GIVEN = torch.randint(16, (2, 4, 7), generator=torch.Generator().manual_seed(0))


def run(model, decoder, texts, duration=0.4, **settings):
    given = settings.get("given")
    timeline: Timeline = model.timeline(duration, given=0 if given is None else given.shape[-1])
    modules = {site: model.modules(site) for site in SITES}
    with capture(modules, n_steps=timeline.n_steps, pre_norm=True) as recording:
        made = model.generate(
            texts, range(len(texts)), duration, decoder=decoder, observe=recording.run, **settings
        )
    assert made.decoder == decoder
    return made, recording


def assert_same(model, texts, **settings):
    theirs, expected = run(model, "audiocraft", texts, **settings)
    ours, recording = run(model, "static", texts, **settings)
    assert torch.equal(ours.codes, theirs.codes)
    assert torch.equal(ours.audio, theirs.audio)
    assert recording.branches == expected.branches
    assert len(recording.places) == 4 * model.n_layers + 1
    for site, layer in recording.places:
        for row in range(len(texts)):
            for own, other in zip(
                recording.sample(site, layer, row), expected.sample(site, layer, row), strict=True
            ):
                assert torch.equal(own, other), (site, layer)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_sampling": False},
        {"top_p": 0.7},
        {"top_k": 0, "temperature": 0.7},
        {"guidance": None},
        {"two_step": True},
        {"rows": 3},
        {"given": GIVEN},
        {"given": GIVEN, "two_step": True},
    ],
)
def test_tokens_and_states_are_audiocrafts_to_the_last_bit(tiny_model, settings):
    assert_same(tiny_model, EQUAL, **settings)


@pytest.mark.parametrize("settings", [{}, {"two_step": True}, {"guidance": None}])
def test_also_of_texts_of_several_lengths(tiny_model, settings):
    assert_same(tiny_model, MIXED, **settings)


def test_also_without_a_text_and_of_nano():
    nano = load_model("nano", device="cpu")
    assert_same(nano, [None])
    assert_same(nano, ["the happy theme on a piano"], duration=1)


def test_also_of_windows(tmp_path):
    model = load_model(write_checkpoint(tmp_path / "model", segment=0.5), device="cpu")
    assert len(model.timeline(1.3).windows) > 2
    assert_same(model, EQUAL, duration=1.3)


def test_it_runs_where_nothing_else_is_asked_for(tiny_model):
    assert tiny_model.generate(EQUAL, [0, 1], 0.1).decoder == "static"
    assert tiny_model.generate(EQUAL, [0, 1], 0.1, decoder="audiocraft").decoder == "audiocraft"


def test_what_is_returned_may_be_learned_from(tiny_model):
    extractor = ActivationExtractor(tiny_model, layers=[0])
    extractor.generate(EQUAL, duration=0.1)
    weight = torch.ones((), requires_grad=True)
    (extractor.get_activations()["layer_0"] * weight).sum().backward()
    (tiny_model.generate(EQUAL, [0, 1], 0.1).audio * weight).sum().backward()
    assert weight.grad is not None


@pytest.mark.parametrize(
    ("name", "reason"), [("melody", "conditions other than one text"), ("prepend", "without cross-attention")]
)
def test_prepended_conditions_are_left_to_audiocraft(tmp_path, name, reason):
    known = {"melody": FAMILIES.get("melody", {"melody": True}), "prepend": {"prepend": True}}
    model = load_model(write_checkpoint(tmp_path / "model", **known[name]), device="cpu")
    assert model.generate(EQUAL, [0, 1], 0.1).decoder == "audiocraft"
    with pytest.raises(
        InputError, match=r"generation\.decoder: static does not run .*without cross-attention"
    ):
        model.generate(EQUAL, [0, 1], 0.1, decoder="static")


def test_an_unknown_decoder_is_refused_by_name(tiny_model):
    with pytest.raises(InputError, match=r"'fast' is none of 'tiny'; use auto, static or audiocraft"):
        tiny_model.generate(EQUAL, [0, 1], 0.1, decoder="fast")


@pytest.fixture
def lm(tiny_checkpoint):
    """A language model that a test may change."""
    return load_model(tiny_checkpoint, device="cpu").network


def set_bias(lm):
    lm.linears[1].bias = torch.nn.Parameter(torch.ones(16))


def set_attention(name, value):
    return lambda lm: setattr(lm.transformer.layers[1].self_attn, name, value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lm: lm.half(), "precision"),
        (set_bias, "biases"),
        (set_attention("kv_repeat", 2), "kv_repeat"),
        (set_attention("qk_layer_norm", True), "normalised queries"),
        (set_attention("past_context", 9), "limited past"),
        (set_attention("memory_efficient", False), "not torch's own"),
        (lambda lm: setattr(lm.transformer, "positional_embedding", "rope"), "positions"),
        (lambda lm: setattr(lm.transformer.layers[0], "norm_first", False), "post-norm"),
        (lambda lm: setattr(lm.fuser, "cross_attention_pos_emb", True), "positions in cross-attention"),
        (lambda lm: lm.fuser.fuse2cond.update(sum=["genre"]), "sum: genre"),
        (lambda lm: lm.transformer.layers[2].register_forward_hook(print), "a hook on the network"),
        (lambda lm: lm.emb[0].register_forward_hook(print), "a hook on the network"),
        (lambda lm: lm.register_forward_pre_hook(print), "a hook on the network"),
        (lambda lm: vars(lm.out_norm).update(forward=print), "another class"),
        (lambda lm: lm.transformer.layers.insert(0, torch.nn.Identity()), "layers of another class"),
    ],
)
def test_refusals_name_what_it_does_not_do(lm, change, reason):
    assert refusals(lm) == []
    change(lm)
    assert any(reason in one for one in refusals(lm)), refusals(lm)


def test_layer_scale_is_refused(tmp_path):
    model = load_model(write_checkpoint(tmp_path / "model", layer_scale=0.5), device="cpu")
    assert refusals(model.network) == ["layer scale"]


def test_a_hook_of_someone_else_is_called(tiny_model):
    seen = []
    handle = tiny_model.musicgen.lm.transformer.layers[1].register_forward_hook(
        lambda module, inputs, output: seen.append(output.shape)
    )
    try:
        made = tiny_model.generate(EQUAL, [0, 1], 0.1)
    finally:
        handle.remove()
    assert made.decoder == "audiocraft"
    assert len(seen) == tiny_model.timeline(0.1).n_steps
