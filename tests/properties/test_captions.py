"""Captions say what was done: the site that was read, at most .05, and each belongs to a figure or table."""

import re
from pathlib import Path

import pytest

WORKFLOW = Path(__file__).parents[2] / "workflow"
CAPTIONS = sorted((WORKFLOW / "report").glob("*.rst"))
RULES = "".join(path.read_text("utf-8") for path in sorted((WORKFLOW / "rules").glob("*.smk")))


@pytest.mark.parametrize("caption", CAPTIONS, ids=lambda path: path.stem)
def test_a_caption_names_the_site_of_the_study_and_a_closed_threshold(caption):
    text = caption.read_text("utf-8")
    assert "residual stream" not in text, "another site may have been read"
    assert not re.search(r"p\s*<\s*0?\.05", text), "p = .05 is significant too"
    assert not re.search(r"\b(listener|hears|heard|told)\b", text)


def test_captions_of_maps_of_labels_name_the_contrast_and_no_emotion():
    rules = (WORKFLOW / "rules/label.smk").read_text("utf-8")
    about_labels = [path for path in CAPTIONS if path.stem in rules and path.stem != "affect"]
    assert len(about_labels) > 10
    assert [one.stem for one in about_labels if re.search(r"\bemotions?\b", one.read_text("utf-8"))] == []


def test_every_caption_is_used_and_every_one_that_is_used_is_there():
    names = {path.stem for path in CAPTIONS} - {"workflow"}
    calls = re.findall(r"\*\*figures\((.*?)\),\n", RULES, re.S)
    figures = {name for call in calls for name in re.findall(r"\b([a-z_]+)=", call)}
    tables = set(re.findall(r'mapped\(\s*"[^"]+",\s*"(\w+)"', RULES))
    files = set(re.findall(r'reported\(\s*"[^"]+",\s*"[^"]+",\s*"(\w+)"', RULES))
    assert figures and tables and files
    assert names == figures | tables | files


@pytest.mark.parametrize("word", ["single affect", "as published and then right", "At the head"])
def test_labels_of_the_report_are_said_plainly(word):
    assert word not in RULES
