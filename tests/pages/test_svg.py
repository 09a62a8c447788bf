"""A figure in a page looks as in its file: the same places and colours, no style, no foreign ids."""

import re
from xml.etree import ElementTree

import pytest
from matplotlib import pyplot as plt

from innerear.errors import InputError
from innerear.figures.drawing.style import save
from innerear.pages.figures import read_figures
from innerear.pages.svg import inline_svg, view_box


@pytest.fixture
def drawn(tmp_path):
    figure, panel = plt.subplots(figsize=(3, 2))
    panel.imshow([[0, 1], [1, 0]])
    panel.scatter([0, 1], [0, 1], color="#E69F00")
    panel.set_title("a < b & c")
    save(figure, tmp_path / "one.svg")
    plt.close(figure)
    return (tmp_path / "one.svg").read_text()


def test_styles_become_attributes(drawn):
    page = inline_svg(drawn, "one", "a title")
    assert "style" not in page and "metadata" not in page
    assert re.findall(r"fill: (#e69f00)", drawn)
    assert 'fill="#e69f00"' in page
    assert len(page) < len(drawn)


def test_its_text_can_be_searched_and_it_has_a_name(drawn):
    page = inline_svg(drawn, "one", 'a "title"')
    root = ElementTree.fromstring(page)
    assert "a < b & c" in "".join(root.itertext())
    assert root.get("aria-label") == 'a "title"'
    assert root.get("viewBox") == view_box(drawn)


def test_two_figures_share_no_id_and_each_finds_its_own(drawn):
    pages = [inline_svg(drawn, name, name) for name in ("one", "two")]
    ids = [set(re.findall(r'\bid="([^"]+)"', page)) for page in pages]
    assert not ids[0] & ids[1]
    for page, own in zip(pages, ids, strict=True):
        used = set(re.findall(r'(?:href="|url\()#([^")]+)', page))
        assert used and used <= own


@pytest.mark.parametrize(
    "content",
    [
        b"<svg",
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xfe",
        b"<html/>",
        b"<svg/>",
        b'<svg xmlns="http://www.w3.org/2000/svg"><g></svg>',
        b'<svg xmlns="http://www.w3.org/2000/svg">' + b"<g>" * 50_000 + b"</g>" * 50_000 + b"</svg>",
    ],
    ids=["cut", "empty", "PNG", "no text", "HTML", "other svg", "unclosed", "deep"],
)
def test_a_broken_figure_is_named_with_its_remedy(tmp_path, content):
    path = tmp_path / "emergence.svg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"emergence\.svg cannot be shown .*; remake it with: snakemake"):
        read_figures([path], [], None)


def test_a_figure_cut_anywhere_is_named(tmp_path, drawn):
    path = tmp_path / "emergence.svg"
    for end in range(0, len(drawn.rstrip()), len(drawn) // 9):
        path.write_text(drawn[:end])
        with pytest.raises(InputError, match=r"emergence\.svg cannot be shown"):
            read_figures([path], [], None)
