"""qc passes a good capture, and names what is wrong with a bad one."""

from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import soundfile
from sealed import edited, listed

from innerear.capture.checks import MEANING, check_samples, passes, spread, summarise
from innerear.capture.generation import generate_samples
from innerear.capture.verification import verify_samples
from innerear.errors import InputError
from innerear.stacks import Stack, tokens_hash
from innerear.study.prompts import Prompt, Sample

SAMPLES = [
    Sample(Prompt(f"{template}-{emotion}", f"{emotion} music {words}", template, emotion), seed)
    for template, words in (("piano", "with a piano"), ("plain", ""))
    for emotion in ("happy", "sad")
    for seed in (0, 1)
]
GENERATION = {"duration": 0.4, "guidance": 3.0, "temperature": 1.0, "top_k": 250, "top_p": 0.0}


@pytest.fixture(scope="session")
def captured(tiny_model, tmp_path_factory):
    """Folder of good captures, each sample of a job of its own."""
    folder = tmp_path_factory.mktemp("captured")
    for i, sample in enumerate(SAMPLES):
        generate_samples(
            tiny_model,
            [sample],
            [folder / f"{i}.h5"],
            [folder / f"{i}.wav"],
            study="emotions",
            capture={"layers": "all", "dtype": "float16"},
            generation=GENERATION,
        )
    return folder


@pytest.fixture
def index(captured, tmp_path):
    """Index of a copy of the captures, to be broken."""
    rows = []
    for i in range(len(SAMPLES)):
        for suffix in ("h5", "wav"):
            (tmp_path / f"{i}.{suffix}").write_bytes((captured / f"{i}.{suffix}").read_bytes())
        rows.append({"stack": str(tmp_path / f"{i}.h5"), "audio": str(tmp_path / f"{i}.wav")})
    return listed(pd.DataFrame(rows))


@contextmanager
def wrongly(index, i):
    """Stack i, to be changed into what a wrong capture would have written and listed."""
    with edited(index["stack"][i]) as file:
        yield file
    for name, values in listed(index).items():
        index[name] = values


def failures(index):
    checks = check_samples(index)
    return {tuple(row) for row in checks.loc[~checks["pass"], ["check", "sample"]].values}


def change(index, i, layer, function):
    """Rewrite the states of a layer of sample i."""
    with wrongly(index, i) as file:
        data = file[f"residual/layer_{layer:02d}"]
        values = data[...]
        function(values)
        data[...] = values


def test_good_captures_pass_every_check(index):
    checks = check_samples(index)
    assert checks["pass"].all(), checks[~checks["pass"]]
    assert set(checks["sample"]) == {sample.id for sample in SAMPLES}
    assert checks.groupby("check").size().eq(len(SAMPLES)).all()
    assert np.isfinite(checks["value"]).all()


def test_the_overwrite_bug_is_found(index):
    def overwrite(states):
        states[:] = states[:, -1:]

    change(index, 3, 1, overwrite)
    # A layer that keeps the last step only also has the wrong first step.
    found = failures(index)
    assert ("varies", SAMPLES[3].id) in found
    assert {sample for _, sample in found} == {SAMPLES[3].id}


def test_nan_is_found(index):
    def spoil(states):
        states[0, 5, 3] = np.nan

    change(index, 2, 2, spoil)
    assert failures(index) == {("finite", SAMPLES[2].id)}


def test_uncond_that_knows_its_prompt_is_found(index):
    def leak(states):
        states[1, 0] += 0.1

    change(index, 4, 0, leak)
    assert ("uncond_start", SAMPLES[4].id) in failures(index)


def test_cond_that_knows_its_seed_is_found(index):
    def leak(states):
        states[0, 0] += 0.1

    change(index, 5, 0, leak)
    assert failures(index) == {("cond_start", SAMPLES[5].id)}


def test_uncond_that_differs_before_its_tokens_do_is_found(index):
    # Give sample 2 the first frames' tokens and states of sample 0, of the same seed, but for step 3.
    with h5py.File(index["stack"][0]) as source, wrongly(index, 2) as target:
        codes = target["codes"][...]
        codes[:, :8] = source["codes"][:, :8]
        target["codes"][...] = codes
        target.attrs["tokens_sha256"] = tokens_hash(codes)
        for layer in range(3):
            states = source[f"residual/layer_{layer:02d}"][...]
            states[0, 0] = target[f"residual/layer_{layer:02d}"][0, 0]
            target[f"residual/layer_{layer:02d}"][...] = states

    def remember(states):
        states[1, 3] += 0.1

    # As it is, cond of sample 2 differs from sample 3's only past step 0, which no check compares.
    assert failures(index) == set()
    change(index, 2, 1, remember)
    assert failures(index) == {("uncond_prefix", SAMPLES[2].id)}


