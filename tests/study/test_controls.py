"""Controls that are other studies: refused before any work where they could not be compared."""

import re
from copy import deepcopy
from pathlib import Path

import pandas as pd
import pytest

from innerear.errors import InputError
from innerear.io.tables import write_table
from innerear.study.controls import CONTROLLED
from innerear.study.study import Study

from .conftest import DEFAULT, SCHEMA


@pytest.fixture(autouse=True)
def finished(tmp_path, monkeypatch):
    """Two finished studies of emotions, one of arousal, and one that stopped early."""
    monkeypatch.chdir(tmp_path)
    contrasts = {
        "words": "emotion",
        "twin": "emotion, shuffled (control)",
        "rated": "arousal",
        "half": "emotion",
    }
    for name, contrast in contrasts.items():
        design = pd.DataFrame({"property": ["contrast", "kind"], "value": [contrast, "categories"]})
        write_table(design, f"results/{name}/design/design.tsv")
        for analysis in CONTROLLED[: 2 if name == "half" else None]:
            write_table(pd.DataFrame({"model": ["nano"]}), f"results/{name}/{analysis}/map.tsv")


def study(*controls, **changes):
    settings = deepcopy(DEFAULT) | {"study": "own"} | changes
    settings["statistics"] = {"controls": list(controls)}
    return Study.from_settings(settings, SCHEMA)


def test_finished_studies_of_the_same_contrast_are_controls():
    assert study("words", "shuffled", "twin").settings["statistics"]["controls"] == [
        "words",
        "shuffled",
        "twin",
    ]
    assert study("rated", contrast="arousal")


@pytest.mark.parametrize(
    ("control", "message"),
    [
        ("nope", "results/nope holds no study; there are ['shuffled', 'half', 'rated', 'twin', 'words']"),
        ("wrods", "results/wrods holds no study (did you mean 'words'?)"),
        ("Shuffled", "results/Shuffled holds no study (did you mean 'shuffled'?)"),
        ("half", "lacks emergence/map.tsv, generalisation/map.tsv, dimensions/map.tsv"),
        ("own", "'own' is this study itself"),
        ("rated", "rated compares arousal, and own emotion"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(control, message):
    with pytest.raises(InputError, match=re.escape(message)) as error:
        study("words", control)
    assert "statistics.controls: " in str(error.value)


def test_another_label_of_the_control_is_refused_whichever_study_has_it():
    with pytest.raises(InputError, match="words compares emotion, and own arousal"):
        study("rated", "words", contrast="arousal")
    Path("results/words/design/design.tsv").write_bytes(b"\xff\x00")
    with pytest.raises(InputError, match="words compares no contrast that its design names"):
        study("words")
