"""Clips are shared out among jobs so that a prompt more changes one of them."""

import pytest

from innerear.study.jobs import (
    LAYERS_OF_A_JOB,
    groups,
    jobs_text,
    layers_together,
    measured_together,
    prompts_of_a_job,
    templates_of_a_job,
)
from innerear.study.prompts import Prompt, prompts_from_sheet

ROWS = [("one", "happy"), ("two", "sad"), ("three", "happy"), ("four", "calm"), ("five", "sad")]


def sheet(path, rows):
    lines = ["id\ttext\temotion", *(f"{name}\tmusic {name}\t{emotion}" for name, emotion in rows)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def named(path, size):
    return [[one.id for one in group] for group in groups(prompts_from_sheet(path), size, path)]


def test_a_row_more_changes_the_last_job_alone(tmp_path):
    before = named(sheet(tmp_path / "a.tsv", ROWS), 2)
    assert before == [["one", "two"], ["three", "four"], ["five"]]
    # Prompts are sorted by emotion elsewhere; the jobs keep the order of the sheet.
    after = named(sheet(tmp_path / "b.tsv", [*ROWS, ("six", "happy"), ("seven", "new")]), 2)
    assert after == [*before[:2], ["five", "six"], ["seven"]]


@pytest.mark.parametrize(
    ("batch", "seeds", "weights", "expected"),
    [
        ("auto", 2, 4e6, 20),
        ("auto", 100, 4e6, 1),
        ("auto", 2, 1e9, "prompt"),
        ("pair", 2, 4e6, "pair"),
        (7, 2, 1e9, 7),
    ],
)
def test_what_a_job_makes(batch, seeds, weights, expected):
    assert prompts_of_a_job(batch, seeds, weights) == expected


@pytest.mark.parametrize(("clips", "weights", "expected"), [(8, 4e6, 5), (41, 4e6, 1), (8, 1e9, 1)])
def test_a_job_of_a_small_model_replays_as_many_templates_as_make_its_clips(clips, weights, expected):
    assert templates_of_a_job(clips, weights) == expected


@pytest.mark.parametrize("layers", [[], [7], [0, 3, 5], range(6), range(7), range(48), [5, 99, 100]])
def test_each_layer_is_in_one_job_in_order_and_jobs_are_of_one_size(layers):
    jobs = [[int(layer) for layer in job.split("-")] for job in layers_together(layers)]
    assert [layer for job in jobs for layer in job] == list(layers)
    sizes = [len(job) for job in jobs]
    assert len(jobs) == -(-len(layers) // LAYERS_OF_A_JOB)
    assert max(sizes, default=0) <= LAYERS_OF_A_JOB
    assert all(size == sizes[0] for size in sizes[:-1])


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        ("pair", "80 jobs of one clip (generation.batch: auto)"),
        ("prompt", "40 jobs of one prompt, 2 clips, up to 2 at a time"),
        (20, "2 jobs of 20 prompts, 40 clips, up to 16 at a time"),
        (100, "one job of 40 prompts, 80 clips, up to 16 at a time"),
    ],
)
def test_the_announcement_says_how_the_clips_are_shared_out(batch, expected):
    assert expected in jobs_text(batch, {"batch": "auto", "batch_size": 16}, 40, 2)


def test_a_job_of_one_clip_is_said_to_make_one():
    said = jobs_text("prompt", {"batch": "prompt", "batch_size": 16}, 6, 1)
    assert said == "  generated in 6 jobs of one prompt, one clip (generation.batch: prompt)"


def measured(templates, n_seeds, seconds=8):
    prompts = [
        Prompt(f"{template.replace(' ', '')}-{emotion}", f"{emotion} {template}", template, emotion)
        for emotion in ("happy", "sad")
        for template in templates
    ]
    jobs = measured_together(prompts, {prompt.id: range(n_seeds) for prompt in prompts}, seconds)
    assert sorted(one.id for own in jobs.values() for one in own) == sorted(one.id for one in prompts)
    return {name: list(dict.fromkeys(one.template for one in own)) for name, own in jobs.items()}


def test_whole_templates_are_measured_together():
    assert measured("abc", 20) == {"a": ["a", "b", "c"]}  # 960 s of sound
    assert measured("abcde", 30) == {"a": ["a", "b"], "c": ["c", "d"], "e": ["e"]}
    assert measured("ab", 100) == {"a": ["a"], "b": ["b"]}


def test_long_clips_are_measured_fewer_at_a_time():
    assert measured("abcd", 10, seconds=30) == {"a": ["a", "b"], "c": ["c", "d"]}
    assert measured("abcd", 5, seconds=60) == {"a": ["a", "b"], "c": ["c", "d"]}
    assert measured("ab", 5, seconds=600) == {"a": ["a"], "b": ["b"]}


def test_templates_that_cannot_name_a_file_are_measured_prompt_by_prompt():
    jobs = measured(["a b", "c"], 75)
    assert list(jobs) == ["ab-happy", "ab-sad"]


@pytest.mark.parametrize(
    ("batch", "n_tracks", "expected"),
    [
        (4, 4, "  encoded in one job of 4 tracks, 4 clips, up to 4 at a time"),
        (2, 4, "  encoded in 2 jobs of 2 tracks, 2 clips"),
        ("prompt", 4, "  encoded in 4 jobs of one track, one clip"),
        ("pair", 4, "  encoded in 4 jobs of one clip"),
        (4, 3, "  generated in one job of 4 prompts"),  # some are composed
        (4, 0, "  generated in one job of 4 prompts"),
    ],
)
def test_tracks_are_not_said_to_be_generated(batch, n_tracks, expected):
    assert jobs_text(batch, {"batch": "auto", "batch_size": 16}, 4, 1, n_tracks).startswith(expected)
