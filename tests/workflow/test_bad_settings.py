"""What cannot be used ends a dry run at once, with one message and no trace of Python."""

import pytest

GIVEN_TWICE = "\nseeds: [1]\n"
SHEET = {"prompts": {"sheet": "prompts.tsv"}}


@pytest.mark.parametrize(
    ("changes", "more", "message"),
    [
        ({}, GIVEN_TWICE, "the key 'seeds' is given twice"),
        ({"study": "a{b}"}, "", "study: 'a{b}' is not allowed"),
        ({"model": {"name": "{gone}", "architecture": "nano"}}, "", "'{gone}' does not exist"),
        ({"statistics": {"controls": ["nope"]}}, "", "statistics.controls: results/nope holds no study"),
        ({"statistics": {"controls": ["tiny"]}}, "", "statistics.controls: 'tiny' is this study itself"),
        ({}, "\n1: 2\nyes: 2\n", "1: unknown key"),
        (SHEET, "", "prompts.tsv, row 3 has 4 cells, but row 1 names 3 columns"),
    ],
)
def test_a_dry_run_says_what_is_wrong(fresh, changes, more, message):
    (fresh.folder / "prompts.tsv").write_text("id\ttext\temotion\na\tx\thappy\nb\ty\tsad\tz\n", "utf-8")
    fresh.configure(**changes)
    with (fresh.folder / "config.yaml").open("a", encoding="utf-8") as config:
        config.write(more)
    done = fresh.snakemake("--dry-run")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert said.count(message) == 1
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("section", "target"),
    [
        ("features", "features.html"),
        ("interventions", "steering.html"),
        ("counterfactual", "counterfactual.html"),
    ],
)
def test_a_target_of_a_part_that_is_switched_off_names_its_setting(fresh, section, target):
    fresh.configure(**{section: {"enabled": False}})
    done = fresh.snakemake("--dry-run", f"results/tiny/{target}")
    assert done.returncode != 0
    assert f"{section}.enabled" in done.stdout + done.stderr


def test_a_target_of_a_capture_that_the_study_lacks_is_no_target(fresh):
    done = fresh.snakemake("--dry-run", "results/tiny/captures/none/piano-happy/seed-0.h5")
    assert done.returncode != 0
    assert "No rule to produce" in done.stdout + done.stderr


@pytest.mark.parametrize("name", [".", "logs", "benchmarks", "stacks", "features/clips"])
def test_a_file_where_results_need_a_folder_is_named(fresh, name):
    path = fresh.results / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    done = fresh.snakemake("--dry-run")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert f"{path.relative_to(fresh.folder)} is a file, but results need a folder there" in said
    assert "Traceback" not in said
