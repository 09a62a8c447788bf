"""Studies of recorded tracks: replayed under each other's texts, encoded by dictionaries, listened to."""

import numpy as np
import pytest
import yaml
from fake_tracks import write_track

from innerear.analyses.similarity import OTHER_SEED
from innerear.io.tables import read_table
from innerear.stacks import GramFile, Stack

pytestmark = pytest.mark.long
TRACKS = {
    "study": "tracks",
    "model": {"name": "nano"},
    "prompts": {"sheet": "sheet.tsv", "templates": [], "emotions": []},
    "seeds": {"each_template": 1},
    "generation": {"duration": 1},
    "capture": {"layers": [0]},
    "gram": {"bins": 5},
    "counterfactual": {"control": False},
    "statistics": {"permutations": 19, "bootstraps": 20},
    "features": {
        **{"enabled": True, "layers": [0], "n_latents": 12, "k": 2, "steps": 20, "seeds": 2, "twin": False}
    },
}
TEXTLESS = TRACKS | {
    "study": "textless",
    "prompts": {"sheet": "textless.tsv", "templates": [], "emotions": []},
    "features": {"enabled": True, "layers": [0], "dictionaries": "tracks"},
}
FORMATS = {"waltz": (".flac", 44_100, 2), "hymn": (".mp3", 22_050, 1)}


def write_sheets(folder):
    """Write four tracks, and two sheets of them: with texts in templates, and without either."""
    rows, bare = ["id\ttext\temotion\ttemplate\tneutral\taudio\taudio_start"], ["id\ttext\temotion\taudio"]
    for template, (suffix, rate, channels) in FORMATS.items():
        for emotion, pitch in (("happy", 523.0), ("sad", 220.0)):
            name = f"{template}-{emotion}"
            write_track(folder / f"music/{name}{suffix}", 2.0, rate, channels, pitch=pitch, seed=len(rows))
            text = f"a {emotion} {template}\t{emotion}\t{template}\ta {template}"
            rows.append(f"{name}\t{text}\tmusic/{name}{suffix}\t0.5")
            bare.append(f"bare-{name}\t\t{emotion}\tmusic/{name}{suffix}")
    (folder / "sheet.tsv").write_text("\n".join(rows))
    (folder / "textless.tsv").write_text("\n".join(bare))


@pytest.fixture(scope="module")
def tracks(tmp_path_factory, workflow_in):
    """The study with texts, then the one without, encoded with the dictionaries of the first."""
    workflow = workflow_in(tmp_path_factory.mktemp("tracks"))
    write_sheets(workflow.folder)
    for settings, targets in (
        (TRACKS, ["listen.html", "decomposition/likelihood/trained.tsv", "features/measures/layer_00.tsv"]),
        (TEXTLESS, ["features/map.tsv", "similarity/map.tsv"]),
    ):
        (workflow.folder / "config.yaml").write_text(yaml.safe_dump(settings))
        done = workflow.snakemake(
            "--cores", "2", "--", *(f"results/{settings['study']}/{name}" for name in targets)
        )
        assert done.returncode == 0, done.stderr
    (workflow.folder / "config.yaml").write_text(yaml.safe_dump(TRACKS))
    return workflow


def test_every_check_of_the_tracks_passed(tracks):
    summary = read_table(tracks.results / "qc/summary.tsv").set_index("check")
    assert set(summary["verdict"]) == {"passed"}
    assert summary.loc["regenerate", "worst value"] == 0
    assert read_table(tracks.results / "samples.tsv")["recording"].tolist() == [
        *("waltz-happy.flac", "hymn-happy.mp3", "waltz-sad.flac", "hymn-sad.mp3")
    ]


def test_tracks_are_read_under_each_others_texts(tracks):
    table = read_table(tracks.results / "decomposition/likelihood/trained.tsv")
    cells = table[(table["statistic"] == "negative log-likelihood") & (table["window"] == "whole")]
    assert set(zip(cells["codes"], cells["text_read"], strict=True)) >= {("happy", "sad"), ("sad", "neutral")}
    assert np.isfinite(table.loc[table["statistic"] == "mismatch", "estimate"]).any()


def test_the_page_of_clips_plays_the_tracks_by_their_names(tracks):
    page = (tracks.results / "listen.html").read_text(encoding="utf-8")
    assert page.count('data-ogg="T2dnU') == 4
    assert page.count("<b>hymn-sad.mp3</b>") == 1


def test_tracks_without_text_are_encoded_with_the_dictionaries_of_others(tracks):
    results = tracks.results.parent / "textless"
    with Stack(results / "stacks/bare-hymn-sad/seed-3.h5") as stack:
        assert stack.branches == ("uncond",)
    with GramFile(results / "features/clips/layer_00.h5") as clips:
        assert not clips.read("training").any()
        assert "mean_uncond" in clips
        assert "mean_cond" not in clips
    assert set(read_table(results / "features/measures/layer_00.tsv")["clips"]) == {"held-out clips"}
    assert set(read_table(results / "features/map.tsv")["branch"].dropna()) == {"uncond"}


def test_two_tracks_share_no_seed_and_are_compared_as_other_seeds(tracks):
    table = read_table(tracks.results.parent / "textless/similarity/map.tsv")
    whole = table.query("window == 'whole'")
    pairs = zip(whole["statistic"], whole["estimate"], strict=True)
    found = [estimate for statistic, estimate in pairs if statistic == OTHER_SEED]
    assert found
    assert not np.isnan(found).any()


def test_a_changed_file_remakes_its_own_sample(tracks):
    before, index = tracks.samples(), f"{tracks.results}/samples.tsv"
    target = index.removeprefix(f"{tracks.folder}/")
    assert tracks.planned(target) == {}
    music = tracks.folder / "music"
    write_track(music / "hymn-sad.mp3", 2.0, 22_050, pitch=220.0, seed=99)
    assert tracks.snakemake("--cores", "2", "--", target).returncode == 0
    after = tracks.samples()
    changed = {path.parent.name for path in before if before[path] != after[path]}
    assert changed == {"hymn-sad"}
    # Exchanged with their times: both are older than their stacks.
    one, other = music / "waltz-happy.flac", music / "waltz-sad.flac"
    one.rename(music / "aside")
    other.rename(one)
    (music / "aside").rename(other)
    assert tracks.planned(target) == {"generate": 1, "index": 1}
    assert tracks.snakemake("--cores", "2", "--", target).returncode == 0
    last = tracks.samples()
    assert {path.parent.name for path in after if after[path] != last[path]} == {"waltz-happy", "waltz-sad"}


def test_a_file_that_is_missing_stops_the_dry_run_in_one_message(fresh):
    write_sheets(fresh.folder)
    (fresh.folder / "music/hymn-sad.mp3").unlink()
    (fresh.folder / "config.yaml").write_text(yaml.safe_dump(TRACKS))
    done = fresh.snakemake("--dry-run")
    assert done.returncode != 0
    assert "sheet.tsv, 'hymn-sad': music/hymn-sad.mp3 does not exist" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
