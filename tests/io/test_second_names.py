"""A file's second name is the same file, and goes when the first stands among the results."""

import os

import pytest

from innerear.io.second_names import forget_finished, name_also, paths_apart


@pytest.fixture
def named(tmp_path):
    """The results, the folder apart, and one file with a name in each."""
    file = tmp_path / "results/stacks/happy/seed-0.h5"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"states")
    (apart,) = paths_apart([file], tmp_path / "apart")
    name_also(file, apart)
    return tmp_path / "results", tmp_path / "apart", file, apart


def test_both_names_have_one_file(named):
    _, folder, file, apart = named
    assert apart == folder / "stacks/happy/seed-0.h5"
    assert apart.samefile(file)
    file.unlink()
    name_also(apart, file)
    assert file.read_bytes() == b"states"


def test_another_file_of_that_name_is_replaced(named):
    *_, file, apart = named
    file.unlink()
    file.write_bytes(b"later")
    name_also(apart, file)
    assert file.read_bytes() == b"states"
    assert apart.samefile(file)


def test_a_copy_stands_in_where_there_are_no_hard_links(named, monkeypatch):
    *_, file, apart = named
    file.unlink()

    def no_links(*_):
        raise OSError

    monkeypatch.setattr(os, "link", no_links)
    name_also(apart, file)
    copied = file.stat().st_ino
    assert copied != apart.stat().st_ino
    assert file.read_bytes() == b"states"
    name_also(apart, file)
    assert file.stat().st_ino == copied


def test_only_names_of_what_stands_among_the_results_are_forgotten(named):
    results, folder, file, apart = named
    forget_finished(folder, results / "elsewhere")
    assert apart.exists()
    forget_finished(folder, results)
    assert file.exists()
    assert not folder.exists()
    forget_finished(folder, results)
