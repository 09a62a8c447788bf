"""A recorded track becomes a sample: its tokens are the codec's, its states those of a replay."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from fake_tracks import tune, write_track

from innerear.capture.checks import check_samples
from innerear.capture.counterfactual import replay_template
from innerear.capture.extractor import ActivationExtractor
from innerear.capture.jobs import generate_missing
from innerear.capture.verification import verify_samples
from innerear.errors import InputError
from innerear.models import load_model
from innerear.stacks import GramFile, Stack, part_name
from innerear.stacks.index import sample_table
from innerear.study.prompts import Prompt, Sample

SETTINGS = {
    "study": "tracks",
    "capture": {"layers": "all", "dtype": "float32"},
    "generation": {"duration": 0.4, "guidance": 3.0},
}
TEXTS = {"happy": "happy music", "sad": "sad music with a slow guitar"}


def sample(path, emotion="happy", text=None, start=0.0):
    text = TEXTS[emotion] if text is None else text
    name = f"piano-{emotion}"
    return Sample(Prompt(name, text, "piano", emotion, audio=str(path), audio_start=start), 0)


def make(model, folder, samples, **changes):
    stacks = [folder / f"stacks/{one.id}.h5" for one in samples]
    audio = [folder / f"audio/{one.id}.wav" for one in samples]
    own = {"unfinished": folder / "unfinished", "batch_size": 2, "code": "a", **SETTINGS} | changes
    return generate_missing(model, samples, stacks, audio, **own), stacks, audio


@pytest.fixture(scope="module")
def nano():
    """The tiny model's codec has random weights, and gives one token to all sound."""
    return load_model("nano", device="cpu")


@pytest.fixture
def tracks(tmp_path):
    """Two tracks of other formats, and their samples."""
    happy = write_track(tmp_path / "music/1.flac", 1.0, rate=44_100, channels=2, pitch=440.0)
    sad = write_track(tmp_path / "music/2.wav", 1.0, rate=8_000, pitch=110.0, seed=1)
    return [sample(happy), sample(sad, "sad", start=0.25)]


@pytest.fixture
def job(nano, tmp_path, tracks):
    made, stacks, audio = make(nano, tmp_path, tracks)
    assert made == ["piano-happy/seed-0", "piano-sad/seed-0"]
    return stacks, audio


def test_tokens_are_the_codecs_and_the_clip_is_their_decoding(job, nano):
    stacks, audio = job
    wave = tune(110.0, 1.0, 8_000, seed=1)[2_000:5_200]
    wave = np.round(wave * 2**15) / 2**15  # as 16-bit PCM keeps it
    codes = nano.encode(torch.from_numpy(wave)[None].float(), 8_000)
    with Stack(stacks[1]) as stack:
        np.testing.assert_array_equal(stack.codes, codes[0].numpy())
        assert stack.attrs["recording"] == "2.wav"
        assert stack.attrs["recording_start"] == 0.25
        assert stack.attrs["decoder"] == "codec"
    decoded = nano.decode(codes)[0].clamp(-1, 1).numpy()
    np.testing.assert_allclose(soundfile.read(audio[1])[0], decoded, atol=1e-4)


def test_states_are_those_of_a_replay_of_these_tokens(job, nano):
    stacks, _ = job
    for path, text in zip(stacks, TEXTS.values(), strict=True):
        with Stack(path) as stack:
            extractor = ActivationExtractor(nano)
            extractor.replay([text], torch.from_numpy(stack.codes).long()[None])
            for name, states in extractor.get_activations().items():
                found = stack.read(int(name.removeprefix("layer_")))  # [C, S, D]
                np.testing.assert_allclose(found, states[:, :, 0].transpose(0, 1), atol=1e-5)


def test_a_track_passes_every_check_and_is_encoded_again(job, nano, tmp_path, tracks):
    stacks, _ = job
    index = sample_table(stacks, tmp_path / "audio")
    assert index["recording"].tolist() == ["1.flac", "2.wav"]
    assert all(check_samples(index)["pass"])
    path = tracks[0].prompt.audio
    checks = verify_samples(index, nano, SETTINGS["generation"], recording=path)
    assert all(checks["pass"])
    assert "regenerate" in set(checks["check"])
    with pytest.raises(InputError, match=r"2\.wav is another file than the one that .*remake it"):
        verify_samples(index, nano, SETTINGS["generation"], recording=tracks[1].prompt.audio)


def test_only_a_track_whose_file_has_changed_is_made_again(job, nano, tmp_path, tracks):
    assert make(nano, tmp_path, tracks)[0] == []
    write_track(tmp_path / "music/2.wav", 1.0, rate=8_000, pitch=110.0, seed=2)
    assert make(nano, tmp_path, tracks)[0] == ["piano-sad/seed-0"]
    later = sample(tracks[0].prompt.audio, start=0.5)
    assert make(nano, tmp_path, [later, tracks[1]])[0] == ["piano-happy/seed-0"]


