"""A generation job keeps what is there and whole, and takes over what a killed one finished."""

import pytest
import torch

from innerear.capture import jobs
from innerear.capture.jobs import generate_missing
from innerear.errors import InputError
from innerear.io.second_names import forget_finished
from innerear.stacks import Stack
from innerear.study.prompts import Prompt, Sample

PROMPTS = [
    Prompt("happy", "happy music", "", "happy"),
    Prompt("sad", "sad music with a slow guitar", "", "sad"),
]
SAMPLES = [Sample(prompt, seed) for prompt in PROMPTS for seed in (0, 1)]
SETTINGS = {
    "study": "emotions",
    "capture": {"layers": [0], "dtype": "float16"},
    "generation": {"duration": 0.2, "guidance": 3.0},
}


def files_of(folder, samples=SAMPLES):
    names = ((folder / f"stacks/{one.id}.h5", folder / f"audio/{one.id}.wav") for one in samples)
    return tuple(zip(*names, strict=True))


def make(model, folder, samples=SAMPLES, **changes):
    stacks, audio = files_of(folder, samples)
    own = {"unfinished": folder / "unfinished", "batch_size": 2, "code": "a", **SETTINGS} | changes
    return generate_missing(model, samples, stacks, audio, **own)


@pytest.fixture
def job(tiny_model, tmp_path):
    """A finished job, and its stacks and clips."""
    assert make(tiny_model, tmp_path) == [one.id for one in SAMPLES]
    stacks, audio = files_of(tmp_path)
    return tmp_path, stacks, audio


def test_several_prompts_in_a_job_give_what_one_job_a_pair_gives(job, tiny_model, tmp_path):
    for sample, stack in zip(SAMPLES, job[1], strict=True):
        make(tiny_model, tmp_path / "alone", [sample])
        (alone,), _ = files_of(tmp_path / "alone", [sample])
        with Stack(stack) as one, Stack(alone) as other:
            assert one.attrs["tokens_sha256"] == other.attrs["tokens_sha256"]
            assert one.attrs["text"] == sample.prompt.text


def test_what_is_there_and_whole_stays(job, tiny_model):
    folder, stacks, audio = job
    before = [path.stat().st_ino for path in (*stacks, *audio)]
    assert make(tiny_model, folder) == []
    more = [*SAMPLES, Sample(PROMPTS[0], 2)]
    assert make(tiny_model, folder, more, batch_size=5) == ["happy/seed-2"]
    assert [path.stat().st_ino for path in (*stacks, *audio)] == before


def test_the_last_line_counts_what_was_composed_and_not_what_was_there(job, tiny_model, capsys):
    folder, stacks, _ = job
    make(tiny_model, folder)
    assert capsys.readouterr().err.endswith("made 0 clips\n")
    forget_finished(folder / "unfinished", folder)
    stacks[3].unlink()
    make(tiny_model, folder)  # with its neighbour, on which its rounding depends
    assert capsys.readouterr().err.endswith("made 2 clips\n")
    make(tiny_model, folder / "anew")
    assert capsys.readouterr().err.endswith(f"made {len(SAMPLES)} clips\n")


def test_what_is_damaged_or_was_made_otherwise_is_made_again(job, tiny_model):
    folder, stacks, audio = job
    forget_finished(folder / "unfinished", folder)
    content = bytearray(stacks[1].read_bytes())
    with Stack(stacks[1]) as stack:
        at = bytes(content).index(stack.read(0)[0, :2].tobytes())
    content[at] ^= 1
    stacks[1].write_bytes(content)
    audio[2].write_bytes(b"no sound")
    stacks[3].unlink()
    assert make(tiny_model, folder) == [SAMPLES[i].id for i in (1, 2, 3)]
    edited = Sample(Prompt("happy", "cheerful music", "", "happy"), 0)
    assert make(tiny_model, folder, [edited, *SAMPLES[1:]]) == [edited.id]
    assert make(tiny_model, folder, [edited], code="b") == [edited.id]
    assert make(tiny_model, folder, [edited], code="b", capture={"layers": [1], "dtype": "float16"})


def test_a_job_that_fails_keeps_what_it_finished_though_its_files_are_removed(
    tiny_model, tmp_path, monkeypatch
):
    compose, calls = jobs.generate_samples, []

    def fails_the_second_time(*arguments, **settings):
        calls.append(len(arguments[1]))
        if len(calls) == 2:
            raise InputError("the disk is full")
        compose(*arguments, **settings)

    monkeypatch.setattr(jobs, "generate_samples", fails_the_second_time)
    with pytest.raises(InputError):
        make(tiny_model, tmp_path)
    stacks, audio = files_of(tmp_path)
    for path in (*stacks, *audio):  # as Snakemake does after a failure
        path.unlink(missing_ok=True)
    assert make(tiny_model, tmp_path) == [one.id for one in SAMPLES[2:]]
    assert all(path.exists() for path in (*stacks, *audio))


def test_nothing_is_made_again_though_the_workflow_did_not_hear_of_the_end(job, tiny_model):
    folder, stacks, audio = job
    before = [path.stat().st_ino for path in (*stacks, *audio)]
    for path in (*stacks, *audio):
        path.unlink()
    assert make(tiny_model, folder) == []
    assert [path.stat().st_ino for path in (*stacks, *audio)] == before


def test_what_the_workflow_restored_gives_way_to_the_file_itself(job, tiny_model):
    folder, stacks, _ = job
    made, copy = stacks[0].stat(), stacks[0].read_bytes()
    stacks[0].unlink()
    stacks[0].write_bytes(copy)
    assert make(tiny_model, folder) == []
    assert stacks[0].stat().st_ino == made.st_ino


def test_calls_in_half_precision_have_as_many_rows_whatever_is_left(tiny_model, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(jobs, "generate_samples", lambda *_, rows, **__: asked.append(rows))
    monkeypatch.setattr(jobs, "name_also", lambda *_: None)
    make(tiny_model, tmp_path, SAMPLES[:3])
    monkeypatch.setattr(tiny_model, "dtype", torch.float16)
    make(tiny_model, tmp_path, SAMPLES[:3])
    assert asked == [None, None, 2, 2]
