"""The page with all clips: what is in it is what was given, and nothing comes from elsewhere."""

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import fakes
import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from innerear.errors import InputError
from innerear.io.clips import write_clip
from innerear.pages.clips import clips_page
from innerear.pages.heading import Heading

RATE = 16000
SECONDS = 1.3
HEADING = Heading("study", "nano", 1, 1)


class Page(HTMLParser):
    """Elements in order, as (tag, attributes), and the text outside style and script."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.text, self.inside = [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data):
        if self.inside not in ("style", "script"):
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def players(self):
        return [attributes for attributes in self.all("button") if attributes.get("class") == "player"]


@pytest.fixture(scope="module")
def sheet():
    table = fakes.sheet(("plain", "odd"), (0, 7), ("sad", "happy"))
    texts = {"plain": "a {} piece", "odd": '<b>{}</b> & "so" {{x}}'}
    return table.assign(text=[texts[one.template].format(one.emotion) for one in table.itertuples()])


@pytest.fixture(scope="module")
def samples(sheet, tmp_path_factory):
    folder = tmp_path_factory.mktemp("audio")
    time = np.arange(round(SECONDS * RATE)) / RATE
    paths = [folder / f"{number}.wav" for number in range(len(sheet))]
    hashes = [
        write_clip(path, 0.3 * np.sin(2 * np.pi * 110 * (number + 2) * time), RATE)
        for number, path in enumerate(paths)
    ]
    return sheet.assign(audio=paths, audio_sha256=hashes, recording="")


@pytest.fixture(scope="module")
def html(samples):
    clips = pd.DataFrame(
        [
            (name, feature, value, "" if value == value else "no pulse: <clarity>")
            for name in samples["sample_id"]
            for feature, value in (
                ("tempo", np.nan),
                ("loudness", -20.04),
                ("majorness", -0.2),
                ("flux", 1.0),
            )
        ],
        columns=["sample_id", "feature", "value", "reason"],
    )
    return clips_page(samples, Heading("a <study>", "nano", 6, 6), clips=clips)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def decoded(uri, kind):
    head, data = uri.split(",", 1)
    assert head == f"data:{kind};base64"
    return io.BytesIO(base64.b64decode(data, validate=True))


def sound(player):
    return io.BytesIO(base64.b64decode(player["data-ogg"], validate=True))


def test_one_player_per_sample_in_the_order_of_the_index(page, samples):
    assert [player["data-name"] for player in page.players] == samples["sample_id"].tolist()
    assert all(player["aria-label"] == f"Play {player['data-name']}" for player in page.players)


def test_each_player_holds_its_own_sound_whole(page, samples):
    for player, path in zip(page.players, samples["audio"], strict=True):
        original, _ = soundfile.read(path)
        wave, rate = soundfile.read(sound(player))
        assert rate == int(player["data-rate"]) == RATE
        assert len(wave) == len(original)
        assert np.corrcoef(wave, original)[0, 1] > 0.98


def test_each_player_shows_its_own_spectrogram(page):
    pictures = [np.asarray(Image.open(decoded(image["src"], "image/png"))) for image in page.all("img")]
    brightest = [picture.mean(axis=1).argmax() for picture in pictures]
    # The tones rise from clip to clip; row 0 is the top.
    assert brightest == sorted(brightest, reverse=True)
    assert brightest[0] > brightest[-1]


def test_text_is_escaped_and_grouped(page, html, samples):
    text = "".join(page.text)
    assert all(prompt in text for prompt in samples["text"])
    assert "a <study>" in text
    assert not page.all("study") and "<b>sad</b>" not in html
    assert len(page.all("section")) == 2
    assert len(page.all("article")) == 4
    assert text.index("a sad piece") < text.index("a happy piece")


def test_features_stand_beside_the_clip_and_what_is_missing_says_why(page):
    text = "".join(page.text)
    assert text.count("-20.0 LUFS") == text.count("minor -0.20") == text.count("none") == 8
    assert {cell["title"] for cell in page.all("dd") if "title" in cell} == {"no pulse: <clarity>"}
    assert "flux" not in text


def test_each_clip_can_be_looked_at_closer(samples):
    rng, n = np.random.default_rng(0), len(samples)
    chroma, norms = rng.uniform(size=(n, 12, 65)), rng.normal(size=(n, 3, 68))
    closer = Page(clips_page(samples, HEADING, chroma=chroma, norms=norms))
    assert len(closer.all("details")) == n
    names = [image["alt"] for image in closer.all("img")]
    for sample in samples["sample_id"]:
        assert f"layers of {sample}" in names
        assert f"waveform of {sample}" in names
    pictures = [image["src"] for image in closer.all("img") if image["alt"].startswith("layers of")]
    assert len(set(pictures)) == n
    assert all(image["src"].startswith("data:") for image in closer.all("img"))


def test_nothing_comes_from_elsewhere(page, html):
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?!data:|#|audio/)", html)
    assert "http" not in html.replace("http-equiv", "")
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'")
    [script] = re.findall("<script>(.*?)</script>", html, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.endswith(f"script-src 'sha256-{digest}'")


def test_a_clip_of_minutes_is_encoded_whole(samples, tmp_path):
    path = tmp_path / "long.wav"
    sha256 = write_clip(path, 0.1 * np.random.default_rng(0).normal(size=(120 * RATE, 2)), RATE)
    long = samples.iloc[:1].assign(audio=path, audio_sha256=sha256)
    player = Page(clips_page(long, HEADING)).players[0]
    wave, _ = soundfile.read(sound(player))
    assert wave.shape == (120 * RATE, 2)


def test_wrong_files_are_named(samples, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    listed = samples.assign(audio=broken, audio_sha256=hashlib.sha256(b"RIFF").hexdigest())
    with pytest.raises(InputError, match=r"broken\.wav cannot be read"):
        clips_page(listed, HEADING)
    with pytest.raises(InputError, match=r"1\.wav is not the clip"):
        clips_page(samples.assign(audio=samples["audio"].iloc[1]), HEADING)


def test_clips_without_templates_are_filtered_by_prompt(samples):
    page = Page(clips_page(samples.assign(template=""), HEADING))
    of_clips = [attributes["data-sentence"] for attributes in page.all("figure") if "data-seed" in attributes]
    assert of_clips == samples["prompt_id"].tolist()
