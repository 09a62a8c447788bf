"""Names that any system can hold, labels that do not look alike, and texts that a model tells apart."""

import pandas as pd
import pytest

from innerear.errors import InputError
from innerear.io.tables import read_table, write_table
from innerear.statistics.design import Design
from innerear.study.names import check_names, is_name, reading, tidy
from innerear.study.prompts import Prompt, checked, prompts_from_templates


@pytest.mark.parametrize("name", ["a", "7", "piano-happy_2", "console", "com10", "x" * 100])
def test_names_that_any_system_can_hold(name):
    assert is_name(name)


NO_NAMES = [
    "",
    "abc\n",
    "a\r",
    "CON",
    "nul",
    "Com1",
    "lpt9",
    "-a",
    "_a",
    "a.",
    ".a",
    "a.b",
    "a b",
    "a/b",
    "..",
    "~",
]
NO_NAMES += [
    "a\\b",
    "a{b}",
    "a:b",
    "a*",
    "ä",
    "ａ",
    "a\u0301",
    "a\0",
    "\ud800",
    "x" * 101,
    "x" * 300,
    "$HOME",
]


@pytest.mark.parametrize("name", NO_NAMES)
def test_names_that_some_system_cannot_hold(name):
    assert not is_name(name)
    with pytest.raises(InputError, match="cannot name a folder"):
        check_names([name], "somewhere")


def test_names_that_differ_in_case_only_are_one_folder_on_some_systems():
    with pytest.raises(InputError, match="captures: 'Mlp' and 'mlp' share the id"):
        check_names(["Mlp", "mlp"], "captures")


SAME = ["a happy song", " a  happy\tsong\n", "a\u00a0happy song", "ａ happy song", "a ha\u00adppy song"]
SAME += ["a\u200bhappy song", "\ufeffa happy song", "a\u3000happy song", "a \u2581happy song"]


@pytest.mark.parametrize("text", SAME)
def test_a_text_is_read_without_what_t5_does_not_see(text):
    assert reading(text) == SAME[0]


@pytest.mark.parametrize("text", ["A happy song", "a happy song!", "a ha ppy song", "a happy, song"])
def test_other_texts_are_read_otherwise(text):
    assert reading(text) != SAME[0]


def test_composed_and_decomposed_letters_are_read_alike():
    assert reading("cafe\u0301") == reading("café")


@pytest.mark.parametrize("text", ["", " \n", "\u200b", "\u00ad \ufeff"])
def test_a_text_of_nothing_visible_is_empty(text):
    with pytest.raises(InputError, match="is an empty text"):
        tidy(text, "here")


def test_a_text_is_written_with_single_spaces():
    assert tidy(" two\n lines ", "here") == "two lines"
    with pytest.raises(InputError, match="a text of 2,001 characters; the most is 2,000"):
        tidy("x" * 2001, "here")


@pytest.mark.parametrize("other", SAME[1:])
def test_one_text_under_two_ids_names_both(other):
    prompts = [Prompt("first", SAME[0], "", "happy"), Prompt("second", other, "", "sad")]
    with pytest.raises(InputError, match="rows 2 and 5, 'first' and 'second', have one text"):
        checked(prompts, "sheet", [2, 5])


def test_one_text_of_two_templates_names_both():
    templates = [{"id": "p", "text": "a {emotion} song"}, {"id": "q", "text": "a  {emotion} song"}]
    with pytest.raises(InputError, match="'p-happy' and 'q-happy', have one text"):
        prompts_from_templates(templates, [{"id": "happy"}, {"id": "sad"}])


@pytest.mark.parametrize("field", ["emotion", "template"])
@pytest.mark.parametrize(
    ("one", "two"),
    [
        *(("Happy", "happy"), ("a b", "a  b"), ("cafe\u0301", "café"), ("a b", "a\u2800b")),
        *(("happy", f"ha{chr(code)}ppy") for code in (0xAD, 0x34F, 0x200B, 0x200D, 0x200E, 0x200F, 0x202E)),
        *(
            ("happy", f"happy{chr(code)}")
            for code in (0x2060, 0x2064, 0x3164, 0xFE0F, 0xFEFF, 0xE0020, 0xE0100)
        ),
        *(("happy", f"{chr(code)}happy") for code in (0x61C, 0x115F, 0x17B4, 0x180B, 0x180E, 0x2069, 0xFFA0)),
    ],
)
def test_labels_that_look_alike_name_both_rows(field, one, two):
    factors = {"emotion": "e", "template": "t"}
    prompts = [Prompt("a", "x", **{**factors, field: one}), Prompt("b", "y", **{**factors, field: two})]
    with pytest.raises(InputError, match=f"rows 1 and 2 have the {field}s .*, which look alike"):
        checked(prompts, "sheet", [1, 2])


@pytest.mark.parametrize(("one", "two"), [("happy", "ha ppy"), ("happy", "happy!"), ("1", "2"), ("ä", "a")])
def test_labels_that_differ_visibly_are_two(one, two):
    assert checked([Prompt("a", "x", "", one), Prompt("b", "y", "", two)], "sheet", [1, 2])


def test_what_is_invisible_in_a_label_is_said_by_its_code():
    prompts = [Prompt("a", "x", "", "happy"), Prompt("b", "y", "", "ha\u200bppy")]
    with pytest.raises(InputError, match=r"the emotions 'happy' and 'ha<U\+200B>ppy', which look alike"):
        checked(prompts, "sheet", [1, 2])
    with pytest.raises(InputError, match=r"the emotion is '<U\+200B><U\+FE0F>', of which nothing is seen"):
        checked([Prompt("a", "x", "", "\u200b\ufe0f")], "sheet", [1])


def test_what_tables_take_for_a_missing_number_is_no_label():
    with pytest.raises(InputError, match="row 1: the emotion is 'nan'"):
        checked([Prompt("a", "x", "", "nan")], "sheet", [1])


def test_some_prompts_without_a_template_are_refused_before_any_work():
    with pytest.raises(InputError, match="row 2: only some prompts have a template"):
        checked([Prompt("a", "x", "t", "e"), Prompt("b", "y", "", "e")], "sheet", [1, 2])


@pytest.mark.parametrize("texts", [("1", "2"), ("01", "1"), ("True", "false"), ("1e5", "x")])
def test_numbers_written_as_texts_are_categories_in_every_table(tmp_path, texts):
    emotions = [{"id": f"e{i}", "labels": {"kind": text}} for i, text in enumerate(texts)]
    prompts = prompts_from_templates([{"id": "t", "text": "{emotion}"}], emotions, "kind")
    assert [prompt.label for prompt in prompts] == [f"kind {text}" for text in texts]
    table = pd.DataFrame(
        {"sample_id": p.id, "prompt_id": p.id, "seed": 0, "template": p.template, "kind": p.label}
        for p in prompts
    )
    write_table(table, tmp_path / "samples.tsv")
    design = Design(read_table(tmp_path / "samples.tsv"), "kind")
    assert not design.numeric
    assert design.labels.tolist() == [f"kind {text}" for text in texts]
