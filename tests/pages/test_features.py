"""The page of features: which are shown, and which moments can be heard."""

import re

import numpy as np
import pandas as pd
import pytest
from fakes import make_design

from innerear.analyses.features import BY_FEATURE, FEATURES
from innerear.features.activations import CODE, NEAR, WITHOUT, activation_of
from innerear.io.clips import write_clip
from innerear.pages import features
from innerear.pages.features import MOMENTS, OF_CLIP, features_page, other_moments, top_moments
from innerear.pages.heading import Heading

STEPS = 100


@pytest.fixture
def design(tmp_path):
    made = make_design(3)
    sound = np.sin(np.arange(16_000) / 20)
    paths = [tmp_path / f"{i}.wav" for i in range(made.n_samples)]
    hashes = [write_clip(path, sound, 16_000) for path in paths]
    made.samples = made.samples.assign(audio=list(map(str, paths)), audio_sha256=hashes)
    return made


def sparse(design, seed=0):
    rng = np.random.default_rng(seed)
    shape = (design.n_samples, STEPS, 2)
    indices = np.stack([rng.permuted(np.arange(6))[:2] for _ in range(shape[0] * STEPS)]).reshape(shape)
    return indices.astype(np.uint16), rng.exponential(size=shape).astype(np.float16)


def table(n=6, named=()):
    common = {"statistic": BY_FEATURE, "kind": FEATURES, "branch": "uncond", "measure": "mean activation"}
    common |= {
        "k": 3.0,
        "n_templates": 3.0,
        "p_flip_corrected": 0.25,
        "stable": True,
        "beyond_twin": False,
        "layer": 2,
    }
    own = {"feature": np.arange(n), "f": np.arange(n) + 1.0, "estimate": 0.5, "p_corrected": 0.5}
    return pd.DataFrame(own | common).assign(named=[i in named for i in range(n)])


def described(feature=2):
    """What is said of one feature, in layer 2."""
    rows = [(NEAR, np.nan, 7, 0.61), (CODE, 1, 200, 21.9), *[(WITHOUT, k, 4, 0.2 / 10**k) for k in range(2)]]
    table = pd.DataFrame(rows, columns=["about", "codebook", "which", "value"])
    return table.assign(layer=2, feature=feature)


def test_one_latent_is_taken_out_of_the_sparse_form(design):
    indices, values = sparse(design)
    found = activation_of((indices, values), 4)
    for clip, step in ((0, 0), (3, 50), (7, 99)):
        at = np.flatnonzero(indices[clip, step] == 4)
        assert found[clip, step] == (values[clip, step, at[0]] if len(at) else 0)


def test_top_moments_are_the_largest_spread_over_clips_and_prompts(design):
    fires = np.random.default_rng(0).exponential(size=(design.n_samples, STEPS)).astype(np.float32)
    fires[0] += 100  # one clip, and so one prompt, holds the largest
    found = top_moments(fires, design)
    clips = [clip for clip, _ in found]
    assert len(found) == MOMENTS
    assert clips[:OF_CLIP] == [0, 0] and clips.count(0) == OF_CLIP
    assert len(set(design.prompt_of[clips])) >= 3
    assert found[0] == np.unravel_index(fires.argmax(), fires.shape)
    (a, b) = (step for clip, step in found if clip == 0)
    assert abs(a - b) >= 25


def test_other_moments_are_quantiles_of_what_fires(design):
    fires = np.zeros((design.n_samples, STEPS), np.float32)
    fires[2] = np.arange(STEPS)
    values = [fires[place] for place in other_moments(fires)]
    assert values == sorted(values, reverse=True) and len(values) == MOMENTS
    assert values[0] > 90 and values[-1] < 10
    assert other_moments(np.zeros_like(fires)) == []


def test_named_features_stand_first_and_every_moment_has_its_clip(design):
    page = features_page(
        table(named=(2,)),
        described(),
        {2: sparse(design)},
        np.arange(STEPS) / 50,
        design,
        Heading("<study>", "nano", 8, 4),
    )
    assert "&lt;study&gt;" in page and "<study>" not in page
    first, second = (page.index(f"Layer 2, feature {number}") for number in (2, 5))
    assert first < second
    clips = set(re.findall(r'data-clip="(\d+)"', page))
    assert clips and clips == set(re.findall(r'id="clip-(\d+)"', page))
    starts = [float(one) for one in re.findall(r'data-start="([\d.]+)"', page)]
    assert min(starts) >= 0 and max(starts) <= STEPS / 50
    assert page.count("<polyline") == 6 * 4
    assert len(page) < 4e6
    assert "moments are left out" not in page
    assert page.count("named “") == 1 and len(re.findall(r'<tr data-layer="2"', page)) == 6
    for said in ("7 (0.61)", "200 of 1 (21.9 ×)", "+0.200, +0.020"):
        assert page.count(said) == 1


def test_a_page_that_would_be_too_large_leaves_clips_out(design, monkeypatch):
    monkeypatch.setattr(features, "MOST_BYTES", 20_000)
    page = features_page(
        table(),
        described(),
        {2: sparse(design)},
        np.arange(STEPS) / 50,
        design,
        Heading("study", "nano", 8, 4),
    )
    assert set(re.findall(r'data-clip="(\d+)"', page)) == set(re.findall(r'id="clip-(\d+)"', page))
    assert 0 < page.count('class="clip"') < design.n_samples
    kept, (left, wanted) = (
        page.count('class="moment"'),
        re.findall(r"(\d+) of (\d+) moments are left out", page)[0],
    )
    assert 0 < kept == int(wanted) - int(left) < int(wanted)


def test_a_full_page_keeps_the_first_moments_of_every_feature(design, monkeypatch):
    """Each feature fires in a clip of its own; those of the last clips lose no more than the others."""
    n = design.n_samples
    clips = np.arange(n).reshape(2, -1)  # of both features
    indices = np.zeros((n, STEPS, 1), np.uint16)
    indices[clips[1]] = 1
    values = np.random.default_rng(0).exponential(size=indices.shape)
    sizes = [len(one["ogg"]) for one in features._clips(design.samples, [0])]
    monkeypatch.setattr(features, "MOST_BYTES", 4 * sizes[0])
    page = features_page(
        table(2),
        described(),
        {2: (indices, values)},
        np.arange(STEPS) / 50,
        design,
        Heading("s", "nano", 8, 4),
    )
    kept = {int(clip) for clip in re.findall(r'id="clip-(\d+)"', page)}
    assert [len(kept & set(own)) for own in clips.tolist()] == [2, 2]


def test_a_study_in_which_nothing_fires_says_so(design):
    page = features_page(
        table(0), described(), {}, np.arange(STEPS) / 50, design, Heading("study", "nano", 8, 4)
    )
    assert "No feature fires" in page


def test_a_feature_fires_most_in_the_label_of_the_largest_mean(design):
    fires = np.zeros((design.n_samples, STEPS))
    label = design.prompt_labels[1]
    for rows in design.rows[design.prompt_labels == label]:
        fires[rows] = 1
    assert features._most(fires, design) == label


def test_a_p_reads_as_on_the_other_pages():
    assert [features._p(one) for one in (1 / 1001, 0.25, np.nan)] == [".001", ".25", "none"]
