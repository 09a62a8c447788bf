"""The page of steered clips in real browsers: a slider changes the dose at the same moment, without a gap."""

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from innerear.pages.heading import Heading
from innerear.pages.steering import steering_page
from innerear.stacks import GramFile, open_layers

from .recorder import Recorder, comparable
from .test_layout import axe_faults, reaching_out

RATE, SECONDS, DOSES = 16000, 10, (-0.5, 0.0, 0.5)
#: seconds by which the place in the clip may differ after a change
NEAR = 0.03
# Whatever the page connects with the loudspeaker is recorded.
_TAP = """
const heard = window.heard = {blocks: [], context: {sampleRate: 48000}};
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target) {
  if (target === this.context.destination && !heard.tap) {
    heard.context = this.context;
    const tap = heard.tap = this.context.createScriptProcessor(4096, 1, 1);
    tap.onaudioprocess = event => heard.blocks.push(event.inputBuffer.getChannelData(0).slice());
    connect.call(this, tap);
    connect.call(tap, target);
  }
  return connect.apply(this, arguments);
};"""


@pytest.fixture(scope="module")
def steering(tmp_path_factory):
    """A page of noise for each template, layer and dose, and its sounds by name."""
    folder, rng = tmp_path_factory.mktemp("steering"), np.random.default_rng(0)
    low = butter(4, 1000, fs=RATE, output="sos")
    paths, clips, untouched = [], {}, {}
    for layer in (0, 3):
        audio = np.zeros((2, len(DOSES), SECONDS * RATE), np.int16)
        for number, template in enumerate(("piano", "band")):
            for place, dose in enumerate(DOSES):
                wave = sosfilt(low, rng.normal(0, 0.3, audio.shape[-1]))
                wave = untouched.setdefault(template, wave) if dose == 0 else wave
                audio[number, place] = (np.clip(wave, -1, 1) * 32767).round()
                clips[f"{template} {'' if dose == 0 else layer} {dose:g}"] = comparable(wave, RATE)
        coords = {"template": np.array(["piano", "band"]), "dose": np.array(DOSES, np.float32)}
        coords["sample"] = np.arange(audio.shape[-1], dtype=np.int32)
        paths.append(folder / f"layer_{layer}.h5")
        arrays = {"audio": (("template", "dose", "sample"), audio)}
        GramFile.write(paths[-1], arrays, coords, {"sample_rate": RATE, "layer": layer})
    texts = {"piano": "a piano piece", "band": "a <band>"}
    with open_layers(paths) as files:
        heading = Heading("noise", "made up", 8, 4, {"Steering": "steering.html"})
        text = steering_page(files, texts, heading, poles=("calm", "energetic"), figures={})
    page = folder / "steering.html"
    page.write_text(text, encoding="utf-8")
    return page, clips


@pytest.fixture
def recorder(browser, steering):
    page, clips = steering
    browser.open(page)
    return Recorder(browser, clips, tap=_TAP)


def press_play(browser):
    x, y = browser.run("""
        const {x, y, width, height} = document.getElementById("play").getBoundingClientRect();
        return [x + width / 2, y + height / 2];""")
    browser.click(x, y)


def choose(browser, name, value):
    browser.run(f"""
        const chosen = document.getElementById("{name}");
        chosen.value = "{value}";
        chosen.dispatchEvent(new Event(chosen.type === "range" ? "input" : "change"));""")


def test_the_untouched_clip_plays_from_its_start(browser, recorder):
    press_play(browser)
    [piece] = recorder.listen_for(lambda piece: piece.clip == "piano  0")
    assert piece.start < NEAR


_CLIPS = ("piano 3 -0.5", "piano  0", "piano 3 0.5")  # by the place of the slider


@pytest.mark.parametrize(("first", "then"), [(1, 2), (2, 0), (0, 1)])
def test_the_slider_changes_the_dose_at_the_same_moment_without_a_gap(browser, recorder, first, then):
    choose(browser, "dose", first)
    press_play(browser)
    recorder.listen_for(lambda piece: piece.clip == _CLIPS[first])
    choose(browser, "dose", then)
    *_, before, after = recorder.listen_for(lambda piece: piece.clip == _CLIPS[then])
    assert abs(after.start - before.end) < 0.1, (before, after)
    assert after.start > before.start


def test_a_layer_or_text_chosen_while_it_plays_goes_on_where_it_was(browser, recorder):
    press_play(browser)
    choose(browser, "dose", 2)
    [*_, before] = recorder.listen_for(lambda piece: piece.clip == "piano 3 0.5")
    choose(browser, "layer", 0)
    [*_, after] = recorder.listen_for(lambda piece: piece.clip == "piano 0 0.5")
    assert after.start > before.start
    choose(browser, "template", "band")
    [*_, last] = recorder.listen_for(lambda piece: piece.clip == "band 0 0.5")
    assert last.start > after.start


def test_a_second_press_stops(browser, recorder):
    press_play(browser)
    recorder.listen_for(lambda piece: piece.clip == "piano  0")
    press_play(browser)
    recorder.listen(0.3)
    recorder.forget()
    assert not recorder.listen(0.5)
    assert browser.run('return document.getElementById("play").ariaPressed') == "false"


def test_equal_loudness_changes_the_level_and_not_the_clip(browser, recorder):
    press_play(browser)
    recorder.listen_for(lambda piece: piece.clip == "piano  0")
    browser.run('document.getElementById("alike").click()')
    *_, piece = recorder.listen(0.5)
    assert piece.clip == "piano  0"


def test_the_page_is_quiet_on_the_console_and_fits_a_telephone(browser, steering):
    browser.resize(390, 900)
    browser.open(steering[0])
    press_play(browser)
    assert not browser.messages()
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_reaches_out_and_axe_finds_nothing_serious(chromium, steering, width):
    chromium.resize(width, 900)
    chromium.open(steering[0])
    assert reaching_out(chromium) == []
    assert not axe_faults(chromium)
