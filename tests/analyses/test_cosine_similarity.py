"""The public cosine similarity: as computed by hand, of one branch, of tensors, and what it refuses."""

import numpy as np
import pytest
import torch

from innerear import cosine_similarity
from innerear.errors import InputError

STEP = np.arange(5)[:, None, None, None]


def activations(seed, n=3):
    return np.random.default_rng(seed).normal(size=(5, 2, n, 8)) + 20


def test_cosine_similarity_by_hand():
    x, y = activations(0), activations(1, n=4)
    raw = cosine_similarity(x, y, branch="uncond", center=False)
    assert raw.shape == (5, 3, 4)
    a, b = x[2, 1, 0], y[2, 1, 3]
    assert raw[2, 0, 3] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert raw.min() > 0.9
    mean = np.concatenate([x[2, 1], y[2, 1]]).mean(axis=0)
    centred = cosine_similarity(x, y, branch="uncond")
    a, b = a - mean, b - mean
    assert centred[2, 0, 3] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    given = cosine_similarity(x, y, branch="uncond", center=np.concatenate([x, y], axis=2)[:, 1].mean(axis=1))
    np.testing.assert_allclose(given, centred)


def test_cosine_similarity_of_delta_and_of_tensors():
    x, y = activations(0), activations(1)
    delta = cosine_similarity(x, y, branch="delta")
    only = np.stack([x[:, 0] - x[:, 1]], axis=1), np.stack([y[:, 0] - y[:, 1]], axis=1)
    np.testing.assert_allclose(delta, cosine_similarity(*only, branch="cond"))
    tensors = torch.tensor(x, requires_grad=True), torch.tensor(y)
    np.testing.assert_allclose(cosine_similarity(*tensors, branch="delta"), delta)


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (activations(0, 1), activations(1, 1), {"center": True}, "−1 by construction"),
        (activations(0)[:, :, :2], None, {}, "−1 by construction"),
        ({"layer_3": activations(0)}, activations(1), {}, "expected numbers"),
        (activations(0).astype(str), activations(1), {}, "expected numbers"),
        (activations(0), activations(1), {"center": np.zeros(8)}, r"mean of shape \(5, 8\)"),
        (activations(0), activations(1), {"center": "yes"}, "give True, False"),
        (activations(0), activations(1)[:4], {}, "4 × 8"),
        (activations(0), activations(1), {"branch": "condition"}, "'condition' is not"),
        (activations(0)[:, :1], activations(1)[:, :1], {"branch": "delta"}, "1 branches"),
        (activations(0)[0], activations(1)[0], {}, "expected"),
        (activations(0, 1), np.where(STEP == 2, np.nan, activations(1, 1)), {}, "states hold NaN"),
        (activations(0, 1), np.where(STEP == 2, np.inf, activations(1, 1)), {}, "infinity"),
        (1e30 * activations(0).astype(np.float32), None, {}, "too large to be multiplied"),
        (activations(0), None, {"center": np.full((5, 8), np.nan)}, "or their mean does"),
        (torch.from_numpy(activations(0)).to_sparse(), None, {}, "expected numbers"),
        (torch.from_numpy(activations(0)).to("meta"), None, {}, "expected numbers"),
    ],
)
def test_cosine_similarity_refuses(x, y, options, message):
    with pytest.raises(InputError, match=message):
        cosine_similarity(x, y, **options)


def test_two_clips_compare_to_one_number():
    x, y = activations(0, 1), activations(1, 1)
    similarity = cosine_similarity(x, y)
    a, b = (values[:, 0, 0] - values[:, 0, 0].mean(axis=1, keepdims=True) for values in (x, y))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    assert similarity == pytest.approx(((a * b).sum(axis=1) / lengths).mean())
    assert f"{similarity:.4f}" == f"{cosine_similarity(y, x):.4f}"
    assert cosine_similarity(x, y + 1000) == pytest.approx(similarity)  # the mean over units is not read
    assert f"{cosine_similarity(x, y, center=False):.2f}" == "1.00"  # as given, with their mean of 20
    assert cosine_similarity(x) == pytest.approx(1)


def test_steps_are_averaged_where_asked():
    x, y = activations(0), activations(1, n=4)
    each = cosine_similarity(x, y)
    np.testing.assert_allclose(cosine_similarity(x, y, average=True), each.mean(axis=0))
    curve = cosine_similarity(x[:, :, :1], y[:, :, :1], average=False)
    assert curve.shape == (5, 1, 1)
    assert curve.mean() == pytest.approx(cosine_similarity(x[:, :, :1], y[:, :, :1]))
    x[0] = 3.0  # a step without direction is left out, not taken for 0
    assert np.isfinite(cosine_similarity(x[:, :, :1], y[:, :, :1]))


def test_activations_say_which_branches_they_have():
    torch = pytest.importorskip("torch")
    x = torch.tensor(activations(0, 1)[:, :1])
    x.branches = ("uncond",)
    assert cosine_similarity(x, x) == cosine_similarity(x, x, branch="uncond") == pytest.approx(1)
    with pytest.raises(InputError, match=r"'cond' is not in activations with 1 branches \(uncond\)"):
        cosine_similarity(x, x, branch="cond")
