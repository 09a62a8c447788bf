"""What is derived from the Gram matrices equals what is computed from the features directly."""

import numpy as np
import pytest

from innerear.errors import InputError
from innerear.gram.layer_pass import layer_gram, stacks_gram
from innerear.gram.products import inner_products
from innerear.gram.reading import analysed_cells, cosine, raw_gram, window_products
from innerear.stacks import GramFile, StackWriter
from innerear.timeline import Timeline

N, S, D = 7, 33, 12
COMPLETE = np.r_[np.zeros(3), np.ones(S - 6), np.zeros(3)].astype(bool)


def features(offset=3.0, seed=0, dtype=np.float16):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(N, 2, S, D)) + offset * rng.normal(size=D)).astype(dtype)


def run(x, **options):
    return layer_gram(lambda i, steps: x[i][:, steps], len(x), COMPLETE, **options)


class Windows:
    """What reads windows of an open Gram file."""

    def __init__(self, arrays):
        self.means = arrays["window_mean"][1]

    def read(self, name, branch, window):
        assert name == "window_mean"
        return self.means[branch, window]


def whole_products(arrays):
    """Inner products of the whole clip in every branch, [C, N, N]."""
    return np.stack([window_products(Windows(arrays), branch, 0) for branch in range(3)])


def with_delta(x):
    x = x.astype(float)
    return np.concatenate([x, x[:, :1] - x[:, 1:]], axis=1).transpose(1, 2, 0, 3)  # [C, S, N, D]


def test_gram_equals_direct_products():
    x = features()
    arrays, coords = run(x)
    direct = with_delta(x)
    centred = direct - direct.mean(axis=2, keepdims=True)
    gram = arrays["gram"][1]
    np.testing.assert_allclose(gram, centred @ centred.swapaxes(-1, -2), atol=1e-4)
    raw = raw_gram(gram, arrays["mean_product"][1], arrays["mean_norm"][1])
    np.testing.assert_allclose(raw, direct @ direct.swapaxes(-1, -2), rtol=1e-4, atol=1e-3)
    assert list(coords["branch"]) == ["cond", "uncond", "delta"]


def test_centred_products_survive_an_overwhelming_mean():
    x = features(offset=3000.0, dtype=np.float32)
    gram = run(x)[0]["gram"][1]
    direct = with_delta(x)
    centred = direct - direct.mean(axis=2, keepdims=True)
    exact = centred @ centred.swapaxes(-1, -2)
    # Only the rounding of the stored float32 result remains.
    np.testing.assert_allclose(gram[:2], exact[:2], rtol=1e-6, atol=1e-6)
    # The shortcut that this replaces is off by more than the signal.
    single = direct.astype(np.float32)
    raw = single @ single.swapaxes(-1, -2)
    rows = raw.mean(axis=-1, keepdims=True)
    late = raw - rows - rows.swapaxes(-1, -2) + rows.mean(axis=-2, keepdims=True)
    assert np.abs(late - exact)[:2].max() > 1


@pytest.mark.parametrize("width", [512, 2048])
def test_products_summed_in_parts_keep_six_digits(width):
    x = np.random.default_rng(0).normal(size=(2, 40, width)).astype(np.float32)
    wide = x.astype(float)
    exact = wide @ wide.swapaxes(-1, -2)
    length = np.sqrt(np.diagonal(exact, axis1=-2, axis2=-1))
    error = np.abs(inner_products(x) - exact) / (length[..., :, None] * length[..., None, :])
    assert error.max() < 1e-6


