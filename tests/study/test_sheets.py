"""Sheets as people and spreadsheet programs save them: read as they are meant, or refused by row."""

import codecs
import os

import pytest

from innerear.errors import InputError
from innerear.study.prompts import MAX_PROMPTS, Prompt, prompts_from_sheet

HEADER = "id\ttext\temotion\ttemplate\n"
ROWS = "a\thappy tune\thappy\tt\nb\tsad café\tsad\tt\n"
READ = [Prompt("a", "happy tune", "t", "happy"), Prompt("b", "sad café", "t", "sad")]


@pytest.fixture
def read(tmp_path):
    def write_and_read(content, label=""):
        path = tmp_path / "prompts.tsv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return prompts_from_sheet(path, label)

    return write_and_read


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"], ids=["UTF-8", "its mark", "UTF-16", "UTF-32"]
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"], ids=["Unix", "Windows", "old Mac"])
def test_any_encoding_and_line_end_is_read(read, encoding, line_end):
    assert read((HEADER + ROWS).replace("\n", line_end).encode(encoding)) == READ


def test_utf_16_of_the_other_byte_order_is_read(read):
    assert read(codecs.BOM_UTF16_BE + (HEADER + ROWS).encode("utf-16-be")) == READ


def test_quotes_are_letters(read):
    prompts = read(HEADER + 'p1\t"happy one\thappy\tt1\np2\tthe "blue" one\tsad\tt1\np3\tend"\thappy\tt1\n')
    assert [prompt.text for prompt in prompts] == ['"happy one', 'the "blue" one', 'end"']
    assert [prompt.emotion for prompt in prompts] == ["happy", "sad", "happy"]


@pytest.mark.parametrize("cell", ['"slow, sad"', '"a ""sad"" tune"'])
def test_quotes_that_a_program_added_are_named(read, cell):
    with pytest.raises(InputError, match=r"row 2: .* is quoted as spreadsheet programs do it"):
        read(f"{HEADER}a\t{cell}\tsad\tt\n")


def test_white_space_around_cells_and_rows_without_content_do_not_count(read):
    assert read(f" id\ttext \temotion\ttemplate\n\n a\t happy  tune\thappy \tt\n\t\t\t\n{ROWS[-18:]}") == READ


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER + "a\tx\thappy\tt\t\n", "row 2 has 5 cells, but row 1 names 4 columns"),
        (HEADER + "a\tx\thappy\n", "row 2 has 3 cells, but row 1 names 4 columns"),
        (HEADER + "a\tx happy\tt\n\n\nb\ty\n", "row 2 has 3 cells"),
        ("id\ttext\temotion\ttext\na\tx\thappy\ty\n", r"row 1: the columns \['text'\] are there twice"),
        ("id\ttext\temotion\t\na\tx\thappy\t\n", r"unknown columns \[''\]"),
        ("id,text,emotion\na,x,happy\n", r"missing columns \['id', 'text', 'emotion'\]"),
        ("ID\ttext\temotion\na\tx\thappy\n", r"missing columns \['id'\], unknown columns \['ID'\]"),
        (
            "id\ttext\temotion\tAudio\na\tx\thappy\t\n",
            r"unknown columns \['Audio'\] \(did you mean 'audio'\?\)",
        ),
        ("id\ttext\temotion\taudio_begin\na\tx\thappy\t1\n", r"'audio_begin'\] \(did you mean 'audio"),
        ("id\ttext\tmood\tarousel\na\tx\thappy\t1\n", r"'arousel'\] \(did you mean 'arousal'\?\);"),
        ("", "is empty"),
        ("\ufeff", "is empty"),
        (" \n\n", "is empty"),
        (HEADER, "there is no prompt"),
        (HEADER + "a\tx\0\thappy\tt\n", r"row 2: .* holds the character U\+0000"),
        (HEADER + "a\tx\x1b[2J\thappy\tt\n", r"row 2: .* holds the character U\+001B"),
        (HEADER.encode() + b"a\tx\thappy\tt\nb\tcaf\xe9\tsad\tt\n", "row 3: a byte that is no UTF-8"),
        (HEADER.encode("utf-16-le"), r"holds the character U\+0000"),
        ((HEADER + ROWS).encode("utf-16")[:-1], "no UTF-16"),
        (HEADER.encode() + b"a\tx\xed\xa0\x80\thappy\tt\n", "row 2: a byte that is no UTF-8"),
        ("x" + "\t" * 10**6, "row 1: more than 100 columns"),
        (HEADER + "x" + "\t" * 10**6, "row 2 has 1000001 cells"),
        ("x" + "\n" * 10**6, "more than 20,000 rows"),
        (HEADER + ROWS * MAX_PROMPTS, "more than 20,000 rows"),
        (b" " * (16 * 2**20 + 1), "larger than 16 MiB"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_row(read, content, message):
    with pytest.raises(InputError, match=message):
        read(content)


@pytest.mark.parametrize("name", ["missing.tsv", "", "a\0b", "x" * 5000])
def test_a_sheet_that_is_no_file_is_named(tmp_path, name):
    with pytest.raises(InputError, match="cannot read"):
        prompts_from_sheet(os.fspath(tmp_path) + "/" + name)


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (("60", "140.5"), [60.0, 140.5]),
        (("-1e2", ".5"), [-100.0, 0.5]),
        (("slow", "fast"), ["slow", "fast"]),
        (("=slow", "@fast"), ["=slow", "@fast"]),
    ],
)
def test_a_label_of_numbers_is_a_rating_and_any_other_one_categories(read, cells, labels):
    rows = f"id\ttext\temotion\ttempo\na\tx\tsad\t{cells[0]}\nb\ty\tsad\t{cells[1]}\n"
    assert [prompt.label for prompt in read(rows, "tempo")] == labels


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (("60", "fast"), "the label tempo is 60.0 at .*, row 2, but 'fast' at .*, row 3"),
        (("60", "inf"), "row 3: the label tempo is 'inf'"),
        (("nan", "nan"), "row 2: the label tempo is 'nan'"),
        ((".inf", ".inf"), "row 2: the label tempo is '.inf'"),
        (("1e999", "1"), "row 2: the label tempo is inf"),
        (("60,5", "70,5"), "row 2: the label tempo is '60,5'; write a finite number with a decimal point"),
        (("60", ""), "row 3: contrast asks for the label 'tempo'"),
        (("Fast", "fast"), "rows 2 and 3 have the labels 'Fast' and 'fast', which look alike"),
    ],
)
def test_a_label_that_is_neither_is_named(read, cells, message):
    with pytest.raises(InputError, match=message):
        read(f"id\ttext\temotion\ttempo\na\tx\tsad\t{cells[0]}\nb\ty\tsad\t{cells[1]}\n", "tempo")


@pytest.mark.parametrize("valence", ["0,5", "1_0", "٠", "nan", "inf", "1e999", "−0.5", "0x0", "True"])
def test_a_rating_is_a_plain_number(read, valence):
    with pytest.raises(InputError, match="row 2: valence is"):
        read(f"id\ttext\temotion\tvalence\na\tx\tsad\t{valence}\n")
