"""The map in real browsers: what is heard, said and drawn is what stands in the cell that was pressed."""

import re
import time
from itertools import product

import numpy as np
import pytest

from innerear.analyses.discriminability import DISTANCE, EVIDENCE
from innerear.pages.pack import MISSING

from .conftest import BRANCHES, FORMATS, LAYERS, STEPS
from .recorder import Recorder
from .test_clips import NEAR, TRIES

PRESSES = 12
CLIPS = [f"{prompt}/seed-0" for prompt in FORMATS]


@pytest.fixture
def shown(browser, pages):
    """The map, opened and ready."""
    return opened(browser, pages)


def opened(browser, pages, address=""):
    browser.open(pages.paths["map"])
    if address:
        browser.run(f"location.hash = {address!r}")
    for _ in range(100):
        if browser.run("return document.documentElement.dataset.whole"):
            return browser
        time.sleep(0.05)
    raise AssertionError("the map is not ready")


def cell(browser, branch, layer, step):
    """The place of a cell's middle in the window."""
    left, top, wide, high = browser.run(f"""
        const cells = document.querySelectorAll(".cells")[{BRANCHES.index(branch)}];
        cells.scrollIntoView({{block: "center"}});
        const {{x, y, width, height}} = cells.getBoundingClientRect();
        return [x, y, width, height];""")
    row = len(LAYERS) - 1 - LAYERS.index(layer)
    return left + (step + 0.5) / STEPS * wide, top + (row + 0.5) / len(LAYERS) * high


def state(browser):
    return browser.run("return Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")


def readout(browser):
    return browser.run("return document.getElementById('readout').textContent")


def focus(browser):
    browser.run("document.getElementById('map').focus()")


def test_sound_starts_at_the_second_of_the_cell(shown, pages):
    recorder = Recorder(shown, pages.clips)
    rng, step = np.random.default_rng(2), 5
    for number in range(PRESSES):
        clip, step = number % len(CLIPS), 5 + (step + int(rng.integers(50, 150))) % 210
        layer, branch = LAYERS[number % 3], BRANCHES[number % 3]
        shown.run(f"go({{a: {clip}}})")
        for _ in range(TRIES):
            recorder.forget()
            shown.click(*cell(shown, branch, layer, step))
            name = CLIPS[clip]
            found = recorder.listen_for(
                lambda one, name=name, step=step: one.clip == name and abs(one.start - step / 50) < 0.5
            )
            late = found[-1].start - step / 50
            assert late > -NEAR
            if late < NEAR:
                break
        assert late < NEAR
        assert state(shown)["s"] == str(step)


def test_what_is_paused_stays_silent(shown, pages):
    recorder = Recorder(shown, pages.clips)
    shown.click(*cell(shown, "uncond", 3, 60))
    recorder.listen_for(lambda one: one.clip == CLIPS[0])
    focus(shown)
    shown.press("Space")
    recorder.listen(0.3)
    recorder.forget()
    assert not recorder.listen(0.5)


def test_the_other_clip_goes_on_at_the_same_moment(shown, pages):
    recorder = Recorder(shown, pages.clips)
    shown.run("go({a: 0, o: 3})")
    shown.click(*cell(shown, "cond", 0, 40))
    recorder.listen_for(lambda one: one.clip == CLIPS[0])
    shown.run("document.getElementById('change').click()")
    before, after = recorder.listen_for(lambda one: one.clip == CLIPS[3])[-2:]
    assert abs(after.start - before.end) < 0.15
    assert (state(shown)["a"], state(shown)["o"]) == (CLIPS[3], CLIPS[0])


def test_every_number_is_the_tables(chromium, pages):
    """All arrays as the script has unpacked them, as float64."""
    opened(chromium, pages)
    for key, table, statistic in (
        ("distance", "discriminability", DISTANCE),
        ("evidence", "discriminability", EVIDENCE),
        ("history", "decomposition", "history"),
    ):
        rows = pages.tables[table]
        rows = rows[rows["statistic"] == statistic]
        for name, column in (("value", "estimate"), ("low", "ci_lo"), ("high", "ci_hi")):
            got = chromium.run(
                f"return Array.from(arrays['{key}-{name}'], v => v === MISSING ? null : v / UNIT)"
            )
            got = np.array(got, float).reshape(len(BRANCHES), len(LAYERS), STEPS)
            for row in rows.to_dict("records"):
                place = BRANCHES.index(row["branch"]), LAYERS.index(row["layer"]), row["step"]
                assert got[place] == row[column]
            assert np.isfinite(got).sum() == len(rows)
    assert chromium.run("return MISSING") == MISSING


