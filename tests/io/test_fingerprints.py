"""A fingerprint follows code, through imports, and nothing else; what was noted is no older than the text."""

import shutil
from pathlib import Path

import pytest

from innerear.errors import InputError
from innerear.io import fingerprints

ROOT = Path(__file__).parents[2]
CACHES = (
    fingerprints._notes,
    fingerprints._read,
    fingerprints._pages,
    fingerprints._is_module,
    fingerprints._file,
)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy-like innerear of three modules: top imports middle, middle imports base."""
    (tmp_path / "base.py").write_text('"""Base."""\nONE = 1\n')
    (tmp_path / "middle.py").write_text("from innerear.base import ONE\nTWO = ONE + 1\n")
    (tmp_path / "top.py").write_text("import innerear.middle\nimport os\n")
    (tmp_path / "aside.py").write_text("THREE = 3\n")
    script = tmp_path / "script.py"
    script.write_text("from innerear import top\n")
    monkeypatch.setattr(fingerprints, "_PACKAGE", tmp_path)
    monkeypatch.chdir(tmp_path)

    def fingerprint(*modules):
        """As a process of its own would."""
        for cached in CACHES:
            cached.cache_clear()
        return fingerprints.fingerprint(script, *modules)

    yield tmp_path, fingerprint
    for cached in CACHES:
        cached.cache_clear()


def test_fingerprint_follows_imports_through_the_package(package):
    folder, fingerprint = package
    before = fingerprint()
    (folder / "base.py").write_text("ONE = 10\n")
    assert fingerprint() != before


def test_fingerprint_ignores_what_is_not_imported(package):
    folder, fingerprint = package
    before = fingerprint()
    (folder / "aside.py").write_text("THREE = 4\n")
    assert fingerprint() == before


def test_fingerprint_ignores_comments_docstrings_and_layout(package):
    folder, fingerprint = package
    before = fingerprint()
    (folder / "base.py").write_text('"""Another text."""\n\n# why one\nONE = (\n    1\n)\n')
    assert fingerprint() == before


def test_fingerprint_names_a_module_that_does_not_exist(package):
    _, fingerprint = package
    with pytest.raises(InputError, match=r"innerear\.nothing"):
        fingerprint("innerear.nothing")


def test_fingerprint_follows_a_module_that_the_script_imports_by_a_computed_name(package):
    folder, fingerprint = package
    before = fingerprint("innerear.aside")
    assert before.startswith("innerear.aside ")
    assert fingerprint().startswith("script.py ")
    (folder / "aside.py").write_text("THREE = 4\n")
    assert fingerprint("innerear.aside") != before


@pytest.mark.parametrize("module", ["io.tables", "statistics.design.file", "stacks.gram_file"])
def test_every_analysis_follows_what_its_script_reads_and_writes_by(module, tmp_path, monkeypatch):
    """An edit of how tables are written, or designs read, runs the analyses again."""
    source, copy = ROOT / "src/innerear", tmp_path / "innerear"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(fingerprints, "_PACKAGE", copy)
    monkeypatch.chdir(tmp_path)

    def fingerprint():
        for cached in CACHES:
            cached.cache_clear()
        return fingerprints.fingerprint(ROOT / "scripts/layer.py", "innerear.analyses.similarity")

    before = fingerprint()
    path = copy.joinpath(*module.split(".")).with_suffix(".py")
    path.write_text(path.read_text("utf-8") + "\nEDITED = True\n")
    assert fingerprint() != before
    for cached in CACHES:
        cached.cache_clear()


def test_fingerprint_is_the_same_from_notes_and_without_them(package, monkeypatch):
    folder, fingerprint = package
    before = fingerprint()
    assert (folder / ".snakemake/innerear-code.json").is_file()
    monkeypatch.setattr(fingerprints, "_stripped", None)  # whatever is noted is not parsed again
    assert fingerprint() == before


def test_a_module_that_appears_is_followed(package):
    folder, fingerprint = package
    (folder / "top.py").write_text("from innerear import late\n")
    before = fingerprint()
    (folder / "late.py").write_text("FOUR = 4\n")
    assert fingerprint() != before


@pytest.mark.parametrize("damage", [lambda path: path.write_text("{"), lambda path: path.mkdir()])
def test_notes_that_cannot_be_read_or_kept_cost_time_only(package, damage):
    folder, fingerprint = package
    before = fingerprint()
    notes = folder / ".snakemake/innerear-code.json"
    notes.unlink()
    damage(notes)
    assert fingerprint() == before


@pytest.mark.parametrize("template", ["page.html", "line.svg"])
def test_fingerprint_follows_the_templates_of_pages(package, template):
    folder, fingerprint = package
    before = fingerprint()
    (folder / template).write_text("<p>")
    assert fingerprint() != before


def test_notes_of_another_version_of_this_module_do_not_count(package, monkeypatch):
    _, fingerprint = package
    before = fingerprint()
    monkeypatch.setattr(fingerprints, "_own_text", lambda: b"another")
    monkeypatch.setattr(fingerprints, "_stripped", lambda tree: "all the same")
    assert fingerprint() != before
