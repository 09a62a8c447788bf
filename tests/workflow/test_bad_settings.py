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
