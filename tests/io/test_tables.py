import pandas as pd
import pytest

from innerear.errors import InputError
from innerear.io.tables import read_table, write_table


def test_a_table_comes_back_as_it_was(tmp_path):
    table = pd.DataFrame({"reason": ["", "too short"], "value": [1.5, float("nan")], "name": ["NA", "null"]})
    write_table(table, tmp_path / "t.tsv")
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.tsv"), table, check_dtype=False)


def test_other_programs_read_the_table_and_one_column_more(tmp_path):
    table = pd.DataFrame({"reason": ["a", "b"], "value": [1.5, 2.0]})
    path = tmp_path / "results/emotions/qc/samples.tsv"
    write_table(table, path)
    other = pd.read_csv(path, sep="\t")
    pd.testing.assert_frame_equal(other[["reason", "value"]], table, check_dtype=False)
    assert other["written_as"][0].startswith("emotions/qc/samples.tsv sha256:")
    assert other["written_as"].isna()[1]


ROWS = pd.DataFrame({"sample_id": ["a/seed-0", "b/seed-0"], "emotion": ["happy", "sad"], "value": [0.5, 1.5]})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("happy", "calm"),
        ("1.5", "1.6"),
        ("emotion", "emotions"),
        ("b/seed-0\tsad\t1.5\t\n", ""),
        ("\n", "\r\n"),
        ("\tvalue", ""),
        ("sha256:", "sha256:0"),
        ("t.tsv", "u.tsv"),
    ],
)
def test_a_table_that_was_changed_by_hand_is_refused(tmp_path, old, new):
    path = tmp_path / "t.tsv"
    write_table(ROWS, path)
    text = path.read_text()
    assert old in text
    path.write_bytes(text.replace(old, new).encode())
    with pytest.raises(InputError, match=r"t\.tsv .*--force .*t\.tsv"):
        read_table(path)


def test_labels_that_were_exchanged_by_hand_are_refused(tmp_path):
    write_table(ROWS, tmp_path / "t.tsv")
    text = (tmp_path / "t.tsv").read_text()
    swapped = text.replace("happy", "?").replace("sad", "happy").replace("?", "sad")
    (tmp_path / "t.tsv").write_text(swapped)
    with pytest.raises(InputError, match="has changed since it was written"):
        read_table(tmp_path / "t.tsv")


def test_a_table_without_rows_is_one_that_was_written_so(tmp_path):
    write_table(ROWS, tmp_path / "t.tsv")
    header = (tmp_path / "t.tsv").read_text().partition("\n")[0]
    write_table(ROWS.iloc[:0], tmp_path / "t.tsv")
    assert list(read_table(tmp_path / "t.tsv")) == list(ROWS)
    (tmp_path / "t.tsv").write_text(header + "\n")
    with pytest.raises(InputError, match="lost its column written_as"):
        read_table(tmp_path / "t.tsv")


@pytest.mark.parametrize("other", ["emotions/qc/checks.tsv", "other/qc/samples.tsv", "emotions/samples.tsv"])
def test_a_table_under_another_name_is_refused(tmp_path, other):
    write_table(ROWS, tmp_path / "results" / other)
    path = tmp_path / "results/emotions/qc/samples.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "results" / other).rename(path)
    with pytest.raises(InputError, match=f"was written as {other}; remake it"):
        read_table(path)


def test_a_study_can_be_moved(tmp_path):
    path = tmp_path / "results/emotions/qc/samples.tsv"
    write_table(ROWS, path)
    path.parents[1].rename(tmp_path / "archive")
    assert read_table(tmp_path / "archive/qc/samples.tsv")["value"].tolist() == [0.5, 1.5]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"a\tb\n1\t2\n", b"\x89HDF\r\n"])
def test_what_is_no_table_is_named(tmp_path, content):
    (tmp_path / "t.tsv").write_bytes(content)
    with pytest.raises(InputError, match=r"t\.tsv is no"):
        read_table(tmp_path / "t.tsv")


def test_p_values_without_correction_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match="p_corrected"):
        write_table(pd.DataFrame({"p": [0.01]}), tmp_path / "t.tsv")
    assert not (tmp_path / "t.tsv").exists()


def test_a_missing_table_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(InputError, match=r"snakemake --cores 1 .*t\.tsv"):
        read_table(tmp_path / "t.tsv")


def test_ids_that_look_like_numbers_stay_text(tmp_path):
    table = pd.DataFrame({"prompt_id": ["007", "7"], "template": ["01", "1"], "value": [1.0, 2.0]})
    write_table(table, tmp_path / "t.tsv")
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.tsv"), table, check_dtype=False)