@pytest.mark.parametrize(("step", "expected"), [(6, {("uncond_prefix", SAMPLES[2].id)}), (7, set())])
def test_uncond_is_compared_up_to_the_step_that_predicts_the_first_token_that_differs(index, step, expected):
    """Codebook 2 is delayed by 2: its token of frame 4 is predicted at step 6, and read from step 7 on."""
    with h5py.File(index["stack"][0]) as source, wrongly(index, 2) as target:
        assert source.attrs["delays"].tolist() == [0, 1, 2, 3]
        codes = source["codes"][...]
        codes[2, 4] = (codes[2, 4] + 1) % 16
        target["codes"][...] = codes
        target.attrs["tokens_sha256"] = tokens_hash(codes)
        for layer in range(3):
            states = target[f"residual/layer_{layer:02d}"][...]
            states[1] = source[f"residual/layer_{layer:02d}"][1]
            states[1, step] += 0.1
            target[f"residual/layer_{layer:02d}"][...] = states
    assert failures(index) == expected


@pytest.mark.parametrize(
    ("computed", "stored", "tolerance"),
    [("float32", "float32", 1e-4), ("float32", "float16", 1e-3), ("float16", "float16", 1e-2)],
)
def test_a_fault_just_above_the_tolerance_fails_and_one_just_below_passes(
    tiny_model, tmp_path, computed, stored, tolerance
):
    paths = [[tmp_path / f"{i}.{suffix}" for i in range(2)] for suffix in ("h5", "wav")]
    capture = {"layers": "all", "dtype": stored}
    generate_samples(tiny_model, SAMPLES[:2], *paths, study="s", capture=capture, generation=GENERATION)
    named = zip(*(map(str, one) for one in paths), strict=True)
    index = listed(pd.DataFrame(named, columns=["stack", "audio"]))
    with wrongly(index, 0) as file:
        file.attrs["dtype"] = computed
    with wrongly(index, 1) as file:
        file.attrs["dtype"] = computed
        right = file["residual/layer_01"][0, 0].astype(float)
    noise = np.random.default_rng(0).normal(size=right.shape)
    noise *= spread(right) / np.sqrt((noise**2).mean())
    for share, expected in ((0.6, set()), (1.5, {("cond_start", SAMPLES[1].id)})):
        with wrongly(index, 1) as file:
            file["residual/layer_01"][0, 0] = right + share * tolerance * noise
        assert failures(index) == expected


def test_a_step_too_many_fails_as_one_too_few_does():
    assert [passes("steps", n, 23.0) for n in (22.0, 23.0, 24.0)] == [False, True, False]


def test_tokens_that_are_not_those_of_the_index_are_found(index):
    with wrongly(index, 6) as file:
        file["codes"][0, 3] = (file["codes"][0, 3] + 1) % 16
    assert ("tokens", SAMPLES[6].id) in failures(index)


def test_a_clip_of_another_length_is_found(index):
    wave, rate = soundfile.read(index["audio"][1])
    soundfile.write(index["audio"][1], wave[:-32], rate)
    assert failures(index) == {("audio", SAMPLES[1].id), ("clip", SAMPLES[1].id)}


def test_exchanged_and_edited_clips_are_found(index):
    first, second = (Path(index["audio"][i]) for i in (1, 2))
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    assert failures(index) == {("clip", SAMPLES[1].id), ("clip", SAMPLES[2].id)}
    first.write_bytes(one)
    second.write_bytes(other[:-2] + b"\0\1")
    assert failures(index) == {("clip", SAMPLES[2].id)}
    second.write_bytes(b"RIFF no sound")
    with pytest.raises(InputError, match=r"2\.wav cannot be read as sound .*--force .*2\.wav"):
        check_samples(index)


def test_a_stack_that_was_changed_by_hand_is_refused(index):
    with h5py.File(index["stack"][4], "a") as file:
        file["residual/layer_01"][:, -5:] = file["residual/layer_01"][:, -5:][:, ::-1]
    with pytest.raises(InputError, match=r"4\.h5: dataset 'residual/layer_01' cannot be read.*hash is not"):
        check_samples(index)


def test_a_stack_of_another_length_is_named(tiny_model, index, tmp_path):
    settings = GENERATION | {"duration": 0.3}
    paths = [tmp_path / "3.h5"], [tmp_path / "3.wav"]
    capture = {"layers": "all", "dtype": "float16"}
    generate_samples(tiny_model, [SAMPLES[3]], *paths, study="emotions", capture=capture, generation=settings)
    checks = check_samples(listed(index)).set_index(["check", "sample"])
    assert checks.loc[("length", SAMPLES[3].id), "value"] == 5
    assert checks.index[~checks["pass"]].tolist() == [("length", SAMPLES[3].id)]


def test_a_missing_layer_is_found(index):
    with wrongly(index, 7) as file:
        del file["residual/layer_02"]
    assert failures(index) == {("layers", SAMPLES[7].id)}


