"""What is wrong with a checkpoint is said in one line that names the file and the key."""

import json
import math
import re
import shutil

import pytest
import torch
from checkpoints import write_checkpoint
from hub_cache import store
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file
from transformers_checkpoints import write_transformers_checkpoint

from innerear.errors import InputError
from innerear.models import load_model
from innerear.models.packages import require_finite

LM, CODEC = "state_dict.bin", "compression_state_dict.bin"
KEY = "transformer.layers.0.linear1.weight"


@pytest.fixture
def checkpoint(tiny_checkpoint, tmp_path):
    """A copy that may be broken."""
    return shutil.copytree(tiny_checkpoint, tmp_path / "model")


def rewrite(path, change):
    """Apply a function to a checkpoint file's dictionary; what it returns, if anything, takes its place."""
    package = torch.load(path, weights_only=True)
    torch.save(change(package) or package, path)


def configure(path, key, value):
    """Change a setting of a checkpoint file's configuration."""

    def change(package):
        cfg = OmegaConf.create(package["xp.cfg"])
        OmegaConf.update(cfg, key, value, force_add=True)
        package["xp.cfg"] = OmegaConf.to_yaml(cfg)

    rewrite(path, change)


def in_state(**weights):
    return lambda package: package["best_state"].update(weights)


@pytest.mark.parametrize("name", [LM, CODEC])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda package: package.pop("best_state") and None, "has no 'best_state', only 'xp.cfg'"),
        (lambda package: package.pop("xp.cfg") and None, "has no 'xp.cfg', only 'best_state'"),
        (lambda package: package.update(best_state=[1]), "'best_state' is a list"),
        (lambda package: package.update(best_state={}), "'best_state' does not fit.* has at most 0;"),
        (lambda package: package.update({"xp.cfg": "a: [b"}), "'xp.cfg' is no configuration in YAML"),
        (lambda package: package.update({"xp.cfg": "- 1"}), "'xp.cfg' is a ListConfig"),
        (lambda package: package.update({"xp.cfg": 3}), "'xp.cfg' is no configuration"),
        (lambda package: package.update({"xp.cfg": "a: 1"}), "'xp.cfg' does not describe a model"),
        (lambda package: [package], "holds a list, not the dictionary of a checkpoint"),
        (lambda package: torch.ones(1), "holds a Tensor, not the dictionary"),
        (in_state(further=torch.ones(2)), r"Unexpected key.*'?further"),
    ],
)
def test_a_broken_file_is_named_with_its_key(checkpoint, name, change, message):
    rewrite(checkpoint / name, change)
    with pytest.raises(InputError, match=rf"model/{name}\b.*{message}") as refused:
        load_model(checkpoint, device="cpu")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.ones(3, 32), r"size mismatch for transformer\.layers\.0\.linear1\.weight"),
        ("text", r"linear1\.weight'\] is a str, not a tensor"),
        (None, r"linear1\.weight'\] is a NoneType"),
        (torch.ones(64, 32, dtype=torch.int64), r"linear1\.weight'\] is int64, where the model has float32"),
    ],
)
def test_a_wrong_weight_is_named(checkpoint, value, message):
    rewrite(checkpoint / LM, in_state(**{KEY: value}))
    with pytest.raises(InputError, match=rf"{LM}.*{message}"):
        load_model(checkpoint, device="cpu")


def spoilt(key, at, value):
    def change(package):
        package["best_state"][key][at] = value

    return change


CODEBOOK = "quantizer.vq.layers.1._codebook.embed"


@pytest.mark.parametrize(
    ("name", "key", "at", "value", "message"),
    [
        (LM, KEY, ..., math.nan, "2,048 of 2,048 values, the first nan"),
        (LM, "emb.0.weight", 3, math.nan, "32 of 544 values, the first nan"),
        (LM, "out_norm.bias", -1, -math.inf, "1 of 32 values, the first -inf"),
        (CODEC, CODEBOOK, (0, 0), math.inf, "1 of 128 values, the first inf"),
        (CODEC, "encoder.model.0.conv.conv.weight_v", 0, math.nan, "7 of 28 values, the first nan"),
    ],
)
def test_weights_that_are_not_finite_are_named(checkpoint, name, key, at, value, message):
    rewrite(checkpoint / name, spoilt(key, at, value))
    weight = rf"the weight '{re.escape(key)}' is not finite in float32"
    with pytest.raises(InputError, match=f"model/{name}: {weight}: {message}"):
        load_model(checkpoint, device="cpu")


