"""What is estimated of a study's size is what its files take."""

import numpy as np
import pytest

from innerear.stacks import StackWriter
from innerear.study.architectures import architecture_of
from innerear.study.estimate import estimate
from innerear.timeline import chunk_steps

NANO = architecture_of("nano", None)


def written(path, duration, capture, replayed=False):
    timeline = NANO.timeline(duration, 18)
    attrs = {"study": "s", "text": "a happy solo piano piece", "model_identity": "0" * 64}
    codes = np.zeros((timeline.n_codebooks, timeline.n_frames), np.int16)
    states = np.ones((len(capture["branches"]), timeline.n_steps, NANO.d_model), np.float32)
    with StackWriter(
        path, attrs, codes, timeline, branches=capture["branches"], dtype=capture["dtype"]
    ) as stack:
        for site in capture["sites"]:
            for layer in capture["layers"]:
                stack.write(site, layer, states)
        stack.write_input_gap(np.zeros(timeline.n_steps))
        if replayed:
            stack.write_nll(np.zeros((3, *codes.shape)), ["cond", "uncond", "guided"])
    return path.stat().st_size


def size(duration, capture, captures=()):
    return estimate(
        NANO, 1, 1, capture=capture, captures=captures, duration=duration, stride=18, n_bins=2
    ).stack_bytes


ALL = {"sites": ["residual"], "layers": list(range(6)), "branches": ["cond", "uncond"], "dtype": "float16"}
TWO_SITES = {"sites": ["residual", "mlp"], "layers": [0, 5], "branches": ["uncond"], "dtype": "float32"}


@pytest.mark.parametrize("capture", [ALL, TWO_SITES])
@pytest.mark.parametrize("duration", [1, 4, 8, 30])
def test_the_estimate_of_a_stack_is_its_size(tmp_path, capture, duration):
    used = written(tmp_path / "stack.h5", duration, capture)
    assert size(duration, capture) == pytest.approx(used, rel=0.05)


def test_the_estimate_counts_extra_captures_with_their_likelihoods(tmp_path):
    used = written(tmp_path / "stack.h5", 4, ALL)
    used += written(tmp_path / "more.h5", 4, TWO_SITES, replayed=True)
    assert size(4, ALL, [TWO_SITES]) == pytest.approx(used, rel=0.05)


@pytest.mark.parametrize("n_steps", [1, 53, 64, 65, 203, 403, 1503])
def test_chunks_leave_hardly_any_room_empty(n_steps):
    chunk = chunk_steps(n_steps)
    n_chunks = -(-n_steps // chunk)
    assert chunk <= 64
    assert n_chunks == -(-n_steps // 64), "no more of them than of the largest chunks"
    assert n_chunks * chunk - n_steps < n_chunks


def test_a_gram_of_one_branch_takes_a_third_of_one_with_both_and_their_difference():
    both, one = (
        estimate(
            *(NANO, 4, 2), capture=ALL | {"branches": branches}, captures=(), duration=4, stride=18, n_bins=2
        ).gram_bytes
        for branches in (["cond", "uncond"], ["uncond"])
    )
    assert both == 3 * one
