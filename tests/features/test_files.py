"""Dictionaries are written and read bit for bit, in sae-lens' format."""

import json
import shutil

import numpy as np
import pytest
import torch
from fake_dictionaries import drawn
from safetensors.torch import load_file, save_file

from innerear.errors import InputError
from innerear.features import files
from innerear.features.measures import matched


def untied(**fields):
    """A dictionary whose arrays all differ."""
    return drawn(6, 10, tied=False, metadata={"study": "ä"}, **fields)


def normal_states():
    return torch.randn(50, 6, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("threshold", [None, torch.full((10,), 0.3)])
def test_what_is_read_is_what_was_written(tmp_path, threshold):
    one = untied(threshold=threshold)
    files.save(one, tmp_path / "d")
    again = files.load(tmp_path / "d")
    for part in ("encoder", "encoder_bias", "decoder", "bias"):
        assert torch.equal(getattr(one, part), getattr(again, part))
    assert (again.k, again.metadata["study"]) == (3, "ä")
    states = normal_states()
    assert torch.equal(one.reconstruct(states), again.reconstruct(states))


def recipe(folder, states):
    """What sae-lens documents for `topk` and `jumprelu`, written out."""
    cfg, w = json.loads((folder / "cfg.json").read_text()), load_file(folder / "sae_weights.safetensors")
    assert cfg["apply_b_dec_to_input"] and cfg["normalize_activations"] == "none"
    latents = (states - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    if cfg["architecture"] == "topk":
        values, which = latents.topk(cfg["k"])
        latents = torch.zeros_like(latents).scatter(1, which, values.relu())
    else:
        latents = latents.relu() * (latents > w["threshold"])
    return latents @ w["W_dec"] + w["b_dec"]


@pytest.mark.parametrize("threshold", [None, torch.full((10,), 0.3)])
def test_the_documented_recipe_gives_our_reconstruction(tmp_path, threshold):
    one, states = untied(threshold=threshold, k=9 if threshold is not None else 3), normal_states()
    files.save(one, tmp_path / "d")
    torch.testing.assert_close(recipe(tmp_path / "d", states), one.reconstruct(states))


def test_sae_lens_opens_it(tmp_path):
    sae_lens = pytest.importorskip("sae_lens")
    one, states = untied(), normal_states()
    files.save(one, tmp_path / "d")
    torch.testing.assert_close(
        sae_lens.SAE.load_from_disk(str(tmp_path / "d"))(states), one.reconstruct(states)
    )


def published(folder, change, n_latents=10):
    """A folder as others publish it, with a decoder of any length."""
    torch.manual_seed(1)
    arrays = {
        "W_enc": torch.randn(6, n_latents),
        "b_enc": torch.randn(n_latents),
        "W_dec": 3 * torch.randn(n_latents, 6),
        "b_dec": torch.randn(6),
    }
    cfg = {"architecture": "topk", "k": 3, "d_in": 6, "d_sae": n_latents, "normalize_activations": "none"}
    folder.mkdir()
    save_file(arrays, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(cfg | change))
    return arrays


def test_published_variants_mean_the_same_here(tmp_path):
    states = normal_states()
    a = published(tmp_path / "a", {"rescale_acts_by_decoder_norm": True, "apply_b_dec_to_input": False})
    norms = a["W_dec"].norm(dim=1)
    latents = (states @ a["W_enc"] + a["b_enc"]) * norms
    values, which = latents.topk(3)
    kept = torch.zeros_like(latents).scatter(1, which, values.relu())
    expected = (kept / norms) @ a["W_dec"] + a["b_dec"]
    torch.testing.assert_close(files.load(tmp_path / "a").reconstruct(states), expected, atol=1e-4, rtol=1e-4)


def test_a_standard_dictionary_keeps_all_that_fires(tmp_path):
    states, a = normal_states(), published(tmp_path / "a", {"architecture": "standard", "k": None})
    latents = ((states - a["b_dec"]) @ a["W_enc"] + a["b_enc"]).relu()
    found = files.load(tmp_path / "a")
    assert found.k == 9
    few = (latents > 0).sum(dim=1) <= 9
    torch.testing.assert_close(found.reconstruct(states)[few], (latents @ a["W_dec"] + a["b_dec"])[few])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"architecture": "gated"}, "architecture 'gated'"),
        ({"normalize_activations": "layer_norm"}, "normalize_activations 'layer_norm'"),
        ({"architecture": "jumprelu"}, "has no threshold"),
        ({"k": 11}, "k is 11"),
        ({"k": None}, "k is None"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, change, message):
    published(tmp_path / "a", change)
    with pytest.raises(InputError, match=message):
        files.load(tmp_path / "a")


def test_broken_folders_are_named(tmp_path):
    with pytest.raises(InputError, match="is no dictionary"):
        files.load(tmp_path / "none")
    published(tmp_path / "a", {})
    weights = tmp_path / "a" / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match="truncated or no safetensors"):
        files.load(tmp_path / "a")


def test_a_direction_of_length_0_never_fires(tmp_path):
    for name, change in (("a", {}), ("b", {"rescale_acts_by_decoder_norm": True})):
        arrays = published(tmp_path / name, change)
        arrays["W_dec"][[2, 7]] = 0
        save_file(arrays, tmp_path / name / "sae_weights.safetensors")
    found, states = files.load(tmp_path / "b"), normal_states()
    which, values = found.encode(states)
    assert not values[(which == 2) | (which == 7)].any()
    assert torch.isfinite(found.reconstruct(states)).all()
    assert np.isfinite(matched(found.decoder, files.load(tmp_path / "a").decoder)).all()


