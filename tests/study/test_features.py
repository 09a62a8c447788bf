"""Which layers get dictionaries, on which templates they are trained, and when there are none."""

import pytest

from innerear.errors import InputError
from innerear.study.architectures import architecture_of
from innerear.study.features import study_features
from innerear.study.prompts import Prompt

SECTION = {
    "enabled": True,
    "layers": None,
    "dictionaries": None,
    "kind": "topk",
    "n_latents": None,
    "k": 8,
    "steps": 600,
    "batch": 512,
    "lr": 0.008,
    "train_share": 0.4,
}
CAPTURE = {"branches": ["cond", "uncond"], "sites": ["residual"], "layers": [0, 1, 2, 3, 4, 5]}


def resolved(n_templates=10, *, capture=None, n_tokens=200, **changed):
    prompts = [
        Prompt(f"t{t}-{emotion}", "text", template=f"t{t}", emotion=emotion)
        for t in range(n_templates)
        for emotion in ("happy", "sad", "calm", "energetic")
    ]
    sizes = {"n_seeds": 2, "n_tokens": n_tokens}
    nano = architecture_of("nano")
    return study_features(SECTION | changed, prompts, nano, CAPTURE | (capture or {}), **sizes)


def test_the_first_templates_are_trained_on_and_six_are_left_to_flip():
    found = resolved()
    assert found.layers == [0, 3, 5]
    assert {prompt.partition("-")[0] for prompt in found.training} == {"t0", "t1", "t2", "t3"}
    assert found.settings["n_latents"] == 192


@pytest.mark.parametrize("n_templates, n", [(1, 1), (2, 1), (3, 1), (5, 2)])
def test_something_is_held_out_where_there_are_two_templates(n_templates, n):
    assert len(resolved(n_templates, n_tokens=1000).training) == 4 * n


def test_the_default_size_follows_the_tokens():
    assert resolved(n_tokens=100).settings["n_latents"] == 32 * 100 // 30
    assert resolved(n_tokens=5).left_out.startswith("160 tokens to train on are too few")
    assert not resolved(n_tokens=5).layers


def test_what_was_asked_for_is_refused_with_the_size_that_is_needed():
    with pytest.raises(InputError, match=r"n_latents: 2000 latents want at least 10000 tokens.*give 6400"):
        resolved(n_latents=2000)
    with pytest.raises(InputError, match=r"give 160; ask for at most 32, or make more or longer clips"):
        resolved(n_latents=64, n_tokens=5)
    with pytest.raises(InputError, match=r"features\.k: 8 of 8"):
        resolved(n_latents=8)
    with pytest.raises(InputError, match=r"features\.layers: layer 4 is not captured"):
        resolved(layers=[4], capture={"layers": [0, 5]})
    with pytest.raises(InputError, match=r"features\.layers"):
        resolved(layers=[6])


@pytest.mark.parametrize("n_tokens, k", [(1, 1), (1, 6), (3, 20), (0, 1)])
def test_no_number_of_latents_is_advised_that_would_be_refused(n_tokens, k):
    tokens = n_tokens * 2 * 4  # of one template of two
    with pytest.raises(
        InputError, match=rf"n_latents: 64 latents want.* give {tokens}; make more or"
    ) as said:
        resolved(2, n_latents=64, k=k, n_tokens=n_tokens)
    assert "ask for" not in str(said.value)


def test_finished_dictionaries_hold_all_clips_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for layer in (0, 3, 5):
        folder = tmp_path / f"results/corpus/features/dictionaries/uncond/layer_{layer:02d}/seed-0"
        folder.mkdir(parents=True)
        (folder / "cfg.json").write_text("{}")
    found = resolved(dictionaries="corpus", n_tokens=5)
    assert (found.given, list(found.of)) == ("results/corpus", ["uncond"])
    assert found.training == [] and found.layers == [0, 3, 5] and not found.left_out


def test_one_branch_or_no_wish_gives_none():
    assert "of uncond" in resolved(capture={"branches": ["cond"]}).left_out
    assert resolved(enabled=False).layers == [] and not resolved(enabled=False).left_out


def test_states_that_cannot_vary_get_no_dictionaries():
    """uncond reads no text, and in layer 0 self-attention comes before any is read."""
    assert "cross_attention adds 0" in resolved(capture={"sites": ["cross_attention"]}).left_out
    before = {"sites": ["self_attention"]}
    assert resolved(capture=before).layers == [1, 3, 5]
    assert resolved(capture=before | {"branches": ["uncond"]}).layers == [0, 3, 5]
    assert "equal in layer 0" in resolved(capture=before | {"layers": [0]}).left_out
    with pytest.raises(InputError, match=r"features\.layers: .* leave layer 0 out"):
        resolved(capture=before, layers=[0, 5])


def test_finished_dictionaries_that_are_not_there_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="results/corpus has no dictionaries of uncond"):
        resolved(dictionaries="corpus")