def test_missing_steps_are_found(index):
    with wrongly(index, 7) as file:
        states = file["residual/layer_01"][:, :-3]
        del file["residual/layer_01"]
        file["residual/layer_01"] = states
    with pytest.raises(InputError, match=r"7\.h5: residual, layer 1, has shape \[2, 20, 32\].*× 23 steps"):
        check_samples(index)


def test_an_empty_index_is_refused(index):
    with pytest.raises(InputError, match="no samples"):
        check_samples(index[:0])


def test_wrong_labels_are_found(index):
    with wrongly(index, 3) as file:
        file["step/frame"][...] = np.roll(file["step/frame"][...], 1, axis=0)
    assert failures(index) == {("labels", SAMPLES[3].id)}


def test_branches_that_read_different_tokens_are_found(index):
    with wrongly(index, 1) as file:
        file["step/input_gap"][7] = 0.5
    assert failures(index) == {("same_input", SAMPLES[1].id)}


def refuted(index, model):
    """Samples whose replay does not give what is stored."""
    checks = verify_samples(index, model, GENERATION)
    return set(checks.loc[~checks["pass"] & checks["check"].str.startswith("replay"), "sample"])


def test_replay_and_regeneration_confirm_good_captures(index, tiny_model):
    checks = verify_samples(index, tiny_model, GENERATION)
    assert checks["pass"].all(), checks
    parts = {f"replay_{part}": 4 for part in ("cond", "uncond", "delta", "level")}
    assert checks["check"].value_counts().to_dict() == parts | {"regenerate": 1}


@pytest.mark.parametrize(
    "break_states",
    [
        lambda states: states.__setitem__(slice(None), states[:, -1:]),  # overwritten: only the last step
        lambda states: states.__setitem__(slice(None), states[::-1].copy()),  # branches swapped
        lambda states: states.__setitem__(slice(None), np.roll(states, 1, axis=1)),  # shifted by one step
        lambda states: states.__setitem__((0, 9), states[0, 8].copy()),  # one step twice
    ],
    ids=["overwritten", "swapped", "shifted", "repeated"],
)
def test_replay_finds_what_was_recorded_wrongly(index, tiny_model, break_states):
    change(index, 2, 1, break_states)
    assert refuted(index, tiny_model) == {SAMPLES[2].id}


def test_branches_swapped_in_every_sample_are_found_without_the_model(index):
    """Uncond that is really cond differs between prompts at step 0, although all samples agree in form."""
    for i in range(len(SAMPLES)):
        for layer in range(3):
            change(index, i, layer, lambda states: states.__setitem__(slice(None), states[::-1].copy()))
    assert {check for check, _ in failures(index)} == {"uncond_start", "uncond_prefix"}


def test_tokens_that_are_not_what_the_seed_gives_are_found(index, tiny_model):
    with wrongly(index, 0) as file:
        file.attrs["seed"] = 5
    checks = verify_samples(index, tiny_model, GENERATION).set_index("check")
    assert not checks.loc["regenerate", "pass"]
    assert checks.loc["regenerate", "value"] > 0


def test_other_weights_are_refused(index, tiny_model):
    with wrongly(index, 0) as file:
        file.attrs["model_identity"] = "sha256:other"
    with pytest.raises(InputError, match="was made with weights sha256:other"):
        verify_samples(index, tiny_model, GENERATION)


def test_the_summary_has_a_line_for_each_check_and_the_worst_of_it(index, tiny_model):
    def spoil(states):
        states[0, 5, 3:6] = np.nan

    change(index, 2, 2, spoil)
    checks = check_samples(index)
    summary = summarise(checks).set_index("check")
    assert list(summary.index) == list(MEANING)
    assert set(checks["check"]) <= set(MEANING)
    assert summary.loc["finite", "verdict"] == "1 failed"
    assert summary.loc["finite", ["worst value", "of sample"]].tolist() == [3, SAMPLES[2].id]
    assert summary.loc["steps", "verdict"] == "passed"
    assert summary.loc["replay_cond", "verdict"] == "not compared"


def test_every_site_is_checked(tiny_model, tmp_path):
    capture = {"layers": [0, 2], "dtype": "float32", "sites": list(tiny_model.sites)}
    rows = []
    for sample in SAMPLES[:2]:
        stack, audio = tmp_path / f"{sample.id}.h5", tmp_path / f"{sample.id}.wav"
        generate_samples(
            tiny_model, [sample], [stack], [audio], study="s", capture=capture, generation=GENERATION
        )
        with Stack(stack) as opened:
            assert len(opened.places) == 9
        rows.append({"stack": str(stack), "audio": str(audio)})
    index = listed(pd.DataFrame(rows))
    assert failures(index) == set()
    assert refuted(index, tiny_model) == set()
    with wrongly(index, 1) as file:
        file["mlp/layer_02"][0, 5, 3] = np.nan
    assert failures(index) == {("finite", SAMPLES[1].id)}
