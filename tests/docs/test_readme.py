"""Code blocks of the README and of docs/ run as they stand, links lead somewhere, and the README is short."""

import re

import pytest
import yaml

import innerear

from .conftest import ROOT, Block, Tree, blocks_of

README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, ROOT / "results/README.md", ROOT / "benchmarks/README.md", *DOCS]
# Left out: what new_analysis.md adds, which a test of its own builds, examples of output, and repetitions.
BLOCKS = {}
for page in [README, *DOCS]:
    for number, block in enumerate(blocks_of(page)):
        if page.stem != "new_analysis" and block.language != "text":
            name = f"{page.stem}-{number}-{block.language}"
            BLOCKS.setdefault(block.text, pytest.param(block, id=name))


def assert_targets_of_make(block: Block) -> None:
    """The Makefile has each target."""
    known = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    for line in block.text.splitlines():
        command, target, *_ = line.split()
        assert (command, target in known) == ("make", True), line


def assert_runs(block: Block, tree: Tree) -> None:
    """A block runs, in the way that the comment above it says, and Python without a warning."""
    if block.how.startswith("needs "):
        tree.make(block.how.removeprefix("needs "))
    match block.language, block.how:
        case "bash", "make":
            assert_targets_of_make(block)
        case "bash", "dry run":
            said = tree.bash(block.text, DRY_RUN="yes").stderr
            assert "Study " in said
        case "bash", _:
            tree.bash(block.text)
        case "python", _:
            assert "Warning" not in tree.run(".venv/bin/python", "-c", block.text).stderr
        case "yaml", _:
            schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
            assert yaml.safe_load(block.text).keys() <= schema["properties"].keys()
            tree.folder.joinpath(block.text.splitlines()[0].removeprefix("# ")).write_text(block.text)
        case language, _:
            pytest.fail(f"no way to try a block of {language!r}")


@pytest.mark.parametrize("block", BLOCKS.values())
def test_a_block_runs(block, tree):
    assert_runs(block, tree)


def test_the_readme_has_every_kind_of_block():
    blocks = blocks_of(README)
    kinds = {(block.language, block.how.partition(" ")[0]) for block in blocks}
    assert kinds >= {("bash", "make"), ("bash", "dry"), ("bash", ""), ("python", ""), ("yaml", "")}


def test_a_newcomer_reads_it_in_three_minutes():
    text = README.read_text()
    assert len(text.splitlines()) <= 150
    assert text.count("![") == 1


def test_generated_parts_say_what_the_schema_and_the_workflow_say(tree):
    tree.run(".venv/bin/python", "docs/renew.py", "--check")
    pages = [tree.folder / name for name in ("docs/settings.md", "docs/dry_run.md", "docs/images/rules.svg")]
    whole = [page.read_text() for page in pages]
    for page, text in zip(pages, whole, strict=True):
        page.write_text(re.sub(r"(<!-- (\w+) -->|<svg).*(<!-- /\2 -->|</svg>)", r"\1\n\3", text, flags=re.S))
        assert page.read_text() != text
    tree.run(".venv/bin/python", "docs/renew.py")
    assert [page.read_text() for page in pages] == whole


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_links_to_exists(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_page_is_reached_from_the_readme():
    reached = set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text()))
    assert {f"docs/{page.name}" for page in DOCS} <= reached


def test_the_table_of_settings_has_all_limits_and_the_values_of_lists():
    allowed = {
        row.split("|")[1].strip(" `"): row.rpartition("|")[0].rpartition("|")[2].strip()
        for row in (ROOT / "docs/settings.md").read_text().splitlines()
        if row.startswith("| `")
    }
    assert allowed["generation.stride"] == "number, > 0, < 1"
    assert allowed["capture.branches"] == "array of `cond`, `uncond`"
    assert "`tokens`" in allowed["statistics.primary"]


def test_changelog_citation_and_library_name_one_release():
    newest = re.search(r"^## (\d.*) \((.*)\)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    citation = (ROOT / "CITATION.cff").read_text()
    cited = [re.search(rf"^{key}: (.*)$", citation, re.M).group(1) for key in ("version", "date-released")]
    assert newest and list(newest.groups()) == cited
    assert cited[0] == innerear.__version__