def test_weights_beyond_the_precision_of_the_model_are_named():
    module = torch.nn.Linear(3, 3)
    module.weight.data[1, 2] = 1e6
    require_finite(module, "file")
    with pytest.raises(InputError, match=r"file: .* float16: 1 of 9 values, .* inf;.* model\.dtype: float32"):
        require_finite(module.half(), "file")


def test_a_text_encoder_without_finite_weights_is_named(checkpoint):
    path = checkpoint / "t5/model.safetensors"
    weights = load_file(path)
    next(iter(weights.values())).fill_(math.nan)
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(InputError, match=rf"{LM}, text encoder: the weight '.*' is not finite"):
        load_model(checkpoint, device="cpu")


@pytest.mark.parametrize("part", ["decoder", "text_encoder", "audio_encoder"])
def test_every_part_in_the_layout_of_transformers_must_be_finite(tiny_model, tmp_path, part):
    folder = write_transformers_checkpoint(tmp_path / "model", tiny_model)
    weights = load_file(folder / "model.safetensors")
    key = next(key for key, value in weights.items() if key.startswith(part) and value.is_floating_point())
    weights[key].view(-1)[0] = math.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=rf"/model: the weight '{part}\..*' is not finite in float32: 1 of"):
        load_model(folder, device="cpu", backend="transformers")


@pytest.mark.parametrize("name", [LM, CODEC])
@pytest.mark.parametrize(("key", "kind"), [(5, "int"), (None, "NoneType"), (("a", 1), "tuple")])
def test_a_weight_whose_name_is_no_text_is_named(checkpoint, name, key, kind):
    rewrite(checkpoint / name, lambda package: package["best_state"].update({key: torch.ones(2)}))
    with pytest.raises(InputError, match=rf"{name}: best_state has the key .*, a {kind} and not the name"):
        load_model(checkpoint, device="cpu")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("lm_model", "transformer_lm_magnet", "is MAGNeT, which cannot be recorded: it is not auto"),
        ("solver", "magnet", "is MAGNeT"),
        ("solver", "jasco", "is JASCO, which cannot be recorded: it is a flow matching model"),
        ("conditioners.self_wav", {"model": "style", "style": {}}, "is MusicGen-Style.*three branches"),
        ("lm_model", "other", r"does not describe a model.*KeyError.*Unexpected LM model other"),
        ("conditioners.description.t5.name", "t6-base", "does not describe a model.*Unrecognized t5"),
        ("transformer_lm.num_heads", 5, "does not describe a model"),
        ("dataset.segment_duration", -1, "segment_duration in 'xp.cfg' is -1, not seconds above 0"),
        ("dataset.segment_duration", "long", "segment_duration in 'xp.cfg' is 'long'"),
    ],
)
def test_a_configuration_that_does_not_run_is_explained(checkpoint, key, value, message):
    configure(checkpoint / LM, key, value)
    with pytest.raises(InputError, match=rf"{LM}.*{message}"):
        load_model(checkpoint, device="cpu")


HUGE = 10**9


@pytest.mark.parametrize("value", [HUGE, 10**4])
@pytest.mark.parametrize(
    ("name", "key", "most"),
    [
        (LM, "transformer_lm.num_layers", 3),
        (LM, "transformer_lm.n_q", 4),
        (LM, "transformer_lm.card", 16),
        (LM, "transformer_lm.dim", 32),
        (LM, "transformer_lm.hidden_scale", 3),
        (CODEC, "rvq.n_q", 4),
        (CODEC, "rvq.bins", 16),
        (CODEC, "seanet.dimension", 8),
        (CODEC, "seanet.n_filters", 64),
        (CODEC, "seanet.ratios", 64),
        (CODEC, "seanet.kernel_size", 64),
        (CODEC, "seanet.n_residual_layers", 72),
        (CODEC, "seanet.lstm", 72),
    ],
)
def test_a_model_larger_than_its_weights_is_not_built(checkpoint, name, key, most, value):
    configure(checkpoint / name, key, [2, value] if key.endswith("ratios") else value)
    message = rf"{name}: .* {key} is {value}, where a model of these weights has at most {most};"
    with pytest.raises(InputError, match=message):
        load_model(checkpoint, device="cpu")


