"""Tokens are the complete steps, of the branch asked for, whether from memory or from files."""

import numpy as np
import pytest
import torch
from fake_tokens import write_stack

from innerear.errors import InputError
from innerear.features.tokens import Files, layer_tokens
from innerear.features.training import InMemory


@pytest.fixture
def stacks(tmp_path):
    states = np.random.default_rng(0).normal(size=(6, 2, 13, 4)).astype(np.float32)
    paths = [write_stack(tmp_path / f"{i}.h5", one) for i, one in enumerate(states)]
    return paths, states


@pytest.mark.parametrize("branch", ["cond", "uncond", "delta"])
def test_tokens_are_complete_steps(stacks, branch):
    paths, states = stacks
    expected = {"cond": states[:, 0], "uncond": states[:, 1], "delta": states[:, 0] - states[:, 1]}[branch]
    np.testing.assert_array_equal(layer_tokens(paths, 0, [branch])[0], expected[:, 3:10])


def test_files_give_the_tokens_that_memory_gives(stacks):
    paths, states = stacks
    held = InMemory(states[:, 1, 3:10].reshape(-1, 4))
    files = Files(paths, 0, "uncond", memory_gb=1e-7)
    assert files._at_once < len(paths)
    torch.testing.assert_close(files.mean, held.mean)
    assert files.scale == pytest.approx(held.scale)
    assert files.n_tokens == held.n_tokens
    seen, batches = [], files.batches(7, torch.Generator().manual_seed(0))
    for _ in range(6):
        seen.append(next(batches))
    found = np.sort(torch.cat(seen).numpy(), axis=0)
    np.testing.assert_array_equal(found, np.sort(held.tokens.numpy(), axis=0))


def test_branches_are_read_together(stacks):
    paths, states = stacks
    both = layer_tokens(paths, 0, ["uncond", "delta"])
    np.testing.assert_array_equal(both, np.stack([states[:, 1], states[:, 0] - states[:, 1]])[:, :, 3:10])


def test_delta_needs_both_branches(tmp_path):
    path = write_stack(tmp_path / "a.h5", np.ones((1, 13, 4)), branches=("cond",))
    with pytest.raises(InputError, match="no uncond"):
        layer_tokens([path], 0, ["delta"])


def test_clips_of_other_lengths_and_missing_layers_are_refused(tmp_path):
    paths = [write_stack(tmp_path / f"{n}.h5", np.ones((2, n, 4))) for n in (13, 14)]
    with pytest.raises(InputError, match=r"14\.h5 has 14 steps"):
        layer_tokens(paths, 0, ["cond"])
    with pytest.raises(InputError, match="layer_05"):
        layer_tokens(paths[:1], 5, ["cond"])
    short = write_stack(tmp_path / "short.h5", np.ones((2, 4, 4)))
    with pytest.raises(InputError, match="no complete step"):
        layer_tokens([short], 0, ["cond"])
