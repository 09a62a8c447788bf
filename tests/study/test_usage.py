"""What a study used, read from its files and benchmarks."""

from dataclasses import replace

import pytest

from innerear.study.estimate import CellEstimate, Estimate
from innerear.study.usage import (
    counterfactual_time,
    duration_text,
    generation_time,
    memory_asked,
    steering_time,
    usage_report,
)

SIZE = Estimate(
    n_prompts=2,
    n_seeds=3,
    n_layers=1,
    n_steps=10,
    seconds=1,
    stack_bytes=1024,
    audio_bytes=100,
    gram_bytes=2048,
    weight_bytes=0,
)


SWAPPED = replace(
    SIZE,
    cells=CellEstimate(
        n_jobs=2,
        templates_of_a_job=1,
        n_models=1,
        n_clips=6,
        passes_per_group=30,
        n_cells=18,
        n_layers=1,
        layers_at_once=1,
        state_bytes=1000,
        gram_bytes=100,
        file_bytes=4096,
        token_bytes=1024,
    ),
)


def finished(results, job, seconds, made="", megabytes=500):
    """Leave what a finished job leaves: its measurement, and a log that ends with what it made."""
    for folder, suffix, text in (
        ("benchmarks", "tsv", f"s\tmax_rss\n{seconds}\t{megabytes}\n"),
        ("logs", "log", f"16 samples: 100%\n{made}\n"),
    ):
        path = results / folder / f"{job}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def results(tmp_path):
    """A study of one finished pair and one finished prompt, with a job that took more than it asked for."""
    finished(tmp_path, "generate/a/seed-0", 10, "made 1 clips")
    finished(tmp_path, "generate/b/all-seeds", 12, "made 3 clips", 700)
    finished(tmp_path, "gram/layers_00", 2, megabytes=3000)
    finished(tmp_path, "gate", 0.1, megabytes="-")
    (tmp_path / "stacks/a").mkdir(parents=True)
    (tmp_path / "stacks/a/seed-0.h5").write_bytes(bytes(1500))
    return tmp_path


def test_the_rate_is_measured_per_sample_whatever_the_jobs_size(results):
    # 10 s for one, 12 s for three: the median is 7 s, of six samples.
    said = generation_time(SIZE, results)
    assert "42 s of one device" in said
    assert "7 s each, the median of 2 jobs" in said


@pytest.mark.parametrize("made", ["made 0 clips", "made 9 clips later", "error: it broke", ""])
def test_a_job_that_made_nothing_or_does_not_say_what_tells_no_rate(results, made):
    before = generation_time(SIZE, results)
    finished(results, "generate/prompts-1-to-2", 3, made)
    assert generation_time(SIZE, results) == before


def test_clips_that_were_there_already_took_no_time(tmp_path):
    """A prompt was added: the job of several prompts has made its clips alone."""
    finished(tmp_path, "generate/prompts-1-to-2", 4, "made 2 clips")
    assert "2 s each, the median of 1 job done" in generation_time(SIZE, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        *("", "s\tmax_rss\nfoo\t500\n", "s\tmax_rss\n12\n", "\0\n\0", "s\n", "s\tmax_rss\n1e999\t1\n"),
        *(f"s\tmax_rss\n{'9' * 400}\t1\n", f"s\tmax_rss\n{'9' * 200_000}\t1\n"),
    ],
)
def test_a_damaged_measurement_is_left_out(results, text):
    before = generation_time(SIZE, results), usage_report(SIZE, results, {})
    finished(results, "generate/damaged", 1, "made 1 clips")
    (results / "benchmarks/generate/damaged.tsv").write_text(text)
    assert (generation_time(SIZE, results), usage_report(SIZE, results, {})) == before


def test_a_measurement_that_cannot_be_opened_is_left_out(results):
    whole = usage_report(SIZE, results, {})
    (results / "benchmarks/a_folder.tsv").mkdir()
    (results / "benchmarks/a_loop.tsv").symlink_to("a_loop.tsv")
    assert "generate" in usage_report(SIZE, results, {})
    assert whole.splitlines()[:3] == usage_report(SIZE, results, {}).splitlines()[:3]


def test_before_the_first_job_no_rate_is_made_up(tmp_path):
    assert "known after the first generation job" in generation_time(SIZE, tmp_path)


def test_the_time_of_the_swapped_texts_comes_from_the_best_rate_there_is(results):
    assert counterfactual_time(SIZE, results) == ""
    # 7 s a generated sample, and a pass takes less.
    assert "less than 3.5 min for the swapped texts" in counterfactual_time(SWAPPED, results)
    finished(results, "replay/more/a", 6, "made 3 passes")
    assert "1 min for the swapped texts, at 2 s a pass" in counterfactual_time(SWAPPED, results)
    finished(results, "counterfactual/model/a", 7.5, "made 15 passes")
    assert "15 s for the swapped texts, at 0.5 s a pass" in counterfactual_time(SWAPPED, results)


def test_the_time_of_steered_clips_is_that_of_their_own_jobs_once_there_is_one(results):
    assert steering_time(0, results) == ""
    assert "1.17 min for 10 steered clips, at 7 s each, the median of 2 jobs of rule generate" in (
        steering_time(10, results)
    )
    finished(results, "steer/layer_03", 40, "made 20 clips")
    assert "20 s for 10 steered clips, at 2 s each, the median of 1 job of rule steer" in (
        steering_time(10, results)
    )


def test_before_the_first_job_nothing_is_said_of_the_passes_rate(tmp_path):
    assert "after the first job" in counterfactual_time(SWAPPED, tmp_path)


def test_the_counterfactuals_files_are_counted(results):
    (results / "counterfactual/model/a").mkdir(parents=True)
    (results / "counterfactual/model/a/layer_00.h5").write_bytes(bytes(2500))
    row = next(line for line in usage_report(SWAPPED, results, {}).splitlines() if "counterfactual" in line)
    assert "5 KiB" in row  # 4 of the layer, 1 of the tokens
    assert "2.44 KiB" in row


def test_used_stands_beside_estimated_and_asked(results):
    report = usage_report(SIZE, results, {"generate": 1000, "gram": 2000, "gate": 500})
    rows = {line.split()[0]: line for line in report.splitlines()}
    assert "6 KiB" in rows["stacks"]  # six samples of 1 KiB
    assert "1.46 KiB" in rows["stacks"]  # 1500 bytes
    assert rows["generate"].split()[1] == "2"
    assert "700 MiB" in rows["generate"]
    assert "more than asked" in rows["gram"]
    assert "more than asked" not in rows["generate"]
    assert rows["gate"].endswith("–")


def test_the_rules_that_ask_for_most_are_named_first():
    said = memory_asked({"qc": 500, "gram": 4000, "generate": 2000}, most=2)
    assert said.index("gram") < said.index("generate")
    assert "qc" not in said
    assert said.endswith("; the other rules less")
    assert memory_asked({"generate": 2000}) == "  asked     generate 1.86 GiB of memory for a job"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.5, "1.5 s"),
        (59.99, "1 min"),
        (90, "1.5 min"),
        (7200, "2 h"),
        (86400, "1 day"),
        (8.64e7, "1,000 days"),
    ],
)
def test_durations_read_well(seconds, text):
    assert duration_text(seconds) == text
