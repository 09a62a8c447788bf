"""Steps and frames are those of audiocraft's own delay pattern."""

import numpy as np
import pytest

from innerear.errors import InputError
from innerear.timeline import Timeline, Window, windows_of


@pytest.mark.parametrize(("n_frames", "n_codebooks"), [(150, 4), (1, 4), (3, 4), (7, 1), (5, 8), (2, 2)])
def test_frames_are_those_of_the_delay_pattern(n_frames, n_codebooks):
    from innerear.models.imports import import_audiocraft

    import_audiocraft()
    from audiocraft.modules.codebooks_patterns import DelayedPatternProvider

    timeline = Timeline(n_frames, n_codebooks, 50.0)
    pattern = DelayedPatternProvider(n_codebooks).get_pattern(n_frames)
    assert timeline.n_steps == pattern.num_sequence_steps
    expected = np.full((timeline.n_steps, n_codebooks), -1)
    # layout[0] is the special token that step 0 reads; step s predicts what stands at position s + 1.
    for step, coordinates in enumerate(pattern.layout[1:]):
        for frame, codebook in coordinates:
            if frame < n_frames:
                expected[step, codebook] = frame
    np.testing.assert_array_equal(timeline.frames, expected)


def test_three_seconds_take_153_steps():
    timeline = Timeline(150, 4, 50.0)
    assert timeline.n_steps == 153
    assert timeline.seconds[0] == 0
    assert timeline.seconds[50] == pytest.approx(1)


@pytest.mark.parametrize(("n_frames", "n_codebooks"), [(20, 4), (4, 4), (3, 4), (1, 1)])
def test_complete_steps_predict_every_codebook(n_frames, n_codebooks):
    timeline = Timeline(n_frames, n_codebooks, 50.0)
    np.testing.assert_array_equal(timeline.complete, (timeline.frames >= 0).all(axis=1))
    assert timeline.complete.sum() == max(0, n_frames - n_codebooks + 1)


def test_each_frame_of_each_codebook_is_predicted_once():
    timeline = Timeline(9, 3, 50.0)
    for codebook in range(3):
        frames = timeline.frames[:, codebook]
        assert sorted(frames[frames >= 0]) == list(range(9))


@pytest.mark.parametrize("values", [(0, 4, 50.0), (10, 0, 50.0), (10, 4, 0.0)])
def test_no_clip_without_frames_codebooks_or_rate(values):
    with pytest.raises(InputError):
        Timeline(*values)


@pytest.mark.parametrize(
    ("n_frames", "context", "stride", "given"),
    [(50, 20, 12, 0), (50, 20, 19, 5), (21, 20, 1, 0), (20, 20, 5, 3)],
)
def test_windows_write_each_frame_of_each_codebook_once(n_frames, context, stride, given):
    windows = windows_of(n_frames, context, stride, given)
    timeline = Timeline(n_frames, 4, 50.0, windows)
    assert all(window.n_frames <= context for window in windows)
    for codebook in range(4):
        frames = timeline.frames[:, codebook]
        written = frames[(frames >= 0) & ~timeline.reread[:, codebook]]
        assert written.tolist() == list(range(given, n_frames))
    assert timeline.n_steps == len(timeline.position) == len(timeline.window) == len(timeline.seconds)
    # A complete step stands at the second of its first codebook's frame.
    np.testing.assert_allclose(
        timeline.seconds[timeline.complete], timeline.frames[timeline.complete, 0] / 50, rtol=1e-6
    )


def test_analysed_steps_go_forward_in_time_and_hold_every_complete_step():
    timeline = Timeline(50, 4, 50.0, windows_of(50, 20, 12))
    kept = timeline.analysed
    assert (np.diff(timeline.seconds[kept]) > 0).all()
    assert set(np.flatnonzero(timeline.complete)) <= set(kept)
    assert timeline.complete[kept].sum() == len(kept) - 6
    assert Timeline(50, 4, 50.0).analysed.tolist() == list(range(53))


@pytest.mark.parametrize(
    "windows", [(Window(0, 10),), (Window(0, 10), Window(12, 8)), (Window(0, 10), Window(5, 15, 4))]
)
def test_windows_must_follow_one_another(windows):
    with pytest.raises(InputError):
        Timeline(20, 4, 50.0, windows)


@pytest.mark.parametrize(("given", "stride"), [(20, 5), (0, 0), (0, 20)])
def test_windows_that_cannot_be_cut_are_refused(given, stride):
    with pytest.raises(InputError):
        windows_of(40, 20, stride, given)


@pytest.mark.parametrize("delays", [(0, 0, 1, 1, 2, 2, 3, 3), (0, 0, 0), (0, 2, 5)])
@pytest.mark.parametrize("n_frames", [1, 3, 20])
def test_any_delays_are_those_of_audiocrafts_pattern(delays, n_frames):
    from innerear.models.imports import import_audiocraft

    import_audiocraft()
    from audiocraft.modules.codebooks_patterns import DelayedPatternProvider

    pattern = DelayedPatternProvider(len(delays), list(delays)).get_pattern(n_frames)
    timeline = Timeline(n_frames, len(delays), 50.0, delays=delays)
    assert timeline.n_steps == pattern.num_sequence_steps == n_frames + max(delays)
    frames = np.full((timeline.n_steps, len(delays)), -1)
    for step, coordinates in enumerate(pattern.layout[1:]):
        for frame, codebook in coordinates:
            frames[step, codebook] = frame if frame < n_frames else -1
    np.testing.assert_array_equal(timeline.frames, frames)
    assert timeline.complete.sum() == max(0, n_frames - max(delays))
    # audiocraft's first call reads the given frames and one position.
    assert [pattern.get_first_step_with_timesteps(given) for given in range(n_frames)] == [
        given + 1 for given in range(n_frames)
    ]


def test_stereo_steps_hold_both_channels_of_a_codebook():
    timeline = Timeline(150, 8, 50.0, delays=(0, 0, 1, 1, 2, 2, 3, 3))
    assert timeline.n_steps == 153
    np.testing.assert_array_equal(timeline.frames[:, 0::2], timeline.frames[:, 1::2])
    np.testing.assert_array_equal(timeline.frames[:, 0::2], Timeline(150, 4, 50.0).frames)
    np.testing.assert_array_equal(timeline.complete, Timeline(150, 4, 50.0).complete)


@pytest.mark.parametrize("delays", [(0, 1), (0, 2, 1), (-1, 0, 1), (1, 2, 3), (0, 1, 2, 3)])
def test_delays_must_fit_the_codebooks(delays):
    with pytest.raises(InputError, match="do not fit 3 codebooks"):
        Timeline(20, 3, 50.0, delays=delays)