def replace(name, change):
    def changed(arrays):
        arrays[name] = change(arrays[name])

    return changed


@pytest.mark.parametrize(
    "change, message",
    [
        (replace("b_enc", lambda a: a.to(torch.complex64)), "b_enc is complex64"),
        (replace("W_enc", lambda a: a.to(torch.float8_e4m3fn)), "W_enc is float8_e4m3fn"),
        (replace("W_dec", lambda a: a.to(torch.int8)), "W_dec is int8"),
        (replace("b_dec", lambda a: a > 0), "b_dec is bool"),
        (replace("W_enc", lambda a: a.T.contiguous()), r"W_enc is float32 of shape \(10, 6\)"),
        (replace("W_dec", lambda a: a[0]), r"W_dec is float32 of shape \(6,\)|W_enc is"),
        (replace("W_dec", lambda a: a[:0]), "W_enc is"),
        (replace("b_enc", lambda a: a * torch.nan), "b_enc holds NaN"),
        (replace("b_dec", lambda a: a.double() * 1e300), "b_dec holds"),
        (lambda arrays: arrays.pop("b_dec"), "has no b_dec"),
    ],
)
def test_weights_that_cannot_be_used_are_named(tmp_path, change, message):
    arrays = published(tmp_path / "a", {"rescale_acts_by_decoder_norm": True})
    change(arrays)
    save_file(arrays, tmp_path / "a" / "sae_weights.safetensors")
    with pytest.raises(InputError, match=f"sae_weights.safetensors:? {message}.*; fetch or save it again"):
        files.load(tmp_path / "a")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_read(tmp_path, dtype):
    arrays = {name: one.to(dtype) for name, one in published(tmp_path / "a", {}).items()}
    save_file(arrays, tmp_path / "a" / "sae_weights.safetensors")
    assert files.load(tmp_path / "a").decoder.dtype == torch.float32


@pytest.mark.parametrize("change", [{"d_in": 7}, {"d_sae": 9}, {"d_in": 10, "d_sae": 6}, {"d_in": "6"}])
def test_settings_that_contradict_the_weights_are_named(tmp_path, change):
    published(tmp_path / "a", change)
    with pytest.raises(InputError, match=r"cfg\.json: d_(in|sae) is .*, but sae_weights\.safetensors has"):
        files.load(tmp_path / "a")


def test_metadata_of_others_are_written_again(tmp_path):
    files.save(untied(), tmp_path / "d", {"note": "\ud800", "most": None})
    assert files.load(tmp_path / "d").metadata["note"] == "\ud800"


def test_its_own_are_refused_under_another_name_or_with_some_gone(tmp_path):
    root = tmp_path / "results/base/features/dictionaries"
    n_seeds = {"uncond": 2, "delta": 1}
    for name in ("uncond/layer_00/seed-0", "uncond/layer_00/seed-1", "delta/layer_00/seed-0"):
        files.save(untied(), root / name, {"n_seeds": n_seeds})
    folder = root / "uncond/layer_00/seed-0"
    assert files.load_own(folder).n_latents == 10
    remedy = "; remake it with: snakemake --cores 1 --force .*/dictionaries/uncond/layer_00"
    for gone in ("uncond/layer_00/seed-1", "delta/layer_00"):
        (root / gone).rename(tmp_path / "away")
        with pytest.raises(InputError, match=f"has [01] dictionaries, not the [12] that were.*{remedy}"):
            files.load_own(folder)
        (tmp_path / "away").rename(root / gone)
    for other in (root / "uncond/layer_00/seed-1", root / "delta/layer_00/seed-0"):
        shutil.rmtree(folder)
        shutil.copytree(other, folder)
        with pytest.raises(InputError, match=f"it was written as base/features/dictionaries/.*{remedy}"):
            files.load_own(folder)
    shutil.rmtree(folder)
    published(folder, {})
    with pytest.raises(InputError, match=f"it was written as no study's.*{remedy}"):
        files.load_own(folder)


@pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors"])
def test_a_broken_one_of_a_study_can_be_remade(tmp_path, name):
    folder = tmp_path / "results/base/features/dictionaries/uncond/layer_03/seed-0"
    files.save(untied(), folder)
    for harm in (lambda path: path.write_bytes(path.read_bytes()[:50]), lambda path: path.unlink()):
        harm(folder / name)
        with pytest.raises(InputError, match=rf"{name} .*; remake it with: .* --force {folder.parent}$"):
            files.load(folder)


def test_a_failed_writer_leaves_no_folder(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "save_file", killed)
    with pytest.raises(KeyboardInterrupt):
        files.save(untied(), tmp_path / "d")
    assert list(tmp_path.iterdir()) == []


def test_training_prompts_are_not_scored():
    one = drawn(metadata={"training_prompts": ["piano-sad", "piano-happy"]})
    one.require_unseen(["band-sad"])
    with pytest.raises(InputError, match="was trained on piano-sad"):
        one.require_unseen(["band-sad", "piano-sad"])
