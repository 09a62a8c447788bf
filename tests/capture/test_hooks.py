"""Capture records every step of every layer, separates the branches, and leaves no hook behind."""

import pytest
import torch
from torch import nn

from innerear.capture.hooks import capture
from innerear.errors import InputError
from innerear.models import Pass

BOTH = ("cond", "uncond")


class Block(nn.Module):
    """Adds one; its output [rows, positions, D] counts the layers passed."""

    def forward(self, x):
        return x + 1


def run(blocks, calls):
    """Pass each call's states [rows, positions, D] through the blocks."""
    for x in calls:
        for block in blocks:
            x = block(x)


def steps(inputs):
    """Turn inputs [S, rows, D] into S calls of one position."""
    return inputs.unsqueeze(2).unbind()


def single(n_steps, branches=BOTH):
    return [Pass(1, branches)] * n_steps


def hooks(blocks):
    return sum(len(block._forward_hooks) + len(block._forward_pre_hooks) for block in blocks)


@pytest.mark.parametrize("n_steps", [1, 5, 64, 65, 200])
def test_every_step_of_every_layer_is_kept(n_steps):
    blocks = [Block() for _ in range(3)]
    inputs = torch.randn(n_steps, 4, 7)  # two samples, two branches
    with (
        capture({"residual": blocks}, n_steps=n_steps, pre_norm=False) as recording,
        recording.run([0, 1], single(n_steps)),
    ):
        run(blocks, steps(inputs))
    assert recording.branches == BOTH
    for layer in range(3):
        # [S, C·B, D] -> [S, C, B, D]
        expected = (inputs + layer + 1).reshape(n_steps, 2, 2, 7)
        torch.testing.assert_close(recording.all("residual", layer), expected)
        of_sample, levels = recording.sample("residual", layer, 1)
        torch.testing.assert_close(of_sample, expected[:, :, 1].transpose(0, 1))
        assert not levels.any()


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 2e-6), (torch.float16, 1e-3)])
def test_the_mean_over_units_of_a_pre_norm_model_is_kept_beside_its_states(dtype, rounding):
    block = Block()
    small = torch.randn(70, 4, 7).to(dtype)
    small -= small.mean(dim=-1, keepdim=True)
    level = torch.linspace(-4, 4, 70)[:, None].expand(70, 4).to(dtype)
    raw = (small + level[..., None]).to(dtype)
    with (
        capture({"residual": [block]}, n_steps=70, pre_norm=True) as recording,
        recording.run([0, 1], single(70)),
    ):
        run([block], steps(raw))
    seen = (raw + 1).float().reshape(70, 2, 2, 7)
    states, (_, levels) = recording.all("residual", 0), recording.sample("residual", 0, 1)
    assert states.dtype == dtype
    torch.testing.assert_close(states.float(), seen - seen.mean(-1, keepdim=True), atol=rounding, rtol=0)
    torch.testing.assert_close(levels, seen[:, :, 1].mean(-1).T, atol=2e-6, rtol=0)
    torch.testing.assert_close(recording.all("residual", 0, raw=True), seen, atol=rounding, rtol=0)


def test_a_row_that_only_fills_the_run_up_is_dropped():
    block = Block()
    inputs = torch.randn(5, 6, 7)  # two samples and one more row, two branches
    with (
        capture({"residual": [block]}, n_steps=5, pre_norm=False) as recording,
        recording.run([1, 0, -1], single(5)),
    ):
        run([block], steps(inputs))
    expected = (inputs + 1).reshape(5, 2, 3, 7)[:, :, [1, 0]]
    torch.testing.assert_close(recording.all("residual", 0), expected)


def test_a_gpu_that_is_not_in_use_is_left_alone(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append(True))
    for in_use in (False, True):
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda in_use=in_use: in_use)
        block = Block()
        with (
            capture({"residual": [block]}, n_steps=3, pre_norm=False) as recording,
            recording.run([0], single(3)),
        ):
            run([block], steps(torch.randn(3, 2, 7)))
        assert waited == [True] * in_use


def test_without_guidance_there_is_one_branch():
    blocks = [Block()]
    with (
        capture({"residual": blocks}, n_steps=3, pre_norm=False) as recording,
        recording.run([0, 1], single(3, ("cond",))),
    ):
        run(blocks, steps(torch.randn(3, 2, 7)))
    assert recording.branches == ("cond",)
    assert recording.all("residual", 0).shape == (3, 1, 2, 7)


@pytest.mark.parametrize("n_steps", [3, 70])
def test_branches_that_run_one_after_the_other_are_separated(n_steps):
    block = Block()
    inputs = torch.randn(n_steps, 2, 2, 7)  # [S, C, B, D]
    passes = [Pass(1, (branch,)) for _ in range(n_steps) for branch in BOTH]
    with (
        capture({"residual": [block]}, n_steps=n_steps, pre_norm=False) as recording,
        recording.run([0, 1], passes),
    ):
        run([block], inputs.reshape(2 * n_steps, 2, 1, 7).unbind())
    assert recording.branches == BOTH
    torch.testing.assert_close(recording.all("residual", 0), inputs + 1)


