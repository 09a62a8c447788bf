"""What could be measured is counted by label, and unequal counts warn."""

import logging

import numpy as np
import pandas as pd
import pytest
from fake_sounds import RATE, measure, notes

from innerear.acoustics.tables import validity
from innerear.errors import InputError


@pytest.fixture(scope="module")
def clips():
    waves = {"a-sad/seed-0": np.zeros(RATE), "a-happy/seed-0": notes(120)[0], "a-happy/seed-1": notes(90)[0]}
    tables = [measure(wave).reset_index().assign(sample_id=name) for name, wave in waves.items()]
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def samples(clips):
    names = clips["sample_id"].unique()
    return pd.DataFrame({"sample_id": names, "emotion": [n.split("/")[0][2:] for n in names]})


def test_unequal_missingness_warns(clips, samples, caplog):
    with caplog.at_level(logging.WARNING):
        table = validity(clips, samples).set_index(["feature", "emotion"])
    assert table.loc[("tempo", "sad"), ["n", "n_valid", "share"]].tolist() == [1, 0, 0]
    assert table.loc[("tempo", "happy"), ["n", "n_valid", "share"]].tolist() == [2, 2, 1]
    assert "silent" in table.loc[("tempo", "sad"), "reason"]
    assert table.loc["tempo", "unequal"].all()
    assert "tempo is not measurable equally often: sad 0%, happy 100%" in caplog.text


def test_equal_missingness_does_not_warn(clips, samples, caplog):
    happy = clips[clips["sample_id"] != "a-sad/seed-0"]
    table = validity(happy, samples[samples["emotion"] == "happy"])
    assert not table["unequal"].any()
    assert not caplog.records
    with pytest.raises(InputError, match="index of samples"):
        validity(clips, samples.iloc[1:])
