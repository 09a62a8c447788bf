"""Texts of several lengths in one batch are read as if each were alone."""

import pytest
import torch

from innerear.capture.hooks import capture
from innerear.models import audiocraft, decoder
from innerear.models.texts import attention_on, masked, read_texts

SHORT, LONG = "happy music", "energetic music with a slow piano solo and the guitar"


def states_of(model, texts, **settings):
    modules = {"residual": model.modules("residual")}
    n_steps = model.timeline(0.4).n_steps
    with capture(modules, n_steps=n_steps, pre_norm=True) as recording:
        made = model.generate(texts, range(len(texts)), 0.4, observe=recording.run, **settings)
    return made.codes, recording.all("residual", model.n_layers - 1)


@pytest.mark.parametrize("settings", [{}, {"two_step": True}, {"guidance": None}])
def test_a_short_text_beside_a_long_one_gives_the_states_it_gives_alone(tiny_model, settings):
    codes, states = states_of(tiny_model, [SHORT, LONG, None], **settings)
    alone, expected = states_of(tiny_model, [SHORT], **settings)
    assert torch.equal(codes[:1], alone)
    torch.testing.assert_close(states[:, :, :1], expected, rtol=1e-5, atol=1e-6)


def test_replayed_together_or_alone_a_clip_is_as_likely(tiny_model):
    texts, timeline = [SHORT, LONG, None], tiny_model.timeline(0.4)
    codes = tiny_model.generate(texts, [0, 1, 2], 0.4).codes
    together = tiny_model.replay(codes, texts, timeline)
    for i, text in enumerate(texts):
        alone = tiny_model.replay(codes[i : i + 1], [text], timeline)
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("on", ["cuda", "cpu"])
def test_on_a_gpu_all_that_reads_texts_keeps_to_kernels_that_take_masks(tiny_model, monkeypatch, on):
    for module in (audiocraft, decoder):
        monkeypatch.setattr(module, "attention_on", lambda device: attention_on(torch.device(on)))
    # Torch's own notes of what is allowed; a CPU does not read the one of cuDNN.
    allowed, before = torch.backends.cuda.cudnn_sdp_enabled, torch.backends.cuda.cudnn_sdp_enabled()
    found, texts, timeline = [], [SHORT, LONG], tiny_model.timeline(0.1)
    attention = torch.nn.functional.scaled_dot_product_attention

    def noted(*how, **more):
        found.append(allowed())
        return attention(*how, **more)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", noted)
    for way in ("audiocraft", "static"):
        codes = tiny_model.generate(texts, [0, 1], 0.1, decoder=way).codes
        tiny_model.replay(codes, texts, timeline)
        assert set(found) == {before and on == "cpu"}
        found.clear()
    assert allowed() == before


def test_without_the_mask_padding_would_dilute_the_text(tiny_model):
    with torch.no_grad():
        read = read_texts(tiny_model.musicgen, [SHORT, LONG])
        assert read.open is not None
        assert read.open.sum(dim=1).tolist() == [
            read.open[0].sum(),
            read.conditions["description"][0].shape[1],
        ]
        lm, sequence = tiny_model.musicgen.lm, torch.zeros(2, 4, 3, dtype=torch.long)
        with masked(lm, read.open):
            own = lm(sequence, [], read.conditions)
        diluted = lm(sequence, [], read.conditions)
    torch.testing.assert_close(own[1], diluted[1])
    assert (own[0] - diluted[0]).abs().max() > 1e-3


def test_equal_lengths_need_no_mask_but_in_half_precision_every_row_has_one(tiny_model):
    with torch.no_grad():
        assert read_texts(tiny_model.musicgen, [SHORT, "calm music", None]).open is None
        half = read_texts(tiny_model.musicgen, [SHORT, LONG, None], half=True).open
    assert half is not None
    assert half.shape[1] % 16 == 0
    assert half[2].all()  # a row of zeros may attend to all of them; to none, it would be NaN
