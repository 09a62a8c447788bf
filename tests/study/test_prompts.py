import pytest

from innerear.errors import InputError
from innerear.stacks.index import COLUMNS
from innerear.study.prompts import (
    LABELS,
    Prompt,
    Sample,
    by_emotion,
    own_label,
    prompts_from_sheet,
    prompts_from_templates,
)

TEMPLATES = [{"id": "piano", "text": "a {emotion} piece"}, {"id": "band", "text": "{emotion} band"}]
EMOTIONS = [{"id": "happy", "valence": 0.8}, {"id": "sad"}]


def test_templates_and_emotions_are_fully_crossed_emotion_by_emotion():
    prompts = prompts_from_templates(TEMPLATES, EMOTIONS)
    assert [prompt.id for prompt in prompts] == ["piano-happy", "band-happy", "piano-sad", "band-sad"]
    assert prompts[0] == Prompt("piano-happy", "a happy piece", "piano", "happy", valence=0.8)


def test_a_sample_is_named_by_its_prompt_and_seed():
    prompts = prompts_from_templates(TEMPLATES, EMOTIONS)
    assert Sample(prompts[0], 7).id == "piano-happy/seed-7"
    assert len({Sample(prompt, seed).id for prompt in prompts for seed in (7, 3)}) == 8


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        ([TEMPLATES[0], TEMPLATES[0]], "rows 1 and 2 share the id 'piano-happy'"),
        ([{"id": "../out", "text": "{emotion}"}], r"'\.\./out-happy' cannot name a folder"),
        ([{"id": "piano", "text": "a piece"}], "has no {emotion}"),
        ([{"id": "piano", "text": "a {emotion} {mood} piece"}], r"\{mood\} is no placeholder"),
        ([], "there is no prompt"),
    ],
)
def test_templates_that_cannot_be_used_are_named(templates, message):
    with pytest.raises(InputError, match=message):
        prompts_from_templates(templates, EMOTIONS[:1])


def write_sheet(path, *rows):
    path.write_text("\n".join(["id\ttext\ttemplate\temotion\tvalence", *rows]) + "\n")
    return path


def test_a_sheet_is_read_and_ordered_by_emotion(tmp_path):
    sheet = write_sheet(
        tmp_path / "prompts.tsv", "a\tA text\tt1\tsad\t-0.5", "b\tB text\tt1\thappy\t", "c\tC\tt2\tsad\t0"
    )
    prompts = by_emotion(prompts_from_sheet(sheet))
    assert [prompt.id for prompt in prompts] == ["a", "c", "b"]
    assert prompts[0] == Prompt("a", "A text", "t1", "sad", valence=-0.5)
    assert prompts[2].valence is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a\tA\tt\tsad\t0", "A\tB\tt\thappy\t0"], "rows 2 and 3 share the id"),
        (["a\t \tt\tsad\t0"], "row 2: the prompt 'a': '' is an empty text"),
        (["a/b\tA\tt\tsad\t0"], "row 2: the id 'a/b' cannot name a folder"),
        (["a\tA\tt\tsad\tlow"], "row 2: valence is 'low'"),
        (["a\tA\tt\tsad\t3"], "row 2: valence is 3"),
        (["a\tA\tt\t\t0"], "row 2: 'a' needs an emotion"),
        (
            ["a\tthe {emotion} tune\tt\tsad\t0"],
            r"row 2: text is 'the \{emotion\} tune', but .* the word itself",
        ),
    ],
)
def test_rows_of_a_sheet_that_cannot_be_used_are_named(tmp_path, rows, message):
    with pytest.raises(InputError, match=message):
        prompts_from_sheet(write_sheet(tmp_path / "prompts.tsv", *rows))


def test_a_sheet_with_wrong_columns_or_none_at_all_is_refused(tmp_path):
    sheet = tmp_path / "prompts.tsv"
    sheet.write_text("id\ttext\tmood\n")
    with pytest.raises(InputError, match=r"missing columns \['emotion'\], unknown columns \['mood'\]"):
        prompts_from_sheet(sheet)
    with pytest.raises(InputError, match="cannot read"):
        prompts_from_sheet(tmp_path / "nowhere.tsv")


def test_a_sheet_may_do_without_templates(tmp_path):
    sheet = tmp_path / "prompts.tsv"
    sheet.write_text("id\ttext\temotion\na\tA happy text\thappy\n")
    assert prompts_from_sheet(sheet) == [Prompt("a", "A happy text", "", "happy")]


def test_a_label_of_the_studys_own_is_read_where_the_contrast_names_it(tmp_path):
    emotions = [{"id": "happy", "labels": {"family": "bright"}}, {"id": "sad", "labels": {"family": "dark"}}]
    prompts = prompts_from_templates(TEMPLATES, emotions, "family")
    assert [prompt.label for prompt in prompts] == ["bright", "bright", "dark", "dark"]
    sheet = tmp_path / "prompts.tsv"
    sheet.write_text("id\ttext\temotion\ttempo\na\tslow song\tsad\t60\nb\tfast song\thappy\t140\n")
    assert [prompt.label for prompt in prompts_from_sheet(sheet, "tempo")] == [60.0, 140.0]
    with pytest.raises(InputError, match=r"unknown columns \['tempo'\].*if contrast names it"):
        prompts_from_sheet(sheet)


def test_a_contrast_that_nobody_has_or_that_is_no_label_is_refused():
    with pytest.raises(InputError, match="'sad': contrast asks for the label 'family'"):
        prompts_from_templates(
            TEMPLATES, [{"id": "happy", "labels": {"family": "a"}}, {"id": "sad"}], "family"
        )
    with pytest.raises(InputError, match="'seed' is not a label of prompts"):
        own_label("seed")
    assert own_label("arousal") == ""


@pytest.mark.parametrize("column", [*COLUMNS, "written_as"])
def test_no_label_takes_the_place_of_another_column(column):
    if column in LABELS:
        assert own_label(column) == ""
    else:
        with pytest.raises(InputError, match="is not a label of prompts"):
            own_label(column)