@pytest.mark.parametrize("key", ["n_chroma", "radix2_exp", "nfft", "winlen"])
def test_a_chroma_larger_than_its_weights_is_not_built(tmp_path, key):
    folder = write_checkpoint(tmp_path / "melody", melody=True)
    assert load_model(folder, device="cpu").d_model == 32
    configure(folder / LM, f"conditioners.self_wav.chroma_stem.{key}", HUGE)
    with pytest.raises(
        InputError, match=rf"chroma_stem\.{key} is {HUGE}, where a model of these weights has at most"
    ):
        load_model(folder, device="cpu")


@pytest.mark.parametrize("key", ["num_layers", "d_ff", "vocab_size"])
def test_a_text_encoder_larger_than_its_weights_is_not_built(checkpoint, key):
    path = checkpoint / "t5/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: HUGE}))
    with pytest.raises(InputError, match=rf"t5/config\.json .*: {key} is {HUGE}, where a model of these"):
        load_model(checkpoint, device="cpu")


def test_a_codec_of_another_model_is_refused(checkpoint, tmp_path):
    other = write_checkpoint(tmp_path / "other", n_q=2)
    shutil.copy(other / CODEC, checkpoint / CODEC)
    with pytest.raises(InputError, match=r"codec has 2 codebooks of 16 tokens, the language model 4 of 16"):
        load_model(checkpoint, device="cpu")


@pytest.mark.parametrize("name", ["/somewhere/codec.bin", "dac_44khz", "../other", "{here}", 7, "a/b/c", ""])
def test_a_codec_elsewhere_is_refused(checkpoint, tmp_path, name):
    torch.save({"pretrained": str(name).format(here=checkpoint) if name != 7 else name}, checkpoint / CODEC)
    with pytest.raises(InputError, match=rf"{CODEC} names its codec by .*; a codec must lie in the file"):
        load_model(checkpoint, device="cpu")


def write_encodec(folder, scale=1.0):
    """Write an EnCodec of transformers that fits the tiny language model: 50 Hz, 4 codebooks of 16 tokens."""
    from transformers import EncodecConfig, EncodecModel

    sizes = {"num_filters": 4, "hidden_size": 8, "codebook_dim": 8, "num_lstm_layers": 1}
    config = EncodecConfig([0.8], 1600, codebook_size=16, upsampling_ratios=[8, 4], **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        codec = EncodecModel(config)
        for layer in codec.quantizer.layers:
            layer.codebook.embed.normal_().mul_(scale)
    codec.save_pretrained(folder)
    return folder


def test_a_codec_of_the_hub_is_read_from_the_cache_and_part_of_the_identity(
    checkpoint, tmp_path, monkeypatch
):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    torch.save({"pretrained": "facebook/encodec_32khz", "exported": True}, checkpoint / CODEC)
    with pytest.raises(InputError, match=r"codec facebook/encodec_32khz is not in the cache.*fetch .*model"):
        load_model(checkpoint, device="cpu")
    identities, sounds = [], []
    for scale in (1.0, 2.0):
        codec = write_encodec(tmp_path / f"codec-{scale}", scale)
        store(tmp_path / "cache", "facebook/encodec_32khz", codec, "0" * 40)
        model = load_model(checkpoint, device="cpu")
        identities.append(model.identity().split(";"))
        sounds.append(model.generate(["happy music"], [0], 0.2))
    assert torch.equal(sounds[0].codes, sounds[1].codes)
    assert not torch.equal(sounds[0].audio, sounds[1].audio)
    assert sounds[0].audio.shape == (1, 320)
    assert [one != other for one, other in zip(*identities, strict=True)] == [False, False, True]
    store(tmp_path / "cache", "facebook/encodec_32khz", write_encodec(tmp_path / "codec", math.nan), "0" * 40)
    with pytest.raises(InputError, match=r"encodec_32khz.*: the weight 'quantizer.*' is not finite"):
        load_model(checkpoint, device="cpu")
