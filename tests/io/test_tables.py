import pandas as pd
import pytest

from innerear.errors import InputError
from innerear.io.tables import read_table, write_table


def test_a_table_comes_back_as_it_was(tmp_path):
    table = pd.DataFrame({"reason": ["", "too short"], "value": [1.5, float("nan")], "name": ["NA", "null"]})
    write_table(table, tmp_path / "t.tsv")
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.tsv"), table, check_dtype=False)


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