def test_a_job_may_hold_tracks_and_composed_clips(nano, tmp_path, tracks, job):
    composed = Sample(Prompt("piano-calm", "calm music", "piano", "calm"), 0)
    _, stacks, _ = make(nano, tmp_path / "mixed", [tracks[0], composed, tracks[1]])
    _, alone, _ = make(nano, tmp_path / "alone", [composed])
    for one, other in zip(stacks, [job[0][0], alone[0], job[0][1]], strict=True):
        with Stack(one) as mixed, Stack(other) as same:
            assert mixed.attrs["tokens_sha256"] == same.attrs["tokens_sha256"]
    index = sample_table(stacks, tmp_path / "mixed/audio")
    assert index["recording"].tolist() == ["1.flac", "", "2.wav"]
    for order in ([0, 1, 2], [1, 2, 0]):
        mixed = index.iloc[order]
        track = next(one for one in mixed["recording"] if one)
        path = str(tmp_path / "music" / track)
        checks = verify_samples(mixed, nano, SETTINGS["generation"], recording=path)
        again = checks[checks["check"] == "regenerate"]
        assert set(again["sample"]) == {
            "piano-calm/seed-0",
            f"piano-{'happy' if track == '1.flac' else 'sad'}/seed-0",
        }
        assert all(again["pass"])


def test_without_a_text_both_branches_are_one(nano, tmp_path, tracks):
    silent = [sample(one.prompt.audio, one.prompt.emotion, text="") for one in tracks]
    _, stacks, _ = make(nano, tmp_path, silent)
    with Stack(stacks[0]) as stack:
        cond, uncond = stack.read(2)
        np.testing.assert_array_equal(cond, uncond)
    capture = SETTINGS["capture"] | {"branches": ["uncond"]}
    _, stacks, _ = make(nano, tmp_path / "one", silent, capture=capture)
    with Stack(stacks[0]) as stack:
        np.testing.assert_allclose(stack.read(2)[0], uncond, atol=1e-6)


def test_without_guidance_there_is_nothing_to_compare_at_the_input(nano, tmp_path, tracks):
    capture = SETTINGS["capture"] | {"branches": ["cond"]}
    generation = {"duration": 0.4, "guidance": None}
    _, stacks, _ = make(nano, tmp_path, tracks, capture=capture, generation=generation)
    with Stack(stacks[0]) as stack:
        assert stack.branches == ("cond",)
        assert stack.input_gap is None


def test_tracks_are_replayed_under_each_others_texts(job, nano, tmp_path):
    stacks, _ = job
    folder = tmp_path / "cells"
    replay_template(nano, stacks, folder, layers=[1], neutral="music", paraphrases={})
    with GramFile(folder / part_name()) as file:
        texts, codes = file.labels("text"), file.labels("codes_emotion")
        nll = file.read("nll")
    with Stack(stacks[1]) as stack:
        tokens = torch.from_numpy(stack.codes).long()[None]
        alone = nano.replay(tokens, [TEXTS["happy"]], stack.timeline)[0, 0].numpy()
    cell = next(i for i, pair in enumerate(zip(codes, texts, strict=True)) if pair == ("sad", "happy"))
    np.testing.assert_allclose(nll[cell, 0], alone, atol=1e-4)


def test_one_track_under_two_names_is_refused(nano, tmp_path, tracks):
    copy = write_track(tmp_path / "music/copy.flac", 1.0, channels=2, pitch=440.0)
    _, stacks, _ = make(nano, tmp_path, [tracks[0], sample(copy, "sad")])
    with pytest.raises(InputError, match="'piano-happy' and 'piano-sad' are the same sound"):
        sample_table(stacks, tmp_path / "audio")


@pytest.mark.parametrize(
    ("start", "changes", "message"),
    [
        (0.25, {}, "'piano-happy' and 'piano-sad' are the same sound, 1.flac and copy.flac;"),
        (0.5, {"template": "guitar"}, "'piano-happy' and 'piano-sad' are parts of one track"),
        (0.5, {"emotion": "happy"}, "'piano-happy' and 'piano-sad' are parts of one track"),
        (0.5, {}, ""),
    ],
)
def test_parts_of_a_copy_are_judged_as_parts_of_the_file(nano, tmp_path, tracks, start, changes, message):
    file = Path(tracks[0].prompt.audio)
    copy = file.with_name("copy.flac")
    shutil.copy(file, copy)
    prompt = replace(sample(copy, "sad", start=start).prompt, **changes)
    _, stacks, _ = make(nano, tmp_path, [tracks[0], Sample(prompt, 0)])
    if not message:
        assert len(sample_table(stacks, tmp_path / "audio")) == 2
        return
    with pytest.raises(InputError, match=message):
        sample_table(stacks, tmp_path / "audio")


def test_a_file_that_cannot_be_used_is_named_by_the_job(nano, tmp_path):
    silent = write_track(tmp_path / "silent.wav", rate=8_000, wave=np.zeros(8_000))
    with pytest.raises(InputError, match=r"silent\.wav, 0 to 0\.4 s is silent"):
        make(nano, tmp_path, [sample(silent)])
    odd = write_track(tmp_path / "odd.wav", rate=44_101)
    with pytest.raises(InputError, match=r"odd\.wav: sample_rate: audio of 44101 Hz cannot be resampled"):
        make(nano, tmp_path, [sample(odd)])


def test_the_index_of_composed_clips_names_no_file(nano, tmp_path):
    composed = Sample(Prompt("piano-calm", "calm music", "piano", "calm"), 0)
    _, stacks, _ = make(nano, tmp_path, [composed])
    table = sample_table(stacks, tmp_path / "audio")
    assert table["recording"].tolist() == [""]
