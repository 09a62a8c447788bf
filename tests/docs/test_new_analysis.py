"""What docs/new_analysis.md adds, added to a copy of the tree and run.

`make test-long` runs it, since it takes a whole study.
"""

import re

import pandas as pd
import pytest

from .conftest import ROOT, blocks_of

pytestmark = pytest.mark.long
PAGE = ROOT / "docs/new_analysis.md"
_PATH = re.compile(r"`([\w./-]+\.\w+)`")


@pytest.fixture(scope="module")
def edited(tree):
    """The tree with every block of the page in its file, and what the page's commands said."""
    for block in blocks_of(PAGE):
        if block.language == "bash":
            tree.bash(block.text)
            continue
        path = tree.folder / _PATH.search(block.before)[1]
        if block.before.startswith("In "):
            anchor = block.text.splitlines(keepends=True)[0]
            assert path.read_text().count(anchor) == 1
            path.write_text(path.read_text().replace(anchor, block.text))
        elif block.before.startswith("Append to "):
            path.write_text(path.read_text() + "\n\n" + block.text)
        else:
            assert not path.exists()
            path.write_text(block.text)
    return tree.folder


def test_the_figure_is_drawn(edited):
    assert "<svg" in (edited / "results/tiny/figures/toy.svg").read_text()


def test_the_map_has_every_layer_and_branch(edited):
    table = pd.read_csv(edited / "results/tiny/toy/map.tsv", sep="\t")
    assert sorted(zip(table["layer"], table["branch"], strict=True)) == [
        (layer, branch) for layer in (0, 5) for branch in ("cond", "delta", "uncond")
    ]
    assert (table["family"] == "layers of " + table["branch"]).all()
    assert table["p_corrected"].between(0, 1).all()


def test_the_finding_is_on_the_page(edited):
    answers = pd.read_csv(edited / "results/tiny/findings.tsv", sep="\t")
    question = "Are clips of some emotions farther from the average clip than others, in uncond?"
    answer = answers[answers["question"] == question].squeeze()
    assert "no such rows" not in answer["answer"]


def test_an_edit_of_the_module_reruns_its_jobs_and_nothing_else(edited, tree):
    module = edited / "src/innerear/analyses/toy.py"
    module.write_text(module.read_text().replace("R² of the distances", "share of the distances"))
    wanted = ("results/tiny/figures/toy.svg", "--configfile", "tiny.yaml", "--dry-run")
    assert "Nothing to be done" in tree.make(*wanted).stdout
    module.write_text(module.read_text().replace("np.sqrt(np.diagonal", "np.cbrt(np.diagonal"))
    planned = tree.make(*wanted, "--quiet", "rules").stdout
    rules = re.findall(r"^(\w+) +\d+$", planned, re.M)
    assert set(rules) == {"toy", "toy_map", "plot_toy", "total"}


def test_what_is_added_keeps_the_style(tree, edited):
    added = sorted(path.relative_to(edited).as_posix() for path in edited.rglob("*toy.py"))
    assert added == [
        "src/innerear/analyses/toy.py",
        "src/innerear/figures/toy.py",
        "tests/analyses/test_toy.py",
    ]
    ruff = (".venv/bin/python", "-m", "ruff")
    assert "All checks passed!" in tree.run(*ruff, "check", *added).stdout
    assert "3 files already formatted" in tree.run(*ruff, "format", "--check", *added).stdout
