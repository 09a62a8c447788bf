"""A notebook reads a study's files by names, and is told what there is when a name is wrong."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from innerear import open_study
from innerear.errors import InputError
from innerear.io.clips import write_clip
from innerear.io.tables import write_table
from innerear.stacks import StackWriter
from innerear.stacks.index import sample_table
from innerear.timeline import Timeline

TIMELINE = Timeline(n_frames=10, n_codebooks=4, frame_rate=50.0)
D = 6


def write_sample(folder, prompt, seed, root="stacks", site="residual", sample_id=None, source=None):
    rng = np.random.default_rng([len(prompt), seed])
    attrs = {"sample_id": sample_id or f"{prompt}/seed-{seed}", "prompt_id": prompt, "seed": seed}
    attrs |= {"template": "piano", "emotion": prompt.partition("-")[2], "text": f"{prompt} music"}
    attrs |= {"model": "tiny", "model_identity": "sha256:0"}
    states = rng.normal(size=(2, TIMELINE.n_steps, D)).astype(np.float32)
    levels = np.full(states.shape[:2], -9.8, np.float32)
    path = folder / root / prompt / f"seed-{seed}.h5"
    clip = write_clip(folder / "audio" / prompt / f"seed-{seed}.wav", np.full(320, seed / 10), 1600)
    attrs |= {"audio_sha256": clip, "source_sha256": source}
    with StackWriter(path, attrs, rng.integers(0, 9, (4, 10)), TIMELINE, dtype="float32") as stack:
        stack.write(site, 3, states, levels)
    return path, states


@pytest.fixture
def folder(tmp_path):
    """A study of two prompts and two seeds, with one analysis and one further capture."""
    folder = tmp_path / "results" / "tiny"
    stacks = [write_sample(folder, prompt, seed)[0] for prompt in ("a-happy", "a-sad") for seed in (0, 3)]
    table = sample_table(stacks, folder / "audio")
    write_table(table, folder / "samples.tsv")
    for name in (
        "similarity/map",
        "similarity/tables/layers_03-05",
        "qc/summary",
        "alignment/table",
        "logs/x",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_table(pd.DataFrame({"name": [name]}), folder / f"{name}.tsv")
    write_sample(folder, "a-happy", 0, "captures/more", "mlp", source=table["content_sha256"][0])
    return folder


def test_states_of_one_sample_have_named_axes(folder):
    states = open_study(folder).states("a-happy", 3, 3)
    assert states.dims == ("branch", "step", "d_model")
    assert states.dtype == np.float32
    _, written = write_sample(folder / "again", "a-happy", 3)
    np.testing.assert_array_equal(states.sel(branch="uncond"), written[1])
    np.testing.assert_allclose(states["seconds"][:3], [0, 0.02, 0.04], rtol=1e-6)
    assert int(states["complete"].sum()) == 7
    assert states.attrs["text"] == "a-happy music"


def test_raw_states_have_their_mean_over_units(folder):
    study = open_study(folder)
    raw, states = (study.states("a-sad", 0, 3, raw=raw) for raw in (True, False))
    np.testing.assert_allclose(raw - states, np.float32(-9.8), rtol=1e-5)


def test_states_of_several_samples_are_selected_by_name(folder):
    study = open_study(folder)
    every = study.states(None, None, 3)
    assert every.dims == ("sample", "branch", "step", "d_model")
    assert every["sample"].values.tolist() == study.samples["sample_id"].tolist()
    sad = every[(every["emotion"] == "sad") & (every["seed"] == 3)]
    np.testing.assert_array_equal(sad[0], study.states("a-sad", 3, 3))
    assert study.states("a-sad", [0, 3], 3)["prompt"].values.tolist() == ["a-sad"] * 2
    assert study.states(["a-sad"], np.array([0]), np.int64(3)).shape == (1, 2, 13, D)


def test_a_further_capture_is_read_by_its_name(folder):
    study = open_study(folder)
    assert study.captures == ["more"]
    assert study.states("a-happy", 0, 3, site="mlp", capture="more").shape == (2, 13, D)
    with pytest.raises(InputError, match="no capture 'less'; it has more"):
        study.states("a-happy", 0, 3, capture="less")


def test_tables_are_found_by_short_names(folder):
    study = open_study(folder)
    assert study.tables == [
        "alignment",
        "qc/summary",
        "samples",
        "similarity",
        "similarity/tables/layers_03-05",
    ]
    assert study.table("similarity")["name"].item() == "similarity/map"
    assert study.table("alignment")["name"].item() == "alignment/table"
    with pytest.raises(
        InputError, match=r"no table 'similarty' \(did you mean 'similarity'\?\); it has align"
    ):
        study.table("similarty")
    with pytest.raises(InputError, match="no table"):
        study.table("../tiny/samples")


def test_audio_is_the_clip(folder):
    wave, rate = open_study(str(folder)).audio("a-sad", 3)
    assert (wave.shape, wave.dtype, rate) == ((320,), np.float32, 1600)
    np.testing.assert_allclose(wave, 0.3, atol=1e-4)


def test_repr_says_what_it_is(folder):
    assert "4 samples of tiny: 2 prompts × 2 seeds; 5 tables" in repr(open_study(folder))
    (folder / "samples.tsv").write_text("nonsense\n1\n")
    assert "is no table of this workflow" in repr(open_study(folder))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda study: study.states("a-hapy", 0, 3), r"no prompt 'a-hapy' \(did you mean 'a-happy'\?\)"),
        (lambda study: study.states("a-happy", 1, 3), "no seed 1; it has 0, 3"),
        (lambda study: study.states("a-happy", "0", 3), "seed: '0' is not allowed"),
        (lambda study: study.states("a-happy", 0.5, 3), r"seed: 0\.5 is not allowed"),
        (lambda study: study.states("a-happy", 0, 4), r"no layer 4 at site 'residual'; it has \[3\]"),
        (lambda study: study.states("a-happy", 0, "3"), "layer: '3' is not allowed"),
        (lambda study: study.states("a-happy", 0, 3, raw="no"), "raw: 'no' is not allowed"),
        (lambda study: study.states("a-happy", 0, 3, site="mpl"), "no layer 3 at site 'mpl'"),
        (
            lambda study: study.states("a-happy", 0, 3, site="residul"),
            r"at site 'residul' \(did you mean 'residual'\?\); its sites are residual$",
        ),
        (lambda study: study.states("a-happy", 0, 3, site=None), "at site None; its sites are residual$"),
        (
            lambda study: study.states("a-happy", 0, 3, site="mlp"),
            r"at site 'mlp'; it has the sites residual\. Add it to capture\.sites",
        ),
        (lambda study: study.states([], 0, 3), "prompt: the list is empty"),
        (lambda study: study.states(5, 0, 3), "prompt: 5 is not allowed"),
        (lambda study: study.audio(None, 0), "no single sample"),
        (lambda study: study.audio("a-happy", None), "no single sample"),
        (lambda study: study.table(3), "no table 3"),
    ],
)
def test_a_name_that_is_not_there_is_named(folder, ask, message):
    with pytest.raises(InputError, match=message):
        ask(open_study(folder))


@pytest.mark.parametrize("name", ["s" * 5000, "s/" * 3000])
def test_a_name_that_no_folder_can_have_is_one_line(name):
    with pytest.raises(InputError, match="cannot be read: the name is too long for its file system"):
        open_study(name)


def test_a_folder_that_is_no_study_says_which_there_are(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "..")  # where no results lie
    with pytest.raises(InputError, match=r"tinny holds no study.*there are .*results/tiny"):
        open_study(folder.parent / "tinny")
    with pytest.raises(InputError, match="a study that has run"):
        open_study(tmp_path / "nowhere" / "none")
    with pytest.raises(InputError, match="is no path"):
        open_study(5)


def test_a_study_that_still_runs_has_the_samples_that_are_finished(folder):
    whole = open_study(folder).samples
    (folder / "samples.tsv").unlink()
    (folder / "stacks/a-sad/seed-3.h5").unlink()
    running = open_study(folder)
    assert running.samples["sample_id"].tolist() == whole["sample_id"].tolist()[:3]
    assert running.states("a-sad", 0, 3).shape == (2, 13, D)


def test_broken_and_exchanged_files_are_refused(folder):
    study = open_study(folder)
    (folder / "audio/a-sad/seed-0.wav").write_text("no sound")
    with pytest.raises(InputError, match=r"seed-0\.wav is not the clip that was written"):
        study.audio("a-sad", 0)
    stack, other = folder / "stacks/a-sad/seed-3.h5", folder / "stacks/a-sad/seed-0.h5"
    whole = stack.read_bytes()
    stack.write_bytes(other.read_bytes())
    with pytest.raises(InputError, match=r"the study's index lists .*another sample's file"):
        study.states("a-sad", 3, 3)
    stack.write_bytes(whole)
    assert study.states("a-sad", 3, 3).shape == (2, 13, D)
    stack.unlink()
    with pytest.raises(InputError, match="does not exist"):
        study.states("a-sad", 3, 3)


def test_reading_a_study_imports_no_torch(folder):
    read = f"innerear.open_study({str(folder)!r}).states(None, None, 3)"
    code = f"import sys, innerear; {read}; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "audiocraft"} & set(said.split())


def test_a_replayed_stack_of_another_version_is_refused(folder):
    write_sample(folder, "a-happy", 0, "captures/more", "mlp", source="0" * 64)
    with pytest.raises(InputError, match=r"another version of it than the index lists; remake it"):
        open_study(folder).states("a-happy", 0, 3, site="mlp", capture="more")
