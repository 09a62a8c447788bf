"""Rows of a sheet that name a sound file: read, or refused before any work."""

import re
from types import SimpleNamespace

import pytest
from fake_tracks import write_track

from innerear.errors import InputError
from innerear.pages.captions import caption
from innerear.study.prompts import prompts_from_sheet
from innerear.study.study import Study

from .conftest import ROOT, SCHEMA

COLUMNS = ("id", "text", "emotion", "template", "audio", "audio_start")
ROWS = [
    ("a-happy", "happy tune", "happy", "a", "music/1.wav", ""),
    ("a-sad", "sad tune", "sad", "a", "music/2.wav", "0.5"),
    ("b-happy", "happy tune", "happy", "b", "music/3.wav", ""),
    ("b-sad", "sad tune", "sad", "b", "music/4.wav", ""),
]


def changed(row, **cells):
    """`ROWS` with other cells in one row."""
    rows = [dict(zip(COLUMNS, one, strict=True)) for one in ROWS]
    rows[row] |= cells
    return [tuple(one.values()) for one in rows]


def textless(rows=ROWS):
    return [(one[0], "", *one[2:]) for one in rows]


@pytest.fixture
def sheet(tmp_path):
    """Write a sheet beside four tracks of 2 s; return its path."""
    for i in (1, 2, 3, 4):
        write_track(tmp_path / f"music/{i}.wav", 2.0, rate=8_000, seed=i)

    def write(rows=ROWS):
        lines = ["\t".join(cells) for cells in (COLUMNS, *rows)]
        path = tmp_path / "sheet.tsv"
        path.write_text("\n".join(lines))
        return path

    return write


def study(path, **changes):
    prompts = {"sheet": str(path), "templates": [], "emotions": []}
    settings = {
        "study": "tracks",
        "model": {"name": "nano"},
        "prompts": prompts,
        "seeds": {"each_template": 1},
    }
    return Study.from_settings(settings | {"generation": {"duration": 1.5}} | changes, SCHEMA)


def test_a_track_has_its_file_from_the_sheets_folder_and_tracks_may_share_a_text(sheet, tmp_path):
    found = {prompt.id: prompt for prompt in prompts_from_sheet(sheet())}
    assert found["a-sad"].audio == (tmp_path / "music/2.wav").as_posix()
    assert (found["a-sad"].audio_start, found["b-sad"].audio_start) == (0.5, 0.0)
    assert found["a-sad"].text == found["b-sad"].text


def test_a_study_of_tracks_has_one_sample_of_each_and_swaps_their_texts(sheet):
    found = study(sheet())
    assert [one.id for one in found.samples] == [
        *("a-happy/seed-0", "b-happy/seed-1", "a-sad/seed-0", "b-sad/seed-1")
    ]
    assert list(found.swaps.blocks) == ["a", "b"]
    assert "4 tracks: read from their files" in found.announcement


def test_nothing_is_steered_where_nothing_is_composed(sheet):
    found = study(sheet(), interventions={"enabled": True})
    assert found.interventions is None
    assert "steered   nothing: recorded music is not composed" in found.announcement


def test_tracks_without_text_have_one_branch_and_nothing_to_swap(sheet):
    found = study(sheet(textless()), features={"enabled": True, "n_latents": 12, "k": 2})
    assert found.capture["branches"] == ["uncond"]
    assert not found.swaps.blocks
    assert "its tracks have no text" in found.announcement
    assert list(found.features.of) == ["uncond"]


def test_two_tracks_of_a_template_with_one_text_are_not_swapped(sheet):
    found = study(sheet(changed(1, text="happy tune")))
    assert list(found.swaps.blocks) == ["b"]
    assert "two of its tracks have one text" in found.swaps.left_out[0]


def test_composed_clips_may_stand_beside_tracks(sheet):
    found = study(sheet(changed(0, audio="")))
    assert [bool(one.audio) for one in found.prompts] == [False, True, True, True]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (changed(1, audio="music/9.wav"), r"sheet\.tsv, 'a-sad': .*9\.wav does not exist"),
        (changed(1, audio="sheet.tsv"), r"'a-sad': .*sheet\.tsv cannot be read as sound"),
        (changed(1, audio_start="0.6"), r"'a-sad': .*2\.wav lasts 2\.00 s, but 2\.1 s are needed"),
        (changed(1, audio_start="-1"), r"row 3: audio_start is '-1'; give the second"),
        (changed(1, audio_start="nan"), r"row 3: audio_start is 'nan'"),
        (changed(1, audio=""), r"row 3: audio_start is '0\.5'; give the second of the file in audio"),
        (changed(1, audio="{x}.wav"), r"row 3: audio: '\{x\}\.wav' has one of \{\}<>"),
        (changed(1, audio="<results>.wav"), r"row 3: audio: '<results>\.wav' has one of \{\}<>"),
        (changed(1, audio_start="9" * 400), r"row 3: audio_start is '999"),
        (changed(2, text=""), "'a-happy' has a text and 'b-happy' has none"),
        (changed(0, text="", audio=""), r"row 2: the prompt 'a-happy': '' is an empty text"),
        (changed(2, audio="music/1.wav"), "'a-happy' and 'b-happy' are the same sound"),
    ],
)
def test_rows_that_cannot_be_used_are_named(sheet, rows, message):
    with pytest.raises(InputError, match=message):
        study(sheet(rows))


