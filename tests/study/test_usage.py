"""What a study used, read from its files and benchmarks."""

from dataclasses import replace

import pytest

from innerear.study.estimate import CellEstimate, Estimate
from innerear.study.usage import (
    counterfactual_time,
    duration_text,
    generation_time,
    memory_asked,
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


@pytest.fixture
def results(tmp_path):
    """A study of one finished pair and one finished prompt, with a job that took more than it asked for."""

    def benchmark(name, seconds, megabytes):
        path = tmp_path / "benchmarks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tmax_rss\n{seconds}\t{megabytes}\n")

    benchmark("generate/a/seed-0.tsv", 10, 500)
    benchmark("generate/b/all-seeds.tsv", 12, 700)
    benchmark("gram/layer_00.tsv", 2, 3000)
    benchmark("gate.tsv", 0.1, "-")
    (tmp_path / "stacks/a").mkdir(parents=True)
    (tmp_path / "stacks/a/seed-0.h5").write_bytes(bytes(1500))
    return tmp_path


def test_the_rate_is_measured_per_sample_whatever_the_jobs_size(results):
    # 10 s for one, 12 s for three: the median is 7 s, of six samples.
    said = generation_time(SIZE, results / "benchmarks")
    assert "42 s of one device" in said
    assert "7 s each, the median of 2 jobs" in said


def test_a_job_of_several_prompts_is_of_all_their_samples(tmp_path):
    path = tmp_path / "generate/prompts-3-to-4.tsv"
    path.parent.mkdir()
    path.write_text("s\tmax_rss\n12\t500\n")
    assert "2 s each, the median of 1 job done" in generation_time(SIZE, tmp_path)


@pytest.mark.parametrize("text", ["", "s\tmax_rss\nfoo\t500\n", "s\tmax_rss\n12\n", "\0\n\0", "s\n"])
def test_a_damaged_measurement_is_left_out(results, text):
    before = generation_time(SIZE, results / "benchmarks"), usage_report(SIZE, results, {})
    (results / "benchmarks/generate/damaged.tsv").write_text(text)
    assert (generation_time(SIZE, results / "benchmarks"), usage_report(SIZE, results, {})) == before


def test_before_the_first_job_no_rate_is_made_up(tmp_path):
    assert "known after the first generation job" in generation_time(SIZE, tmp_path / "benchmarks")


def test_the_time_of_the_swapped_texts_comes_from_the_best_rate_there_is(results):
    benchmarks = results / "benchmarks"
    assert counterfactual_time(SIZE, benchmarks) == ""
    # 7 s a generated sample, and a pass takes less.
    assert "less than 3.5 min for the swapped texts" in counterfactual_time(SWAPPED, benchmarks)
    (benchmarks / "replay/more").mkdir(parents=True)
    (benchmarks / "replay/more/a.tsv").write_text("s\tmax_rss\n6\t1\n")
    # One pass for each of a prompt's three seeds in 6 s.
    assert "1 min for the swapped texts, at 2 s a pass" in counterfactual_time(SWAPPED, benchmarks)
    (benchmarks / "counterfactual/model").mkdir(parents=True)
    (benchmarks / "counterfactual/model/a.tsv").write_text("s\tmax_rss\n7.5\t1\n")
    # One of two jobs of 15 passes in 7.5 s.
    assert "15 s for the swapped texts, at 0.5 s a pass" in counterfactual_time(SWAPPED, benchmarks)


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