def test_massive_dimensions_do_not_round_off_what_the_others_add():
    x = np.random.default_rng(0).normal(size=(20, 2, 12, 1024)).astype(np.float32)
    x[..., 7] = 1000 * np.sign(x[..., 7])  # holds 99.9 % of the energy
    arrays, _ = layer_gram(lambda i, steps: x[i][:, steps], 20, np.ones(12, bool), n_bins=3)
    direct = with_delta(x)
    centred = direct - direct.mean(axis=2, keepdims=True)
    rest = (np.delete(centred, 7, axis=-1) ** 2).sum(axis=-1).max()
    error = np.abs(arrays["gram"][1] - centred @ centred.swapaxes(-1, -2))
    stored = 2.0**-24 * np.abs(arrays["gram"][1])  # what float32 rounds off a single number
    assert (error - stored).max() < 1e-6 * rest
    bins = np.stack([direct[:, s : s + 4].mean(axis=1) for s in (0, 4, 8)], axis=2)  # [C, N, bins, D]
    bins = (bins - bins.mean(axis=(1, 2), keepdims=True)).transpose(0, 2, 1, 3)
    np.testing.assert_allclose(arrays["bin_mean"][1], bins, rtol=1e-6, atol=1e-6)


def test_centring_takes_what_rounding_left_of_the_mean():
    # A mean of 1e5 spreads leaves rests of up to 1e-2 of them in float32.
    x = (np.random.default_rng(1).normal(size=(N, 2, S, D)) + 1e5).astype(np.float32)
    direct = with_delta(x)
    centred = direct - direct.mean(axis=2, keepdims=True)
    exact = centred @ centred.swapaxes(-1, -2)
    gram = run(x)[0]["gram"][1]
    np.testing.assert_allclose(gram, exact, atol=1e-5 * exact.max())
    np.testing.assert_allclose(gram.sum(axis=-1), 0, atol=1e-4 * exact.max())


def test_standardised_cosine_equals_direct():
    x = features(dtype=np.float32)
    x[:, 0, :, 4] = 2.0  # a constant dimension is dropped
    direct = with_delta(x)
    z = direct - direct.mean(axis=2, keepdims=True)
    z[0, ..., 4] = 0
    spread = z.std(axis=2, keepdims=True)
    z = np.divide(z, spread, where=spread > 1e-9, out=np.zeros_like(z))
    np.testing.assert_allclose(run(x)[0]["standardised"][1], cosine(z @ z.swapaxes(-1, -2)), atol=2e-5)


@pytest.mark.parametrize("memory_mb", [0, 512])
def test_blocks_of_steps_do_not_change_results(memory_mb):
    x = features()
    whole, small = run(x)[0], run(x, memory_mb=memory_mb)[0]
    for name, (_, values) in whole.items():
        np.testing.assert_allclose(small[name][1], values, atol=1e-5, err_msg=name)


