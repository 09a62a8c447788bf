"""Splices: what they leave alone stays, hooks go, and guidance multiplies what differs between branches."""

import numpy as np
import pytest
import torch
from fake_dictionaries import drawn

from innerear.errors import InputError
from innerear.features.measures import Components
from innerear.features.splice import cost_rows, edits, splice_costs, spliced, unigram_nats
from innerear.models.base import Pass


def base_and_delta(d_model):
    return (drawn(d_model, 64, 4, seed=seed) for seed in (0, 1))


def of(d_model):
    tokens = np.random.default_rng(0).normal(size=(200, d_model)).astype(np.float32)
    return edits(*base_and_delta(d_model), Components(tokens, 4))


@pytest.fixture(scope="module")
def clip(tiny_model):
    timeline = tiny_model.timeline(0.4)
    codes = torch.from_numpy(np.random.default_rng(0).integers(0, 16, (2, 4, timeline.n_frames)))
    return codes, ["a", "a"], timeline


def test_an_identity_changes_no_bit_and_the_hook_goes(tiny_model, clip):
    codes, texts, timeline = clip
    clean = tiny_model.replay(codes, texts, timeline)
    with spliced(tiny_model, 1, lambda cond, uncond: (cond, uncond), timeline) as observe:
        same = tiny_model.replay(codes, texts, timeline, observe=observe)
    assert torch.equal(clean, same)
    with (
        pytest.raises(RuntimeError, match="stop"),
        spliced(tiny_model, 1, lambda cond, uncond: 1 / 0, timeline),
    ):
        raise RuntimeError("stop")
    assert torch.equal(clean, tiny_model.replay(codes, texts, timeline))
    assert not any(module._forward_hooks for module in tiny_model.modules("residual"))


def test_only_complete_steps_are_edited_and_levels_stay(tiny_model, clip):
    codes, texts, timeline = clip
    before, after = [], []
    block = tiny_model.modules("residual")[1]
    for kept, edit in ((before, None), (after, lambda cond, uncond: (cond * 0, uncond + 1))):
        with spliced(tiny_model, 1, edit or (lambda cond, uncond: (cond, uncond)), timeline) as observe:
            handle = block.register_forward_hook(lambda m, i, out, kept=kept: kept.append(out.clone()))
            tiny_model.replay(codes, texts, timeline, observe=observe)
            handle.remove()
    (raw,), (edited,) = before, after
    pads = ~torch.from_numpy(timeline.complete)
    assert torch.equal(raw[:, pads], edited[:, pads])
    torch.testing.assert_close(edited.mean(dim=-1), raw.mean(dim=-1))
    of_cond = edited[:2, ~pads] - edited[:2, ~pads].mean(dim=-1, keepdim=True)
    assert of_cond.abs().max() < 1e-5
    # What is added to all units alike is a level, which the model does not read.
    torch.testing.assert_close(edited[2:], raw[2:])


def test_shared_errors_stay_and_independent_ones_grow_under_guidance():
    rng, g = np.random.default_rng(0), 3.0
    cond, uncond = (torch.from_numpy(rng.normal(size=(4000, 16)).astype(np.float32)) for _ in range(2))
    names = of(16)
    base, _ = base_and_delta(16)
    size = (uncond - base.reconstruct(uncond)).square().sum(dim=1).mean().sqrt()
    for name, factor in (("shared noise", 1), ("independent noise", np.sqrt(g**2 + (g - 1) ** 2))):
        c, u = names[name](cond, uncond)
        error = (u + g * (c - u)) - (uncond + g * (cond - uncond))
        assert error.square().sum(dim=1).mean().sqrt() / size == pytest.approx(factor, rel=0.03)


def test_edits_do_to_delta_what_they_say():
    rng = np.random.default_rng(0)
    cond, uncond = (torch.from_numpy(rng.normal(size=(50, 8)).astype(np.float32)) for _ in range(2))
    made = of(8)
    base, delta = base_and_delta(8)
    c, u = made["base + delta"](cond, uncond)
    torch.testing.assert_close(c - u, delta.reconstruct(cond - uncond))
    torch.testing.assert_close(u, base.reconstruct(uncond))
    assert torch.equal(made["cond only"](cond, uncond)[1], uncond)
    lengths = (uncond - base.reconstruct(uncond)).norm(dim=1)
    for name, shared in (("shared noise", True), ("independent noise", False)):
        c, u = made[name](cond, uncond)
        for noise in (c - cond, u - uncond):
            torch.testing.assert_close(noise.norm(dim=1), lengths)
        assert torch.allclose(c - cond, u - uncond, atol=1e-5) == shared
    assert lengths.min() > 0.01


