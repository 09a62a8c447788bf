"""Commands that remake a file, and results under another study's name."""

import re

import pandas as pd
import pytest

from innerear.errors import InputError
from innerear.io.names import SETTINGS_OPTIONS, command, refuse_renamed, remake, without_remedy
from innerear.io.tables import read_table, write_table


def test_a_command_finds_the_study_as_the_run_did(monkeypatch, tmp_path):
    assert remake("results/a.h5").endswith("snakemake --cores 1 --force results/a.h5")
    monkeypatch.setenv(SETTINGS_OPTIONS, "--configfile studies/one.yaml --config 'study=a b'")
    given = "snakemake --configfile studies/one.yaml --config 'study=a b' --cores 1"
    assert remake("results/a.h5").endswith(f"{given} --force results/a.h5")
    assert command("results/a.h5") == f"{given} results/a.h5"
    with pytest.raises(InputError, match=re.escape(f"make it with: {given} {tmp_path}")):
        read_table(tmp_path / "none.tsv")
    assert without_remedy(InputError(f"broken; {remake('a.h5')}")) == "broken"


@pytest.mark.parametrize("table", [{"sample_id": ["a"], "text": ["of x/samples.tsv"]}, {"sample_id": []}])
def test_the_results_of_a_renamed_study_are_refused(tmp_path, table):
    results = tmp_path / "results/one"
    refuse_renamed(results)
    write_table(pd.DataFrame(table), results / "samples.tsv")
    refuse_renamed(results)
    renamed = results.rename(results.with_name("another-name"))
    with pytest.raises(InputError, match="another-name holds the files of study 'one'"):
        refuse_renamed(renamed)
