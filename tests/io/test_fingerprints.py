"""A fingerprint follows code, through imports, and nothing else; what was noted is no older than the text."""

import pytest

from innerear.errors import InputError
from innerear.io import fingerprints

CACHES = (fingerprints._notes, fingerprints._read, fingerprints._is_module)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy-like innerear of three modules: top imports middle, middle imports base."""
    (tmp_path / "base.py").write_text('"""Base."""\nONE = 1\n')
    (tmp_path / "middle.py").write_text("from innerear.base import ONE\nTWO = ONE + 1\n")
    (tmp_path / "top.py").write_text("import innerear.middle\nimport os\n")
    (tmp_path / "aside.py").write_text("THREE = 3\n")
    monkeypatch.setattr(fingerprints, "_PACKAGE", tmp_path)
    monkeypatch.chdir(tmp_path)

    def fingerprint(module):
        """As a process of its own would."""
        for cached in CACHES:
            cached.cache_clear()
        return fingerprints.fingerprint(module)

    yield tmp_path, fingerprint
    for cached in CACHES:
        cached.cache_clear()


def test_fingerprint_follows_imports_through_the_package(package):
    folder, fingerprint = package
    before = fingerprint("innerear.top")
    (folder / "base.py").write_text("ONE = 10\n")
    assert fingerprint("innerear.top") != before


def test_fingerprint_ignores_what_is_not_imported(package):
    folder, fingerprint = package
    before = fingerprint("innerear.top")
    (folder / "aside.py").write_text("THREE = 4\n")
    assert fingerprint("innerear.top") == before


def test_fingerprint_ignores_comments_docstrings_and_layout(package):
    folder, fingerprint = package
    before = fingerprint("innerear.top")
    (folder / "base.py").write_text('"""Another text."""\n\n# why one\nONE = (\n    1\n)\n')
    assert fingerprint("innerear.top") == before


def test_fingerprint_names_a_module_that_does_not_exist(package):
    with pytest.raises(InputError, match=r"innerear\.nothing"):
        fingerprints.fingerprint("innerear.nothing")


def test_fingerprint_is_the_same_from_notes_and_without_them(package, monkeypatch):
    folder, fingerprint = package
    before = fingerprint("innerear.top")
    assert (folder / ".snakemake/innerear-code.json").is_file()
    monkeypatch.setattr(fingerprints.ast, "parse", None)  # whatever is noted is not parsed again
    assert fingerprint("innerear.top") == before


def test_a_module_that_appears_is_followed(package):
    folder, fingerprint = package
    (folder / "top.py").write_text("from innerear import late\n")
    before = fingerprint("innerear.top")
    (folder / "late.py").write_text("FOUR = 4\n")
    assert fingerprint("innerear.top") != before


@pytest.mark.parametrize("damage", [lambda path: path.write_text("{"), lambda path: path.mkdir()])
def test_notes_that_cannot_be_read_or_kept_cost_time_only(package, damage):
    folder, fingerprint = package
    before = fingerprint("innerear.top")
    notes = folder / ".snakemake/innerear-code.json"
    notes.unlink()
    damage(notes)
    assert fingerprint("innerear.top") == before


def test_notes_of_another_version_of_this_module_do_not_count(package, monkeypatch):
    _, fingerprint = package
    before = fingerprint("innerear.top")
    monkeypatch.setattr(fingerprints, "_own_text", lambda: b"another")
    monkeypatch.setattr(fingerprints, "_stripped", lambda tree: "all the same")
    assert fingerprint("innerear.top") != before