def test_costs_are_rises_over_the_untouched_model(tiny_model, clip):
    codes, texts, timeline = clip
    made = {name: edit for name, edit in of(tiny_model.d_model).items() if name in ("both", "cond only")}
    costs = splice_costs(tiny_model, codes, texts, timeline, {1: made})
    unigram = unigram_nats(codes.numpy(), codes.numpy(), 16)
    table = {(row["edit"], row["distribution"]): row for row in cost_rows(costs, unigram)}
    assert table["none", "guided"]["cost"] == 0 and table["none", "guided"]["n_clips"] == 2
    assert table["cond only", "uncond"]["cost"] == 0
    assert table["both", "uncond"]["cost"] != 0
    expected = costs[1, "both"][:, 2].mean() - costs[-1, "none"][:, 2].mean()
    assert table["both", "guided"]["cost"] == pytest.approx(expected, abs=1e-5)  # float32 nats of order 3


def test_unigrams_count_each_codebook_by_itself():
    codes = np.array([[[0, 0, 0, 0], [0, 1, 0, 1]]])
    assert unigram_nats(codes, codes, 2) == pytest.approx((-np.log(5 / 6) + np.log(2)) / 2)


def test_unigrams_are_those_of_other_clips():
    codes, of_others = np.zeros((1, 1, 4), int), np.array([[[1, 1]], [[1, 1]]])
    # Code 0 was seen in none of 4 tokens, and counts once more, as code 1 does.
    assert unigram_nats(codes, of_others, 2) == pytest.approx(np.log(6))
    assert unigram_nats(of_others, codes, 2) == pytest.approx(np.log(6))


def test_what_is_recovered_lies_between_reading_nothing_and_the_untouched_model():
    clean, edited = np.array([[1.0, 2.0, 5.0], [3.0, 2.0, 7.0]]), np.array([[2.0, 5.0, 9.0], [5.0, 5.0, 9.0]])
    table = cost_rows({(-1, "none"): clean, (0, "both"): edited}, unigram=4.0)
    cond, uncond, guided = (row for row in table if row["edit"] == "both")
    # Untouched they cost 2, 2 and 6 nats; edited 3.5, 5 and 9.
    assert (cond["nats"], cond["cost"], cond["recovered"]) == (3.5, 1.5, 0.25)
    assert cond["cost_sd"] == pytest.approx(np.sqrt(0.5))  # of rises of 1 and 2
    assert (uncond["cost"], uncond["recovered"]) == (3.0, -0.5)  # worse than reading nothing
    assert guided["cost"] == 3.0 and np.isnan(guided["recovered"])  # there was nothing to recover
    assert [row["recovered"] for row in table[:2]] == [1.0, 1.0]


class OneLayer:
    pre_norm = True

    def modules(self, site):
        return [self.module]

    def __init__(self):
        self.module = torch.nn.Identity()


def test_a_single_branch_is_refused(clip):
    model = OneLayer()
    with (
        spliced(model, 0, lambda c, u: (c, u), clip[2]) as observe,
        observe([0], [Pass(1, ("cond",))]),
        pytest.raises(InputError, match="cond and uncond of one call"),
    ):
        model.module(torch.zeros(1, 1, 8))


def test_a_prefix_is_no_step(clip):
    model, raw = OneLayer(), torch.randn(2, 3 + clip[2].n_steps, 8)
    with (
        spliced(model, 0, lambda c, u: (c * 0, u * 0), clip[2]) as observe,
        observe([0], [Pass(clip[2].n_steps, ("cond", "uncond"), prefixed=True)]),
    ):
        edited = model.module(raw)
    changed = (edited != raw).any(dim=-1).any(dim=0)
    assert changed.tolist() == [False] * 3 + clip[2].complete.tolist()
