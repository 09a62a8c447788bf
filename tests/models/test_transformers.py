"""The transformers library with the same weights gives audiocraft's states, tokens and audio."""

import json
import shutil

import pytest
import torch
from checkpoints import FAMILIES, write_checkpoint
from offset_twin import write_offset_twin
from transformers_checkpoints import write_transformers_checkpoint

from innerear.capture.hooks import capture
from innerear.errors import InputError
from innerear.models import MusicModel, load_model, nano_directory
from innerear.models.transformers import positions, witness_of

SHORT, LONG = "happy music", "energetic music with a slow piano solo and the guitar"
#: Root mean squares of rounding, 2⁻²⁴ ≈ 6e-8 a number, summed up over layers; found on nano: 8e-7. Delta is
#: the difference of branches that may differ by a hundredth only; found on nano: 1.5e-5.
CLOSE, CLOSE_DELTA = 3e-6, 1e-4


def replayed(model, codes, texts, timeline):
    """Return the states of a replay at each site, and the likelihoods: {site: [L, B, C, S, D]}, nll."""
    modules = {site: model.modules(site) for site in model.sites}
    settings = {"n_steps": timeline.n_steps, "pre_norm": model.pre_norm}
    with capture(modules, **settings) as recording:
        nll = model.replay(codes, texts, timeline, observe=recording.run)
    states = {}
    for site, layer in recording.places:
        samples = [recording.sample(site, layer, i)[0] for i in range(len(texts))]
        states.setdefault(site, []).append(torch.stack(samples))
    return {site: torch.stack(layers).double() for site, layers in states.items()}, nll


def deviation(expected, found):
    """Return the largest root mean square of a layer's difference, relative to that of its states."""
    difference = (found - expected).square().mean(dim=(1, 2, 3))
    scale = expected.square().mean(dim=(1, 2, 3))
    return float((difference / scale.clamp_min(1e-30)).sqrt().max())


def assert_same_states(model, other, codes, texts, timeline):
    expected, losses = replayed(model, codes, texts, timeline)
    found, other_losses = replayed(other, codes, texts, timeline)
    assert list(found) == list(expected) == list(model.sites)
    for site, states in expected.items():
        for branch in range(2):
            assert deviation(states[:, :, branch], found[site][:, :, branch]) < CLOSE, (site, branch)
        if site != "input":  # where the branches are equal
            delta, other_delta = (one[:, :, 0] - one[:, :, 1] for one in (states, found[site]))
            assert deviation(delta, other_delta) < CLOSE_DELTA, site
    torch.testing.assert_close(other_losses, losses, atol=1e-4, rtol=1e-5, equal_nan=True)


def assert_same_clips(model, other, texts, seeds, duration, **settings):
    made, again = (one.generate(texts, seeds, duration, **settings) for one in (model, other))
    assert torch.equal(again.codes, made.codes)
    torch.testing.assert_close(again.audio, made.audio, atol=1e-5, rtol=0)
    return made.codes


@pytest.fixture(scope="module")
def nano():
    return load_model("nano", device="cpu")


@pytest.fixture(scope="module")
def tiny_witness(tiny_model):
    return witness_of(tiny_model)


@pytest.fixture(scope="module")
def own_layout(tiny_model, tmp_path_factory):
    """The tiny model in the library's own layout."""
    return write_transformers_checkpoint(tmp_path_factory.mktemp("own") / "tiny", tiny_model)


def test_it_is_a_music_model(tiny_model, tiny_witness):
    assert isinstance(tiny_witness, MusicModel)
    same = ("name", "n_layers", "d_model", "n_codebooks", "card", "frame_rate", "sample_rate", "max_duration")
    for attribute in (*same, "has_cross_attention", "pre_norm", "sites", "delays", "device", "dtype"):
        assert getattr(tiny_witness, attribute) == getattr(tiny_model, attribute), attribute
    assert tiny_witness.identity() == tiny_model.identity()
    assert tiny_witness.timeline(70) == tiny_model.timeline(70)


def test_it_shares_no_code_of_the_transformer(tiny_model, tiny_witness):
    ours, theirs = (
        {type(module).__module__.partition(".")[0] for module in model.network.modules()}
        for model in (tiny_model, tiny_witness)
    )
    assert ours & theirs == {"torch"}
    assert "transformers" in theirs


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "layer-scale"])
def test_published_families_give_the_same_states_and_tokens(family, tmp_path):
    model = load_model(write_checkpoint(tmp_path / family, **FAMILIES[family]), device="cpu")
    witness, texts = witness_of(model), [SHORT, "sad music", LONG]
    codes = assert_same_clips(model, witness, texts, [1, 2, 3], 0.3)
    assert len(torch.unique(codes)) > 8
    assert_same_states(model, witness, codes, texts, model.timeline(0.3))


