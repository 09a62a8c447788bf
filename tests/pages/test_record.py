"""The record names the worst of each check, what was used, what was set, and a reference."""

import numpy as np
import pandas as pd
import pytest

from innerear.pages.heading import Heading
from innerear.pages.methods import Cited
from innerear.pages.record import Estimated, record_page

CITATION = 'title: "T <1>"\nauthors:\n  - name: A & B\nversion: 0.2\ndate-released: 2026-11-23\n'
SAMPLES = pd.DataFrame(
    {
        "sample_id": ["a/seed-0", "b/seed-0"],
        "prompt_id": ["a", "b"],
        "template": "t",
        "text": "music",
        "emotion": ["happy", "sad"],
        "seed": 0,
        "model": "nano",
        "model_identity": "lm:12;codec:34",
        "content_sha256": ["aa", "bb"],
        "audio_sha256": ["cc", "dd"],
        "recording": "",
    }
)
CHECKS = pd.DataFrame(
    {
        "check": ["finite", "replay_cond", "witness_uncond", "replay_delta"],
        "says that": ["no NaN", "replay", "witness", "delta"],
        "samples": 2,
        "worst value": [0.0, 4e-4, 6.11e-4, 0.0242],
        "of sample": "a/seed-0",
        "tolerance": 1e-3,
        "verdict": ["passed", "passed", "failed", "failed"],
    }
)
VERIFICATION = pd.DataFrame(
    {
        "check": ["replay_cond", "replay_cond"],
        "where": ["residual, layer 1", "residual, layer 4"],
        "value": [4e-4, 3e-4],
        "tolerance": [5e-3, 1e-3],
        "pass": True,
    }
)
DESIGN = {
    "seeds": "1",
    "blocks": "1",
    "permutations": "99",
    "smallest p": "0.01",
    "detectable effect f at p ≤ 0.05": "0.22",
}


@pytest.fixture
def page(tmp_path):
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks/one.h5").write_bytes(bytes(2048))
    (tmp_path / "benchmarks/gram").mkdir(parents=True)
    for name in ("0", "1"):
        text = "s\tmax_rss\n30.0\t100.0\n" if name == "0" else "s\tmax_rss\n90.0\t-\n"
        (tmp_path / f"benchmarks/gram/{name}.tsv").write_text(text)
    row = {"criterion": "c", "outcome": "yes", "value": np.nan, "needed": "≥ 1", "what": "w"}
    return record_page(
        Heading("s", "nano", 2, 2),
        samples=SAMPLES,
        attrs={"backend": "audiocraft", "device": "cpu", "dtype": "float32", "version_torch": "2.1"},
        checks=CHECKS,
        verification=VERIFICATION,
        checklist=pd.DataFrame([row]),
        design=pd.DataFrame(DESIGN.items(), columns=["property", "value"]),
        settings={
            "generation": {
                "duration": 4.0,
                "guidance": None,
                "use_sampling": True,
                "temperature": 1.0,
                "top_k": 250,
                "top_p": 0.0,
            },
            "capture": {"layers": [0, 5], "sites": ["residual"], "dtype": "float16"},
            "statistics": {"primary": ["sound", "text"], "bootstraps": 50},
        },
        settings_text="study: <s>",
        n_layers=6,
        announcement="Study s",
        estimated=Estimated({"stacks": 4096.0}, {"gram": 500.0}),
        results=tmp_path,
        citation=CITATION,
    )


def test_the_worst_of_each_check_and_its_place_are_named(page):
    assert "residual, layer 4" in page and "residual, layer 1" not in page
    assert page.count("✓ passed") == 2 and page.count("✗ failed") == 2


def test_estimated_and_used_stand_beside_each_other(page):
    for text in (">4 KiB<", ">2 KiB<", "<td>gram</td>", ">2 min<", ">477 MiB<", ">100 MiB<"):
        assert text in page, text


def test_the_paragraph_says_what_was_set(page):
    for text in (
        "2 clips of 4 s with nano (audiocraft, float32) from 2 prompts: happy and sad in 1 sentence,",
        " in 1 sentence, with 1 seed a prompt; no guidance",
        "no guidance, temperature 1, top-k 250",
        "the states of layers 0 and 5 (residual), without",
        "permuted among all prompts (99 permutations, smallest p 0.01)",
        "the primary questions (sound and text)",
        "within 0.0004 of their spread (delta, the branches&#39; difference: 0.025); a second implementation",
        "within 0.00062 of their spread.",
        "95 % intervals are percentiles of 50 bootstraps of sentences, unless a table says otherwise",
        "f = 0.22 in 80 % of studies",
        "Inner Ear 0.2",
    ):
        assert text in page, text


def test_nothing_is_unescaped(page):
    assert "study: &lt;s&gt;" in page
    assert "<1>" not in page


def test_the_reference_is_bibtex():
    text = Cited.of(CITATION).bibtex
    assert text.startswith("@software{innerear,\n") and text.endswith("\n}")
    assert "  title = {{T <1>}}," in text and "  year = {2026}," in text