def test_the_readout_says_value_interval_and_both_p_under_the_pointer(shown, pages):
    rows = pages.tables["discriminability"]
    rows = rows[rows["statistic"] == DISTANCE].reset_index()
    for row in rows.iloc[np.random.default_rng(3).integers(0, len(rows), 25)].to_dict("records"):
        x, y = cell(shown, row["branch"], row["layer"], row["step"])
        shown.run(f"""document.elementFromPoint({x}, {y}).dispatchEvent(
            new PointerEvent("pointermove", {{clientX: {x}, clientY: {y}, bubbles: true}}))""")
        said = readout(shown)
        assert said.startswith(
            f"{row['branch']}, layer {row['layer']}, step {row['step']}, {row['seconds']:.2f} s, "
        )
        assert f"frame {row['step'] - 3}: " in said
        numbers = [
            float(one) for one in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", said.split(": ")[1].split("p ")[0])
        ]
        wanted = [row[name] for name in ("estimate", "ci_lo", "ci_hi")]
        np.testing.assert_allclose(numbers, wanted, rtol=5.1e-3, atol=1e-9)  # three digits are shown
        p = re.search(r", p (\.?\d+)", said)
        assert float(p[1]) == pytest.approx(row["p_corrected"], rel=0.06)
        assert ("sentences flipped" in said) == np.isfinite(row["p_flip_corrected"])


def test_keys_walk_the_map(shown):
    focus(shown)
    before = state(shown) or {}
    shown.press("ArrowLeft")
    one = state(shown)
    shown.press("ArrowRight")
    shown.press("ArrowRight")
    assert int(state(shown)["s"]) == int(one["s"]) + 2
    shown.run("go({l: 0})")
    for key, name, value in (
        ("ArrowUp", "l", "3"),
        ("b", "b", "delta"),
        ("m", "m", "evidence"),
        ("3", "a", CLIPS[2]),
    ):
        shown.press(key)
        assert state(shown)[name] == value
    assert before != state(shown)
    live = ""
    for _ in range(40):
        live = shown.run("return document.getElementById('live').textContent")
        if "delta, layer 3" in live:
            break
        time.sleep(0.05)
    assert "delta, layer 3" in live


def test_the_address_gives_the_view_back(browser, pages):
    opened(browser, pages)
    browser.run("go({m: 1, b: 0, l: 1, s: 77, a: 2, o: 3, w: [50, 90]})")
    address, said = browser.run("return [location.hash, document.getElementById('readout').textContent]")
    opened(browser, pages, address)
    time.sleep(0.2)
    assert (browser.run("return location.hash"), readout(browser)) == (address, said)


def test_a_part_of_the_clip_is_played_again(shown, pages):
    recorder = Recorder(shown, pages.clips)
    shown.run("go({s: 60, w: [60, 90]})")
    x, y = shown.run("""
        const {x, y, width, height} = document.getElementById("play").getBoundingClientRect();
        return [x + width / 2, y + height / 2];""")
    shown.click(round(x), round(y))
    heard = recorder.listen(2.6)
    assert len(heard) >= 2
    assert all(1.1 < one.start < 1.4 and one.end < 2.1 for one in heard[1:])


def test_clips_in_the_plane_are_buttons_with_one_tab_stop(shown):
    points = "[...document.querySelectorAll('#plane [role=button]')]"
    assert shown.run(f"return {points}.map(one => one.tabIndex)").count(0) == 1
    shown.run(f"{points}[0].focus()")
    shown.press("ArrowRight")
    assert shown.run("return document.activeElement.getAttribute('aria-label')").startswith(CLIPS[1])
    assert shown.run(f"return {points}.map(one => one.tabIndex)") == [-1, 0, -1, -1]


def test_the_map_is_quiet_and_asks_for_nothing(shown):
    shown.click(*cell(shown, "cond", 0, 40))
    time.sleep(0.3)
    assert not shown.messages()


def silent(browser):
    """Whether the page says that no feature fires."""
    return browser.run("return document.getElementById('silent').checkVisibility()")


def test_the_features_that_fire_are_those_of_the_clip_and_the_step(shown, pages):
    seen = 0
    for clip, number in product(range(len(CLIPS)), (0, 1, 120, 246)):
        shown.run(f"go({{a: {clip}, s: {number + 3}}})")  # the first complete step is the fourth
        strongest = sorted(pages.features, key=lambda one: -one.values[clip, number])
        expected = [
            f"layer {one.layer}, feature {one.number}{', named' if one.named else ''}: {value:.2f}"
            for one in strongest
            if (value := one.values[clip, number]) > 0.005
        ]
        lines = shown.run("return [...document.querySelectorAll('#firing li')].map(line => line.textContent)")
        found = [f"{text.rpartition(': ')[0]}: {float(text.rpartition(': ')[2]):.2f}" for text in lines]
        assert found == expected
        assert silent(shown) == (not expected)
        seen += len(found)
    assert seen
    shown.run("go({s: 1})")  # which is not complete
    assert not shown.run("return document.querySelectorAll('#firing li').length") and not silent(shown)


