"""The paragraph on methods: what was recorded, with which seeds, how well it was proved."""

import pandas as pd
import pytest
from fakes import sheet

from innerear.pages.methods import layers_text, methods

SAMPLES = sheet(2, 2, ("calm", "sad"), own_seeds=True).assign(model="nano", text="music", recording="")
WORST = {"replay_cond": 4e-4, "replay_uncond": 4.611e-4, "replay_delta": 0.0242, "replay_level": 0.5}


SAMPLED = {"use_sampling": True, "temperature": 1.0, "top_k": 250, "top_p": 0.0}


def paragraph(layers="all", worst=None, **sampled):
    """The paragraph of a study with these layers, these worst checks, and tokens drawn so."""
    checks = pd.DataFrame((worst or WORST).items(), columns=["check", "worst value"])
    design = {"seeds": "2, each template its own", "blocks": "2", "permutations": "99", "smallest p": "0.01"}
    settings = {
        "generation": {"duration": 4.0, "guidance": 3.0} | SAMPLED | sampled,
        "capture": {"layers": layers, "sites": ["residual"], "dtype": "float16"},
        "statistics": {"primary": [], "bootstraps": 50},
    }
    attrs = {"backend": "audiocraft", "dtype": "float32"}
    table = pd.DataFrame(design.items(), columns=["property", "value"])
    return methods(SAMPLES, attrs, table, settings, checks, "0.2", n_layers=6)


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ("all", "all 6 layers"),
        ("0-5", "all 6 layers"),
        ("1-3", "layers 1 to 3"),
        (3, "layer 3"),
        ([5, 0], "layers 0 and 5"),
        ([0, 3, 5], "layers 0, 3 and 5"),
    ],
)
def test_layers_are_named_however_they_were_set(layers, said):
    assert f"we recorded the states of {said} (residual)" in paragraph(layers)


def test_the_one_layer_of_a_model_is_named():
    assert layers_text("all", 1) == "layer 0"


@pytest.mark.parametrize(
    ("sampled", "said"),
    [
        ({}, "temperature 1, top-k 250"),
        ({"top_p": 0.9}, "temperature 1, top-p 0.9"),
        ({"top_k": 0}, "temperature 1, all tokens"),
        ({"use_sampling": False}, "the likeliest token each time"),
    ],
)
def test_only_what_drew_the_tokens_is_said(sampled, said):
    assert f"classifier-free guidance 3, {said}. At every step" in paragraph(**sampled)


def test_seeds_are_said_in_words():
    assert "calm and sad in 2 sentences, with 2 seeds a prompt, other ones in each sentence;" in paragraph()


def test_every_analysed_branch_is_proved_and_no_bound_is_rounded_down():
    """delta is small, so that its deviations are larger shares of its spread."""
    said = "gives the same states within 0.00047 of their spread (delta, the branches' difference: 0.025)."
    assert said in paragraph()
    assert "delta" not in paragraph(worst={"replay_cond": 4e-4})


def test_the_null_of_most_tests_is_not_said_of_all():
    said = "Unless a table's null says otherwise, labels were permuted within sentences (99 permutations,"
    assert said in paragraph()


def test_intervals_that_are_no_percentiles_are_said():
    text = paragraph()
    assert "percentiles of 50 bootstraps of sentences, unless a table says otherwise" in text
    assert "a jackknife over sentences" in text
    assert "t intervals over folds, nowhere narrower than relabeling gives." in text
