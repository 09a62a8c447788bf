"""Pages of clips in real browsers: what is heard is what was pressed. `make test-browser` runs it."""

import time

import numpy as np
import pytest

from .conftest import FORMATS, SECONDS
from .recorder import Recorder

#: seconds by which what is heard may differ from what was pressed
NEAR = 0.03
PRESSES = 20
#: of a press: a busy computer may lose the beginning of a sound, but never plays one too early
TRIES = 3
CLIPS = [f"{prompt}/seed-0" for prompt in FORMATS]
FIRST, SECOND = "t-calm/seed-0", "t-sad/seed-0"


@pytest.fixture
def sheet(browser, pages) -> Recorder:
    """The page of all clips, opened and recorded."""
    browser.open(pages.paths["listen"])
    return Recorder(browser, pages.clips)


def press(browser, clip: str, second: float) -> float:
    """Press a clip's spectrogram at the pixel of a second; return the second at which the pixel stands."""
    left, top, width = browser.run(f"""
        const image = document.querySelector('[data-name="{clip}"] img');
        image.scrollIntoView({{block: "center"}});
        const {{x, y, width}} = image.getBoundingClientRect();
        return [x, y, width];""")
    x = round(left + width * second / SECONDS)
    browser.click(x, round(top) + 10)
    return (x - left) / width * SECONDS


def lateness(browser, recorder: Recorder, clip: str, second: float, before: str | None) -> float:
    """Press a clip; return by how many seconds the part that is heard begins after the one that was pressed.

    Nothing else may be heard but the rest of the clip `before`.
    """
    recorder.forget()
    pressed = press(browser, clip, second)
    *rest, piece = recorder.listen_for(lambda piece: piece.clip == clip and abs(piece.start - pressed) < 1)
    assert [one.clip for one in rest] in ([], [before])
    return piece.start - pressed


def shown(browser, clip: str) -> bool:
    """Whether the page says that a clip plays."""
    return browser.run(f"""return document.querySelector('[data-name="{clip}"]').ariaPressed""") == "true"


def cursor(browser, clip: str) -> float:
    """The second at which a clip's cursor stands."""
    place = browser.run(f"""return document.querySelector('[data-name="{clip}"] .head').style.left""")
    return float(place.rstrip("%")) / 100 * SECONDS


def focus(browser, clip: str) -> None:
    browser.run(f"""document.querySelector('[data-name="{clip}"]').focus()""")


@pytest.mark.parametrize("page", ["listen", "counterfactual"])
def test_sound_starts_where_a_clip_is_pressed_and_the_one_before_is_silent(browser, pages, page):
    browser.open(pages.paths[page])
    recorder = Recorder(browser, pages.clips)
    clips = CLIPS if page == "listen" else [FIRST, SECOND]
    rng, before, second = np.random.default_rng(1), None, 0.0
    for _ in range(PRESSES):
        clip = clips[rng.integers(len(clips))]
        # A second from the last press, so that what goes on can be told from what begins.
        second = 0.1 + (second + rng.uniform(1, SECONDS - 1.6)) % (SECONDS - 0.6)
        for _ in range(TRIES):
            late = lateness(browser, recorder, clip, second, before)
            before = clip
            assert late > -NEAR
            if late < NEAR:
                break
        assert late < NEAR


def test_the_cursor_stands_where_the_sound_is(browser, sheet):
    press(browser, FIRST, 1)
    sheet.listen_for(lambda piece: piece.clip == FIRST)
    focus(browser, FIRST)
    browser.press("Space")
    heard = sheet.listen(0.3)
    assert abs(cursor(browser, FIRST) - heard[-1].end) < 0.1


def test_arrows_move_half_a_second(browser, sheet):
    press(browser, FIRST, 2)
    sheet.listen_for(lambda piece: piece.clip == FIRST)
    focus(browser, FIRST)
    for key, step in (("ArrowRight", 0.5), ("ArrowLeft", -0.5)):
        browser.press(key)
        *_, before, after = sheet.listen(0.5)
        assert abs(after.start - before.end - step) < 0.1


def test_a_paused_clip_stays_paused_and_goes_on_where_it_was(browser, sheet):
    press(browser, FIRST, 1)
    [piece] = sheet.listen_for(lambda piece: piece.clip == FIRST)
    focus(browser, FIRST)
    browser.press("Space")
    paused = sheet.listen(0.3)[-1].end
    sheet.forget()
    assert not sheet.listen(0.5)
    assert not shown(browser, FIRST)
    browser.press("Space")
    [piece] = sheet.listen_for(lambda piece: piece.clip == FIRST)
    assert abs(piece.start - paused) < 0.1


def test_a_clip_that_is_stopped_before_it_is_decoded_stays_silent(browser, sheet):
    browser.run(f"""
        const player = document.querySelector('[data-name="{FIRST}"]');
        player.click();
        player.click();""")
    assert not sheet.listen(0.5)
    assert not shown(browser, FIRST)


def test_of_two_clips_pressed_at_once_the_later_is_heard(browser, sheet):
    press(browser, FIRST, 3)
    second = press(browser, SECOND, 2)
    heard = sheet.listen_for(lambda piece: piece.clip == SECOND)
    assert abs(heard[-1].start - second) < NEAR
    assert (shown(browser, FIRST), shown(browser, SECOND)) == (False, True)


def test_the_next_clip_follows_from_its_start_if_asked(browser, sheet):
    following = "u-calm/seed-0"
    browser.run("document.getElementById('onward').click()")
    press(browser, FIRST, 4.5)
    heard = sheet.listen_for(lambda piece: piece.clip == following)
    assert [piece.clip for piece in heard] == [FIRST, following]
    assert heard[0].end > SECONDS - NEAR
    assert heard[1].start < NEAR


@pytest.mark.parametrize("page", ["listen", "counterfactual"])
def test_a_page_is_quiet_on_the_console_and_asks_for_nothing(browser, pages, page):
    browser.open(pages.paths[page])
    for clip in (FIRST, SECOND):
        press(browser, clip, 1)
        time.sleep(0.3)
        assert shown(browser, clip)
    assert not browser.messages()


def test_no_script_but_the_pages_own_runs(browser, pages, tmp_path):
    text = pages.paths["listen"].read_text(encoding="utf-8")
    other = tmp_path / "page.html"
    other.write_text(
        text.replace("</body>", "<script>document.title = 'ran'</script></body>"), encoding="utf-8"
    )
    browser.open(other)
    assert browser.run("return document.title") == "noise: Clips"
    assert len(browser.messages()) == 1
