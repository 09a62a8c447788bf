"""Pages of clips on a telephone and on a desk, and for readers who do not see them. Pictures are kept."""

import pytest

# Elements that reach out of the window, or whose content reaches out of them.
_OUTSIDE = """
const scrolls = element => ["auto", "scroll"].includes(getComputedStyle(element).overflowX);
const held = ({parentElement}) => parentElement && (scrolls(parentElement) || held(parentElement));
const hidden = element => element.closest(".unseen") || getComputedStyle(element).position === "absolute";
const wide = element => !held(element) && !hidden(element)
    && (element.getBoundingClientRect().right > innerWidth + 1
    || getComputedStyle(element).overflow === "visible" && element.clientWidth > 0
    && element.scrollWidth > element.clientWidth + 1);
return [...document.querySelectorAll("body, body *:not(svg *)")].filter(wide)
    .map(element => element.outerHTML.slice(0, 120));"""
_OPEN = "for (const closer of document.querySelectorAll('details')) closer.open = true;"
NAMES = ["listen", "counterfactual", "map"]


def reaching_out(chromium) -> list[str]:
    """The elements of the page that do not fit the window; what scrolls by itself may be wider."""
    return chromium.run(_OUTSIDE)


def axe_faults(chromium) -> list[tuple[str, str]]:
    """What axe finds serious on the page that is shown."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    found = axe.run(chromium.page).response["violations"]
    serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
    return [(fault["id"], fault["nodes"][0]["html"]) for fault in serious]


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_reaches_out_of_the_window(chromium, pages, tmp_path, name, width):
    chromium.resize(width, 900)
    chromium.open(pages.paths[name])
    chromium.screenshot(tmp_path / f"{name}_{width}.png")
    assert reaching_out(chromium) == []
    chromium.run(_OPEN)
    chromium.screenshot(tmp_path / f"{name}_{width}_open.png")
    assert reaching_out(chromium) == []


@pytest.mark.parametrize("name", NAMES)
def test_axe_finds_nothing_serious(chromium, pages, name):
    chromium.resize(1440, 900)
    chromium.open(pages.paths[name])
    chromium.run(_OPEN)
    assert not axe_faults(chromium)


@pytest.mark.parametrize("name", NAMES)
def test_a_printed_page_has_no_controls_nor_their_names(chromium, pages, name):
    chromium.resize(800, 900)
    chromium.open(pages.paths[name])
    try:
        chromium.page.emulate_media(media="print")
        seen = chromium.run("""
            const controls = [...document.querySelectorAll("button, input, select, label, nav")];
            return controls.filter(one => one.checkVisibility()).map(one => one.outerHTML.slice(0, 120));""")
        marks = chromium.run("""
            return [...document.querySelectorAll(".scale b")].map(axis => [...axis.children]
                .filter(one => one.checkVisibility()).map(one => one.textContent));""")
    finally:
        chromium.page.emulate_media(media="screen")
    assert seen == []
    assert all(axis == ["0", "2", "4"] for axis in marks)
    assert bool(marks) == (name == "listen")