def test_a_long_first_call_is_as_many_steps_and_a_prefix_is_none():
    block = Block()
    inputs = torch.randn(2, 12, 7)  # 4 positions of prefix, 5 steps at once, 3 steps
    with (
        capture({"residual": [block]}, n_steps=8, pre_norm=False) as recording,
        recording.run([0], [Pass(5, BOTH, prefixed=True), *single(3)]),
    ):
        run([block], [inputs[:, :9], *(inputs[:, [i]] for i in range(9, 12))])
    torch.testing.assert_close(recording.all("residual", 0)[:, :, 0], (inputs[:, 4:] + 1).transpose(0, 1))


def test_sites_are_recorded_where_they_are():
    blocks, parts = [Block(), Block()], [Block(), Block()]
    inputs = torch.randn(3, 2, 7)
    modules = {"input": blocks, "mlp": parts, "residual": blocks}
    with capture(modules, n_steps=3, pre_norm=False, layers=[1]) as recording, recording.run([0], single(3)):
        for x in steps(inputs):
            for block, part in zip(blocks, parts, strict=True):
                x = block(x)
                part(10 * x)
    assert recording.places == [("residual", 1), ("mlp", 1), ("input", 0)]
    torch.testing.assert_close(recording.all("input", 0)[:, :, 0], inputs)
    torch.testing.assert_close(recording.all("residual", 1)[:, :, 0], inputs + 2)
    torch.testing.assert_close(recording.all("mlp", 1)[:, :, 0], 10 * (inputs + 2) + 1)
    assert hooks(blocks + parts) == 0


def test_runs_over_some_of_the_samples_land_in_their_places():
    blocks = [Block()]
    inputs = torch.randn(3, 6, 7)
    with capture({"residual": blocks}, n_steps=3, pre_norm=False) as recording:
        with recording.run([2], single(3)):
            run(blocks, steps(inputs[:, [2, 5]]))
        with recording.run([0, 1], single(3)):
            run(blocks, steps(inputs[:, [0, 1, 3, 4]]))
    torch.testing.assert_close(recording.all("residual", 0), (inputs + 1).reshape(3, 2, 3, 7))


def test_an_aborted_run_can_be_repeated():
    blocks = [Block()]
    inputs = torch.randn(3, 2, 7)
    with capture({"residual": blocks}, n_steps=3, pre_norm=False) as recording:
        with pytest.raises(MemoryError), recording.run([0], single(3)):
            run(blocks, steps(inputs[:2]))
            raise MemoryError
        with recording.run([0], single(3)):
            run(blocks, steps(inputs))
    torch.testing.assert_close(recording.all("residual", 0)[:, :, 0], inputs + 1)


def test_hooks_are_gone_after_an_exception():
    blocks = [Block() for _ in range(3)]
    modules = {"residual": blocks, "input": blocks}
    with pytest.raises(ZeroDivisionError), capture(modules, n_steps=3, pre_norm=False):
        assert hooks(blocks) == 4
        raise ZeroDivisionError
    assert hooks(blocks) == 0


def test_only_the_chosen_layers_are_hooked():
    blocks = [Block() for _ in range(4)]
    with capture({"residual": blocks}, n_steps=3, pre_norm=False, layers=[3, 1]) as recording:
        assert hooks(blocks) == 2
        assert recording.places == [("residual", 1), ("residual", 3)]


@pytest.mark.parametrize(
    ("layers", "site", "message"),
    [
        ([0, 4], "residual", r"\[4\] cannot be captured; the model has the layers 0 to 3"),
        ([-1], "residual", r"\[-1\] cannot be captured"),
        ([], "residual", "no layers cannot be captured"),
        ([1, 1], "residual", r"\[1\] are listed twice"),
        (None, "residul", "did you mean 'residual'"),
    ],
)
def test_unknown_layers_and_sites_are_refused_before_generation(layers, site, message):
    blocks = [Block() for _ in range(4)]
    with (
        pytest.raises(InputError, match=message),
        capture({site: blocks}, n_steps=3, pre_norm=False, layers=layers),
    ):
        pass
    assert hooks(blocks) == 0


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 17, 7), "layer 0, site residual read 17 positions in call 0, not 1"),
        ((6, 1, 7), "ran 6 rows for 1 samples in the branches cond, uncond"),
        ((1, 1, 7), "ran 1 rows"),
    ],
)
def test_a_call_that_was_not_announced_is_refused(shape, message):
    block = Block()
    with (
        pytest.raises(InputError, match=message),
        capture({"residual": [block]}, n_steps=3, pre_norm=False) as recording,
        recording.run([0], single(3)),
    ):
        block(torch.randn(shape))


@pytest.mark.parametrize(
    ("n_calls", "message"), [(2, "ran 2 times in a clip of 3"), (4, "more often than the 3 calls")]
)
def test_too_few_or_too_many_steps_are_refused(n_calls, message):
    block = Block()
    with (
        pytest.raises(InputError, match=message),
        capture({"residual": [block]}, n_steps=3, pre_norm=False) as recording,
        recording.run([0], single(3)),
    ):
        run([block], steps(torch.randn(n_calls, 2, 7)))