def test_a_prepended_text_gives_the_same_states_and_tokens(tmp_path):
    model = load_model(write_checkpoint(tmp_path / "model", prepend=True), device="cpu")
    witness, texts = witness_of(model), [SHORT, LONG]
    codes = assert_same_clips(model, witness, texts, [1, 2], 0.3)
    assert_same_clips(model, witness, texts, [1, 2], 0.3, two_step=True)
    assert_same_states(model, witness, codes, texts, model.timeline(0.3))


@pytest.mark.parametrize(
    "settings",
    [
        {"two_step": True},
        {"guidance": None},
        {"guidance": 1.5, "temperature": 0.7, "top_k": 0},
        {"top_p": 0.7},
        {"use_sampling": False},
        {"rows": 3},
    ],
)
def test_every_setting_gives_the_same_tokens(tiny_model, tiny_witness, settings):
    assert_same_clips(tiny_model, tiny_witness, [SHORT, LONG, None], [4, 5, 6], 0.3, **settings)


def test_without_text_one_branch_runs(tiny_model, tiny_witness):
    assert_same_clips(tiny_model, tiny_witness, [None, None], [4, 5], 0.3)


@pytest.mark.parametrize("family", ["small", "stereo"])
def test_windows_and_continued_audio(family, tmp_path):
    model = load_model(write_checkpoint(tmp_path / family, segment=1, **FAMILIES[family]), device="cpu")
    witness, texts = witness_of(model), [SHORT, LONG]
    audio = torch.randn(2, 2, 300, generator=torch.Generator().manual_seed(0))
    given = model.encode(audio, 1000)
    assert torch.equal(witness.encode(audio, 1000), given)
    torch.testing.assert_close(witness.decode(given), model.decode(given), atol=1e-5, rtol=0)
    codes = assert_same_clips(model, witness, texts, [1, 2], 2.3, given=given)
    timeline = model.timeline(2.3, given=given.shape[-1])
    assert len(timeline.windows) > 2
    assert_same_states(model, witness, codes, texts, timeline)


def test_nano(nano):
    witness, texts = witness_of(nano), ["a happy solo piano piece", "a sad solo piano piece"]
    codes = assert_same_clips(nano, witness, texts, [0, 1], 1)
    assert_same_states(nano, witness, codes, [*texts[:1], None], nano.timeline(1))


def test_an_offset_twin_keeps_its_tokens(nano, tmp_path):
    twin = load_model(write_offset_twin(nano_directory(), tmp_path / "twin", -9.8), device="cpu")
    text = ["a happy solo piano piece"]
    codes = assert_same_clips(twin, witness_of(twin), text, [3], 0.5)
    assert torch.equal(codes, nano.generate(text, [3], 0.5).codes)


def test_weights_of_another_precision_are_read_in_float32(tiny_checkpoint):
    model = load_model(tiny_checkpoint, device="cpu")
    rounded = load_model(tiny_checkpoint, device="cpu")
    model.musicgen.lm.transformer.half()
    for weight in rounded.musicgen.lm.transformer.parameters():
        weight.data = weight.data.half().float()
    codes = torch.randint(16, (1, 4, 20), generator=torch.Generator().manual_seed(0))
    assert_same_states(rounded, witness_of(model), codes, [SHORT], rounded.timeline(0.4))


def test_random_twins_are_the_same_model(tiny_checkpoint):
    twin = {"device": "cpu", "random_init": True, "seed": 3}
    model = load_model(tiny_checkpoint, **twin)
    converted = load_model(tiny_checkpoint, backend="transformers", **twin)
    assert (converted.name, converted.identity()) == (model.name, model.identity())
    assert_same_clips(model, converted, [SHORT], [1], 0.2)
    assert type(witness_of(converted)) is type(model)
    assert_same_clips(converted, witness_of(converted), [SHORT], [1], 0.2)


def test_positions_are_audiocrafts_and_the_librarys_to_rounding():
    from audiocraft.modules.transformer import create_sin_embedding
    from transformers.models.musicgen.modeling_musicgen import MusicgenSinusoidalPositionalEmbedding

    found = positions(2000, 96)
    assert torch.equal(found, create_sin_embedding(torch.arange(2000).view(1, -1, 1), 96)[0])
    # An angle of 2000 is rounded to 2⁻¹³.
    library = MusicgenSinusoidalPositionalEmbedding.get_embedding(2000, 96)
    torch.testing.assert_close(found, library, atol=2 * 2.0**-13, rtol=0)


def test_a_model_that_the_library_does_not_have_is_refused(tmp_path):
    model = load_model(write_checkpoint(tmp_path / "model", layer_scale=0.1), device="cpu")
    with pytest.raises(InputError, match=r"no counterpart in the transformers library.*layer_scale"):
        witness_of(model)