def test_parts_of_one_track_belong_to_one_template(sheet):
    short = {"duration": 0.5}
    parts = changed(1, audio="music/1.wav", audio_start="1")
    assert len(study(sheet(parts), generation=short).samples) == 4
    apart = changed(2, audio="music/1.wav", audio_start="1")
    with pytest.raises(InputError, match="are parts of one track"):
        study(sheet(apart), generation=short)
    with pytest.raises(InputError, match="are the same sound"):
        study(sheet(changed(1, audio="music/../music/1.wav", audio_start="0.4")), generation=short)
    assert study(sheet(changed(1, audio_start=".5"))).prompts[2].audio_start == 0.5


def test_parts_of_one_label_would_count_as_more_than_there_is(sheet):
    """In one template they are permuted apart; others between them change nothing."""
    parts = [
        (f"a-{i}", f"tune {i}", "happy" if i != 1 else "sad", "a", "music/1.wav", f"{i * 0.6:.1f}")
        for i in range(3)
    ]
    with pytest.raises(InputError, match="'a-0' and 'a-2' are parts of one track"):
        study(sheet([*ROWS[2:], *parts]), generation={"duration": 0.5})


@pytest.mark.parametrize("seeds", [[0], [0, 1], {"each_template": 2}])
def test_tracks_share_no_seed(sheet, seeds):
    with pytest.raises(InputError, match=r"seeds: .* is not for recorded tracks.*each_template: 1"):
        study(sheet(), seeds=seeds)


def test_without_templates_each_track_is_its_own_and_dictionaries_see_every_label(sheet):
    rows = [(*one[:3], "", *one[4:]) for one in ROWS]
    found = study(sheet(rows), features={"enabled": True, "n_latents": 12, "k": 2})
    assert [one.id for one in found.samples] == [
        *("a-happy/seed-0", "b-happy/seed-2", "a-sad/seed-1", "b-sad/seed-3")
    ]
    assert found.power.n_templates == 0
    assert found.power.n_blocks == 1
    assert found.features.training == ["a-happy", "a-sad"]


def test_a_track_more_at_the_end_renames_none(sheet, tmp_path):
    rows = [(*one[:3], "", *one[4:]) for one in ROWS]
    before = study(sheet(rows)).samples
    write_track(tmp_path / "music/5.wav", 2.0, rate=8_000, seed=5)
    after = study(sheet([*rows, ("c-happy", "happy tune", "happy", "", "music/5.wav", "")])).samples
    assert {one.id for one in after} == {one.id for one in before} | {"c-happy/seed-4"}


def test_without_text_and_guidance_uncond_is_asked_about_and_delta_is_not(sheet):
    asked = {"primary": ["uncond", "delta", "emergence"]}
    generation = {"duration": 1.5, "guidance": None}
    said = study(sheet(textless()), generation=generation, statistics=asked).announcement
    assert "branches  uncond alone" in said
    assert "without guidance" not in said
    assert said.count("cannot be answered") == said.count("delta needs both branches") == 1


def test_tracks_without_templates_are_not_swapped_in_one_line(sheet):
    said = study(sheet([(*one[:3], "", *one[4:]) for one in ROWS])).announcement
    assert "  not swapped tracks without templates: they have no counterparts\n" in said
    assert "template a-happy" not in said


def report(found):
    """What the report says of a study, as its first page renders it."""
    text = (ROOT / "workflow/report/workflow.rst").read_text("utf-8")
    return caption(text, SimpleNamespace(config=found.settings | found.of_captions))


def test_the_report_says_of_tracks_without_text_or_template_what_was_done(sheet):
    said = report(study(sheet([(*one[:3], "", *one[4:]) for one in textless()])))
    assert "4 recorded tracks were encoded and read, 1.5 s of each. The sites" in said
    assert "in the unconditional branch alone." in said
    assert "labels are permuted among all prompts (" in said
    assert "folds are whole prompts, and confidence intervals resample prompts (" in said
    assert not re.search("generated|composes|template|delta", said)


def test_the_report_names_both_kinds_of_a_mixed_sheet(sheet):
    said = report(study(sheet(changed(0, audio=""))))
    assert "3 recorded tracks were encoded and read, 1.5 s of each. Every other prompt was generated" in said
    assert "with 1 seed (each template has its own) and 1.5 s a clip, at guidance 3.0." in said
    assert "in the conditional and in the unconditional branch." in said
    assert "the prompts of one template" in said and "folds are whole templates" in said
    assert "is the text's direct effect" in said.unescape()
