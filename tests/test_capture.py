"""Capture hears every step of every layer, tells the branches apart, and leaves no hook behind."""

import numpy as np
import pytest
import torch
from torch import nn

from innerear.capture import ActivationExtractor, capture
from innerear.errors import InputError


class Block(nn.Module):
    """Adds one; its output [rows, 1, D] counts the layers passed."""

    def forward(self, x):
        return x + 1


def two_branches(n_rows, n_samples):
    if n_rows == 2 * n_samples:
        return {"cond": slice(0, n_samples), "uncond": slice(n_samples, None)}
    return {"cond": slice(0, n_samples)}


def run(blocks, inputs):
    """Pass inputs [S, rows, D] through the blocks step by step."""
    for step in inputs:
        x = step[:, None]
        for block in blocks:
            x = block(x)


def hooks(blocks):
    return sum(len(block._forward_hooks) for block in blocks)


@pytest.mark.parametrize("n_steps", [1, 5, 64, 65, 200])
def test_every_step_of_every_layer_is_kept(n_steps):
    blocks = [Block() for _ in range(3)]
    inputs = torch.randn(n_steps, 4, 7)  # two samples, two branches
    with capture(blocks, two_branches, n_samples=2, n_steps=n_steps) as recording, recording.run([0, 1]):
        run(blocks, inputs)
    assert recording.branches == ("cond", "uncond")
    for layer in range(3):
        # [S, C·B, D] -> [S, C, B, D]
        expected = (inputs + layer + 1).reshape(n_steps, 2, 2, 7)
        torch.testing.assert_close(recording.all(layer), expected)
        torch.testing.assert_close(recording.sample(layer, 1), expected[:, :, 1].transpose(0, 1))


def test_without_guidance_there_is_one_branch():
    blocks = [Block()]
    with capture(blocks, two_branches, n_samples=2, n_steps=3) as recording, recording.run([0, 1]):
        run(blocks, torch.randn(3, 2, 7))
    assert recording.branches == ("cond",)
    assert recording.all(0).shape == (3, 1, 2, 7)


def test_runs_over_some_of_the_samples_land_in_their_places():
    blocks = [Block()]
    inputs = torch.randn(3, 6, 7)
    with capture(blocks, two_branches, n_samples=3, n_steps=3) as recording:
        with recording.run([2]):
            run(blocks, inputs[:, [2, 5]])
        with recording.run([0, 1]):
            run(blocks, inputs[:, [0, 1, 3, 4]])
    torch.testing.assert_close(recording.all(0), (inputs + 1).reshape(3, 2, 3, 7))


def test_an_aborted_run_can_be_repeated():
    blocks = [Block()]
    inputs = torch.randn(3, 2, 7)
    with capture(blocks, two_branches, n_samples=1, n_steps=3) as recording:
        with pytest.raises(MemoryError), recording.run([0]):
            run(blocks, inputs[:2])
            raise MemoryError
        with recording.run([0]):
            run(blocks, inputs)
    torch.testing.assert_close(recording.all(0)[:, :, 0], inputs + 1)


def test_hooks_are_gone_after_an_exception():
    blocks = [Block() for _ in range(3)]
    with pytest.raises(ZeroDivisionError), capture(blocks, two_branches, n_samples=1, n_steps=3):
        assert hooks(blocks) == 3
        raise ZeroDivisionError
    assert hooks(blocks) == 0


def test_only_the_chosen_layers_are_hooked():
    blocks = [Block() for _ in range(4)]
    with capture(blocks, two_branches, n_samples=1, n_steps=3, layers=[3, 1]) as recording:
        assert hooks(blocks) == 2
        assert recording.layers == [1, 3]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"layers": [0, 4]}, "no layer 4; its layers are 0 to 3"),
        ({"layers": [-1]}, "no layer -1"),
        ({"layers": []}, "empty"),
        ({"layers": [1, 1]}, "named 2 times"),
        ({"sites": ["residul"]}, "did you mean 'residual'"),
        ({"sites": "residual"}, "no list"),
    ],
)
def test_unknown_layers_and_sites_are_refused_before_generation(choice, message):
    blocks = [Block() for _ in range(4)]
    with (
        pytest.raises(InputError, match=message),
        capture(blocks, two_branches, n_samples=1, n_steps=3, **choice),
    ):
        pass
    assert hooks(blocks) == 0


def test_a_call_of_several_positions_is_no_step():
    block = Block()
    with (
        pytest.raises(InputError, match="layer 0 read 17 positions in one call"),
        capture([block], two_branches, n_samples=1, n_steps=3) as recording,
        recording.run([0]),
    ):
        block(torch.randn(2, 17, 7))


@pytest.mark.parametrize(
    ("n_calls", "message"), [(2, "ran 2 times in a clip of 3"), (4, "more often than the 3 steps")]
)
def test_too_few_or_too_many_steps_are_refused(n_calls, message):
    block = Block()
    with (
        pytest.raises(InputError, match=message),
        capture([block], two_branches, n_samples=1, n_steps=3) as recording,
        recording.run([0]),
    ):
        run([block], torch.randn(n_calls, 2, 7))


# With a MusicGen


def test_extractor_hears_s_steps_and_two_branches(tiny_model):
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
    with pytest.raises(InputError, match="Block is not a MusicGen"):
        ActivationExtractor(Block())


def test_steps_differ_which_is_the_bug_this_began_with(tiny_model):
    extractor = ActivationExtractor(tiny_model)
    extractor.generate(["happy music"], seeds=[1], duration=0.4)
    for states in extractor.get_activations().values():
        assert (states.std(dim=0).amax(dim=-1) > 0).all()


def test_branch_order_and_replay(tiny_model):
    """A teacher-forced pass over the finished tokens, text by text, gives the captured states."""
    extractor = ActivationExtractor(tiny_model)
    extractor.generate(["happy music", "sad music"], seeds=[3, 4], duration=0.4)
    lm = tiny_model.musicgen.lm
    pattern = lm.pattern_provider.get_pattern(20)
    sequence, _, _ = pattern.build_pattern_sequence(extractor.codes, lm.special_token_id)
    sequence = sequence[..., :-1]  # the last position is predicted, never read
    for branch, texts in enumerate((["happy music", "sad music"], ["", ""])):
        attributes, _ = tiny_model.musicgen._prepare_tokens_and_attributes(texts, None)
        heard = []
        handles = [
            block.register_forward_hook(lambda module, inputs, output, heard=heard: heard.append(output))
            for block in tiny_model.blocks()
        ]
        with torch.no_grad():
            conditions = lm.condition_provider(lm.condition_provider.tokenize(attributes))
            lm(sequence, [], conditions)
        for handle in handles:
            handle.remove()
        for layer, replayed in enumerate(heard):  # [B, S, D]
            captured = extractor.get_activations()[f"layer_{layer}"][:, branch].transpose(0, 1)
            torch.testing.assert_close(captured, replayed, rtol=1e-4, atol=1e-5)


def test_uncond_knows_neither_prompt_nor_seed_at_step_0(tiny_model):
    extractor = ActivationExtractor(tiny_model)
    extractor.generate(["happy music", "happy music", "sad music"], seeds=[1, 2, 1], duration=0.4)
    for states in extractor.get_activations().values():
        cond, uncond = states[0].numpy()
        np.testing.assert_allclose(uncond[1:], uncond[:1].repeat(2, 0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(cond[1], cond[0], rtol=1e-5, atol=1e-6)
        assert np.abs(cond[2] - cond[0]).max() > 1e-3