@pytest.mark.parametrize("family", ["small", "melody", "stereo"])
def test_the_librarys_own_layout(family, tmp_path):
    model = load_model(write_checkpoint(tmp_path / "theirs", segment=2, **FAMILIES[family]), device="cpu")
    folder = write_transformers_checkpoint(tmp_path / "ours", model)
    own = load_model(folder, device="cpu", backend="transformers")
    assert own.name == "ours"
    assert (own.max_duration, own.delays, own.sample_rate) == (2, model.delays, 1600)
    texts = [SHORT, LONG]
    codes = assert_same_clips(model, own, texts, [1, 2], 0.3)
    assert_same_states(model, own, codes, texts, model.timeline(0.3))
    audio = torch.randn(2, 400, generator=torch.Generator().manual_seed(0))
    assert torch.equal(own.encode(audio, 1600), model.encode(audio, 1600))


def test_its_identity_is_that_of_its_files(own_layout, tmp_path):
    first = load_model(own_layout, device="cpu", backend="transformers").identity()
    copy = shutil.copytree(own_layout, tmp_path / "copy")
    assert load_model(copy, device="cpu", backend="transformers").identity() == first
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert load_model(copy, device="cpu", backend="transformers").identity() != first


def test_a_random_twin_of_its_own_layout(own_layout):
    settings = {"device": "cpu", "backend": "transformers", "random_init": True}
    one, same, other = (load_model(own_layout, seed=seed, **settings) for seed in (1, 1, 2))
    assert one.name == "tiny-random-1"
    codes = [model.generate([SHORT], [0], 0.2).codes for model in (one, same, other)]
    assert torch.equal(codes[0], codes[1])
    assert not torch.equal(codes[0], codes[2])


def test_its_own_layout_has_no_witness(own_layout):
    with pytest.raises(InputError, match="no second implementation"):
        witness_of(load_model(own_layout, device="cpu", backend="transformers"))


def _without(name):
    return lambda folder: (folder / name).unlink()


def _pickled(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"anything")


def _truncated(folder):
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])


def _another_family(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "bark"}))


def _another_shape(folder):
    config = json.loads((folder / "config.json").read_text())
    config["decoder"]["ffn_dim"] -= 1
    (folder / "config.json").write_text(json.dumps(config))


def _another_depth(folder):
    config = json.loads((folder / "config.json").read_text())
    config["decoder"]["num_hidden_layers"] += 1
    (folder / "config.json").write_text(json.dumps(config))


def _a_piece_lacks(folder):
    (folder / "model.safetensors").unlink()
    pieces = {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(pieces))


def _pieces_without_names(folder):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": 1}}')


def _nested(name):
    def spoil(folder):
        (folder / "model.safetensors").unlink()
        (folder / name).write_text("[" * 100_000)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without("config.json"), "has no config.json"),
        (_without("model.safetensors"), "has no model.safetensors"),
        (_without("spiece.model"), "neither spiece.model nor tokenizer.json"),
        (_pickled, "pytorch_model.bin is a pickle, which may run code and is not read"),
        (_truncated, "cannot be read"),
        (_another_family, "describes a 'bark'"),
        (_another_shape, "layers.0.fc1.weight of another shape"),
        (_another_depth, r"has no decoder\.model\.decoder\.layers\.3"),
        (_a_piece_lacks, "lacks model-00001-of-00001.safetensors"),
        (_pieces_without_names, r"index\.json is no index of weights"),
        (_nested("model.safetensors.index.json"), r"index\.json is no index of weights"),
        (_nested("config.json"), r"config\.json does not say 'model_type'"),
    ],
)
def test_a_spoilt_folder_is_refused_in_one_line(own_layout, tmp_path, spoil, message):
    folder = shutil.copytree(own_layout, tmp_path / "spoilt")
    spoil(folder)
    with pytest.raises(InputError, match=message) as refused:
        load_model(folder, device="cpu", backend="transformers")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "key",
    [
        *("decoder.num_hidden_layers", "decoder.num_codebooks", "decoder.ffn_dim", "decoder.vocab_size"),
        *("decoder.max_position_embeddings", "decoder.dropout"),
        *("text_encoder.num_layers", "text_encoder.d_ff"),
        *("audio_encoder.num_residual_layers", "audio_encoder.num_filters"),
        *("audio_encoder.upsampling_ratios", "audio_encoder.target_bandwidths"),
    ],
)
def test_a_model_larger_than_its_weights_is_not_built(own_layout, tmp_path, key):
    folder = shutil.copytree(own_layout, tmp_path / "spoilt")
    config = json.loads((folder / "config.json").read_text())
    part, name = key.split(".")
    config[part][name] = [2, 10**9] if isinstance(config[part][name], list) else 10**9
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=rf"config\.json .*: {key} is 1000000000, where a model of these"):
        load_model(folder, device="cpu", backend="transformers")


def test_a_hub_model_that_is_not_in_the_cache_names_the_command(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="python -m innerear fetch facebook/musicgen-small"):
        load_model("facebook/musicgen-small", device="cpu", backend="transformers")


def test_an_unknown_backend_is_refused():
    with pytest.raises(InputError, match=r"model\.backend: 'jax' is not allowed"):
        load_model("nano", backend="jax")