def test_windows_average_complete_steps():
    x = features()
    arrays, coords = run(x)
    names = list(coords["window"])
    direct = with_delta(x)[:, COMPLETE]  # [C, 27, N, D]
    mean = arrays["window_mean"][1]
    np.testing.assert_allclose(mean[:, names.index("whole")], direct.mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(mean[:, names.index("first_10")], direct[:, :3].mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(mean[:, names.index("last_10")], direct[:, -3:].mean(axis=1), atol=1e-5)
    whole = direct.mean(axis=1)
    whole = whole - whole.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(whole_products(arrays), whole @ whole.swapaxes(-1, -2), atol=1e-4)


def test_bins_weighted_by_their_steps_average_to_the_whole_window():
    arrays, _ = run(features(), n_bins=5)
    weights = arrays["bin_steps"][1] / arrays["bin_steps"][1].sum()
    assert arrays["bin_steps"][1].sum() == COMPLETE.sum()
    folded = np.einsum("cbnd,b->cnd", arrays["bin_mean"][1], weights)
    products = folded @ folded.swapaxes(1, 2)
    np.testing.assert_allclose(products, whole_products(arrays), atol=1e-4)


def test_steps_taken_together_are_averaged_before_they_are_compared():
    x = features()  # 27 complete steps: groups of 4, and one of 3
    arrays, coords = run(x, steps_per_matrix=4, n_bins=3)
    assert coords["step"].tolist() == [0, 1, 2, *range(3, 30, 4), 30, 31, 32]
    assert arrays["step_count"][1].tolist() == [1, 1, 1, 4, 4, 4, 4, 4, 4, 3, 1, 1, 1]
    assert arrays["complete"][1].sum() == 7
    direct = with_delta(x)
    for row, span in ((0, slice(0, 1)), (4, slice(7, 11)), (9, slice(27, 30))):
        mean = direct[:, span].mean(axis=1)
        centred = mean - mean.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(arrays["gram"][1][:, row], centred @ centred.swapaxes(-1, -2), atol=1e-4)
    whole = arrays["window_mean"][1][:, 0]
    groups = np.stack([direct[:, start : min(start + 4, 30)].mean(axis=1) for start in range(3, 30, 4)])
    np.testing.assert_allclose(whole, groups.mean(axis=0), atol=1e-4)
    assert arrays["bin_steps"][1].sum() == 7


def test_rotation_changes_nothing_but_the_standardised_cosine():
    x = features(dtype=np.float32)
    rotation = np.linalg.qr(np.random.default_rng(5).normal(size=(D, D)))[0].astype(np.float32)
    before, after = run(x)[0], run(x @ rotation)[0]
    for name in ("gram", "mean_norm"):
        np.testing.assert_allclose(before[name][1], after[name][1], atol=2e-3)
    np.testing.assert_allclose(whole_products(before), whole_products(after), atol=2e-3)


def test_steps_equal_for_all_samples_are_flagged():
    x = features()
    x[:, 1, 0] = x[0, 1, 0]
    x[2, 1, 0, 3] = np.nextafter(x[2, 1, 0, 3], np.float16(np.inf))  # one unit in the last place
    arrays, _ = run(x)
    flags = arrays["deterministic"][1]
    assert flags[1, 0]
    assert flags.sum() == 1
    assert np.isnan(arrays["standardised"][1][1, 0]).all()


def test_windows_of_nothing_but_deterministic_steps_have_no_variance():
    x = features()
    x[:, 1] = x[0, 1]
    x[2, 1, :, ::2] = np.nextafter(x[2, 1, :, ::2], np.float16(np.inf))
    arrays, _ = run(x)
    assert arrays["deterministic"][1][1].all()
    assert not whole_products(arrays)[1].any()
    scored = [window_products(Windows(arrays), branch, 0, standardised=True) for branch in range(3)]
    assert [one.any() for one in scored] == [True, False, True]


def test_energy_shares():
    x = np.zeros((N, 2, S, D), np.float32)
    x[..., 0] = 10
    x[:, 0, :, 5] = np.random.default_rng(0).normal(size=(N, 1))
    arrays, _ = run(x)
    total = (x[:, 0, 0] ** 2).sum()
    about = ((x[:, 0, 0] - x[:, 0, 0].mean(axis=0)) ** 2).sum()
    np.testing.assert_allclose(arrays["centred_share"][1][0], about / total, rtol=1e-4)
    np.testing.assert_allclose(arrays["top3_share"][1][0], 1, rtol=1e-5)
    np.testing.assert_allclose(arrays["mean_norm"][1][1], 10, rtol=1e-5)


def test_the_three_largest_dimensions_share_of_the_energy_by_hand():
    signs = np.sign(np.random.default_rng(0).normal(size=(N, 1, S, 5)))
    sizes = np.array([[2.0, 5, 1, 4, 3], [1.0, 1, 2, 0, 5]])  # of cond and uncond, by dimension
    x = (signs * sizes[:, None]).astype(np.float32)
    share = run(x)[0]["top3_share"][1]
    np.testing.assert_allclose(share[0], (25 + 16 + 9) / 55, rtol=1e-5)
    np.testing.assert_allclose(share[1], (25 + 4 + 1) / 31, rtol=1e-5)
    np.testing.assert_allclose(share[2], (16 + 16 + 4) / 38, rtol=1e-5)  # of 1, 4, −1, 4, −2


def test_the_share_of_levels_is_that_of_the_raw_states_energy(tmp_path):
    rng, timeline = np.random.default_rng(3), Timeline(n_frames=S - 3, n_codebooks=4, frame_rate=50)
    x = rng.normal(size=(3, 2, S, D)) + 2 * rng.normal(size=D)
    x -= x.mean(axis=-1, keepdims=True)  # as stored
    levels = rng.normal(size=(3, 2, S)) + np.array([0.5, -1.5])[:, None]
    paths = [tmp_path / f"{i}.h5" for i in range(3)]
    for path, states, level in zip(paths, x.astype(np.float32), levels, strict=True):
        with StackWriter(path, {"model": "nano"}, np.zeros((4, S - 3), np.int16), timeline) as stack:
            stack.write("residual", 2, states, level)
    arrays = stacks_gram(paths, [path.stem for path in paths], 2)[0]
    axes, share = arrays["level_share"]
    assert axes == ("branch", "step")
    raw, of_level = with_delta(x + levels[..., None]), with_delta(levels[..., None])
    expected = D * (of_level**2).sum(axis=(2, 3)) / (raw**2).sum(axis=(2, 3))
    np.testing.assert_allclose(share, expected, rtol=1e-3)  # stored as float16
    assert np.ptp(expected) > 0.2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layer_gram(lambda i, s: np.zeros((2, 4, 3)), 1, np.ones(4, bool)), "compares nothing"),
        (lambda: layer_gram(lambda i, s: np.zeros((2, 4, 3)), 3, np.zeros(4, bool)), "none of the 4 steps"),
        (lambda: run(np.full((3, 2, S, D), np.nan, np.float16)), "sample 0 holds values that are not finite"),
        (lambda: layer_gram(lambda i, s: np.ones((2, S, 3 + i)), 2, COMPLETE), "sample 1 has"),
    ],
)
def test_what_cannot_be_used_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_from_stack_files_to_a_gram_file(tmp_path, monkeypatch):
    timeline = Timeline(n_frames=S - 3, n_codebooks=4, frame_rate=50)
    x, paths = features(), []
    for i in range(N):
        paths.append(tmp_path / f"{i}.h5")
        codes = np.zeros((4, S - 3), np.int16)
        with StackWriter(paths[i], {"model": "nano"}, codes, timeline) as stack:
            stack.write("residual", 2, x[i])
    ids = [f"p/seed-{i}" for i in range(N)]
    arrays, coords, attrs = stacks_gram(paths, ids, 2, n_bins=4)
    assert attrs == {"model": "nano", "frame_rate": 50, "layer": 2, "site": "residual"}
    GramFile.write(tmp_path / "gram.h5", arrays, coords, attrs)
    with GramFile(tmp_path / "gram.h5") as gram:
        np.testing.assert_array_equal(gram.read("gram"), run(x)[0]["gram"][1])
        assert list(gram.coords("sample")) == ids
        np.testing.assert_allclose(gram.read("seconds"), timeline.seconds)
    # Of many stacks, only some stay open from block to block.
    monkeypatch.setattr("innerear.gram.layer_pass._OPEN_AT_ONCE", 2)
    again = stacks_gram(paths, ids, 2, n_bins=4, memory_mb=0)[0]
    np.testing.assert_array_equal(again["gram"][1], arrays["gram"][1])
    arrays, coords, attrs = stacks_gram(paths, ids, 2, n_bins=4, steps_per_matrix=4)
    np.testing.assert_array_equal(arrays["gram"][1], run(x, steps_per_matrix=4)[0]["gram"][1])
    assert arrays["seconds"][1][3] == pytest.approx(timeline.seconds[3:7].mean())
    GramFile.write(tmp_path / "gram.h5", arrays, coords, attrs)
    with GramFile(tmp_path / "gram.h5") as gram:
        assert analysed_cells(gram)["step"].dropna().tolist() == list(range(3, 30, 4))
