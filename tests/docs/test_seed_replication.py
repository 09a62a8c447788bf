"""The script behind seed_replication.md: its parts add up, and each correction removes what it names."""

import importlib.util
import sys

import numpy as np
import pytest
import torch

from .conftest import ROOT

N_SEEDS, S, D = 3, 5, 400


@pytest.fixture(scope="module")
def script():
    """docs/seed_replication.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("seed_replication", ROOT / "docs/seed_replication.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def clips(script):
    """Two layers of clips of four emotions, without a level: noise, and twice as much that all share."""
    rng = np.random.default_rng(0)
    emotions, seeds = np.repeat(script.EMOTIONS, N_SEEDS), np.tile(np.arange(N_SEEDS), 4)
    states = 2 * rng.normal(size=(2, 1, 1, S, D)) + rng.normal(size=(2, len(seeds), 2, S, D))
    states -= states.mean(axis=-1, keepdims=True)
    return script.Clips("planted", [0, 1], states, emotions, seeds)


def with_constant(script, clips, constant):
    return script.Clips("planted", clips.layers, clips.states + constant, clips.emotions, clips.seeds)


def test_parts_add_up_to_the_raw_cosine(script, clips):
    offset = with_constant(script, clips, -9.8)
    cond_alone = script.summary(offset, 1)["cond alone"]
    assert script.parts(offset, 1).sum() == pytest.approx(cond_alone, abs=1e-12)


def test_parts_are_the_shares_of_what_was_planted(script, clips):
    constant, shared, own = script.parts(with_constant(script, clips, -3.0), 0)
    squared = 9 + 4 + 1
    assert constant == pytest.approx(9 / squared, abs=0.03)
    assert shared == pytest.approx(4 / squared, abs=0.03)
    assert own == pytest.approx(0, abs=0.01)


def test_a_constant_changes_no_cosine_once_the_mean_over_units_is_removed(script, clips):
    plain, offset = script.summary(clips, 0), script.summary(with_constant(script, clips, -9.8), 0)
    for name in (*script.CORRECTIONS[3:], script.WITHIN):
        assert offset[name] == pytest.approx(plain[name], abs=1e-9)
    for name in script.CORRECTIONS[:3]:
        assert offset[name] > 0.98
        assert plain[name] == pytest.approx(0.8, abs=0.03)


def test_clips_without_an_emotion_have_nothing_left(script, clips):
    assert script.summary(clips, 0)[script.CORRECTIONS[-1]] == pytest.approx(0, abs=0.08)


def test_clips_of_one_seed_are_no_pair(clips):
    pairs = clips.pairs
    assert pairs["happy, sad"].sum() == N_SEEDS * (N_SEEDS - 1)
    assert not any(mask[clips.seeds[:, None] == clips.seeds].any() for mask in pairs.values())


def test_the_published_file_and_an_array_of_its_states_are_read_alike(script, tmp_path):
    states = torch.randn(4, 5, 2, 8)  # [N, L, C, D]
    layers = (0, 6, 12, 18, 24)
    named = [{f"layer_{number}": clip[i, :, None] for i, number in enumerate(layers)} for clip in states]
    labels = [{"prompt": "a text", "label": emotion} for emotion in script.EMOTIONS]
    torch.save({"activations": named, "metadata": labels}, tmp_path / "published.pt")
    arrays = {"states": states.numpy(), "layers": layers, "emotions": script.EMOTIONS}
    np.savez(tmp_path / "published.npz", **arrays)
    of_file, of_array = (script.published_clips(tmp_path / f"published.{kind}") for kind in ("pt", "npz"))
    np.testing.assert_array_equal(of_file.states, of_array.states)
    assert of_file.states.shape == (5, 4, 2, 1, 8)
    assert list(of_file.layers) == list(of_array.layers) == list(layers)
    assert list(of_file.emotions) == list(of_array.emotions) == list(script.EMOTIONS)
    assert "all steps" not in script.summary(of_file, 2)


def test_the_figure_names_models_pairs_and_steps(script, clips):
    figure = script.draw([clips, with_constant(script, clips, -9.8)])
    assert [axes.get_title() for axes in figure.axes] == ["planted\n6 pairs, 5 steps"] * 2
    lines = figure.axes[1].get_lines()
    np.testing.assert_allclose(
        lines[2].get_ydata(),
        [script.summary(with_constant(script, clips, -9.8), layer)["cond alone"] for layer in (0, 1)],
    )
