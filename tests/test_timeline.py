"""Steps and frames are those of audiocraft's own delay pattern."""

import numpy as np
import pytest

from innerear.errors import InputError
from innerear.timeline import Timeline


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