def test_a_step_at_which_no_feature_fires_says_so(shown, pages):
    fires = np.sum([one.values for one in pages.features], axis=0)
    clip, number = np.argwhere(fires == 0)[0]
    shown.run(f"go({{a: {clip}, s: {number + 3}}})")
    assert silent(shown)


def test_without_a_measure_clips_and_plane_still_work(browser, pages):
    browser.open(pages.paths["map_of_nothing"])
    for _ in range(100):
        if browser.run("return document.documentElement.dataset.whole"):
            break
        time.sleep(0.05)
    browser.run("go({a: 2, s: 60})")
    assert readout(browser).endswith("not measured.")
    assert browser.run("return document.querySelectorAll('#plane path').length") >= len(CLIPS)
    assert not browser.messages()


RIGHT = "return ['plane-title', 'codes', 'firing'].map(id => document.getElementById(id).textContent)"
PLACES = "return [...document.querySelectorAll('#plane g')].map(one => one.getAttribute('transform')).join()"


def test_what_stands_on_the_right_follows_the_clip_and_comes_back_at_its_end(shown):
    shown.run("go({a: 0, s: 190})")
    before, places = shown.run(RIGHT), shown.run(PLACES)
    assert "mean of 3.56–4.04 s" in before[0] and "Codes of frame 187" in before[1]
    shown.click(*cell(shown, "uncond", 5, 190))
    seen = set()
    for _ in range(200):
        title, codes, firing = shown.run(RIGHT)
        seen.add((title, codes, firing))
        if shown.run("return document.getElementById('play').getAttribute('aria-pressed')") == "false":
            break
        time.sleep(0.05)
    assert {"mean of 4.56–4.98 s" in title for title, *_ in seen} == {False, True}
    assert len({codes for _, codes, _ in seen}) > 5 and len({firing for *_, firing in seen}) > 2
    time.sleep(0.1)
    assert (shown.run(RIGHT), shown.run(PLACES)) == (before, places)


def test_a_measure_that_the_branch_lacks_is_shown_in_one_that_has_it(shown):
    notes = "return [...document.querySelectorAll('.branch')].map(one => one.textContent)"
    legend = "return document.getElementById('curve-legend').textContent"
    assert state(shown).get("b", "uncond") == "uncond" and "not measured" not in str(shown.run(notes))
    shown.run("""
        document.getElementById("measure").value = "text";
        document.getElementById("measure").dispatchEvent(new Event("change"))""")
    assert state(shown)["b"] == "cond"
    assert "not measured" not in readout(shown)
    assert ["not measured" in note for note in shown.run(notes)] == [False, True, True]
    assert shown.run(legend) == " cond with its 95 % interval"
    focus(shown)
    shown.press("b")
    assert shown.run(legend) == " uncond: not measured cond"
    assert shown.run("return document.querySelector('#curve .own').getAttribute('d')") == ""


def test_the_scale_says_what_lies_beyond_its_ends(chromium, pages):
    shown = opened(chromium, pages)
    ends = "return ['bottom', 'top'].map(id => document.getElementById(id).textContent)"
    assert [one[:2] for one in shown.run(ends)] == ["≤ ", "≥ "]
    shown.run("Object.assign(measures[0], {least: 0, most: measures[0].top}); paint()")
    bottom, top = shown.run(ends)
    assert bottom == "0" and "≥" not in top


def test_the_curve_has_heights_and_stands_under_the_map(shown):
    shown.run("go({b: 1, l: 1, s: 40})")
    heights = shown.run(
        "return [...document.querySelectorAll('#heights span')].map(one => Number(one.textContent))"
    )
    assert heights[0] > heights[1] == 0 > heights[2]
    sides = """
        return ["#curve", ".colours", ".curve .cursor", "#map .cursor"].map(one => {
            const {left, right} = document.querySelector(one).getBoundingClientRect();
            return [left, right]; })"""
    time.sleep(0.1)
    for width in (1440, 390):
        shown.resize(width, 900)
        time.sleep(0.2)
        curve, colours, below, above = shown.run(sides)
        np.testing.assert_allclose(curve, colours, atol=0.5)
        np.testing.assert_allclose(below, above, atol=0.5)
    kinds = shown.run(
        "return [...document.querySelectorAll('#curve path')].map(one => one.getAttribute('class'))"
    )
    assert kinds == ["band", "dashed", "thin", "own"]
