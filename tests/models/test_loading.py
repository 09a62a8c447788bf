"""Checkpoints are loaded safely, whole, and as what they are."""

import collections
import pickle
import shutil
import subprocess
import sys
import time

import pytest
import torch
from checkpoints import write_checkpoint, write_t5
from hub_cache import store
from omegaconf import OmegaConf

from innerear.errors import InputError
from innerear.models import load_model
from innerear.models.packages import safe_load


def change_weights(path, change):
    """Apply a function to the weights of a checkpoint file, or to the whole file's dictionary."""
    package = torch.load(path, weights_only=True)
    change(package["best_state"])
    torch.save(package, path)


def changed_parts(one, other):
    """Names of the parts in which two models' identities differ."""
    parts = [model.identity().split(";") for model in (one, other)]
    return [a.partition(":")[0] for a, b in zip(*parts, strict=True) if a != b]


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


@pytest.mark.parametrize("name", ["state_dict.bin", "compression_state_dict.bin"])
def test_a_malicious_checkpoint_is_refused_and_not_executed(tiny_checkpoint, tmp_path, name):
    directory = tmp_path / "model"
    shutil.copytree(tiny_checkpoint, directory)
    package = torch.load(directory / name, weights_only=True)
    package["extra"] = Malicious(tmp_path / "executed")
    torch.save(package, directory / name)
    with pytest.raises(InputError, match=rf"{name} is not a plain checkpoint and was not executed"):
        load_model(directory, device="cpu")
    assert not (tmp_path / "executed").exists()
    torch.load(directory / name, weights_only=False)  # the trap does work
    assert (tmp_path / "executed").exists()


def test_a_bare_pickle_is_refused_and_not_executed(tmp_path):
    path = tmp_path / "state_dict.bin"
    path.write_bytes(pickle.dumps(Malicious(tmp_path / "executed"), protocol=2))
    with pytest.raises(InputError, match="not executed"):
        safe_load(path)
    assert not (tmp_path / "executed").exists()


def test_the_environment_cannot_switch_safety_off(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save(Malicious(tmp_path / "executed"), tmp_path / "state_dict.bin")
    with pytest.raises(InputError, match="not executed"):
        safe_load(tmp_path / "state_dict.bin")
    assert not (tmp_path / "executed").exists()


def test_omegaconf_configurations_are_allowed(tmp_path):
    cfg = OmegaConf.create({"a": {"b": [1, 2.5, None, True, "text"]}, "c": "${a.b}"})
    state = collections.OrderedDict(weight=torch.ones(2))
    torch.save({"xp.cfg": cfg, "best_state": state}, tmp_path / "state_dict.bin")
    loaded = safe_load(tmp_path / "state_dict.bin")
    assert OmegaConf.to_container(loaded["xp.cfg"], resolve=True) == OmegaConf.to_container(cfg, resolve=True)


REVISION = "0123456789abcdef0123456789abcdef01234567"
SMALL = "facebook/musicgen-small"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub, and no way to the network."""
    import socket

    from huggingface_hub import constants

    def unplugged(*_, **__):
        raise AssertionError("something looked for the network")

    monkeypatch.delenv("AUDIOCRAFT_CACHE_DIR", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(socket.socket, "connect", unplugged)
    monkeypatch.setattr(socket, "getaddrinfo", unplugged)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A model as it is published: its text encoder is the hub's t5-base; and that text encoder."""
    from huggingface_hub import constants

    folder = tmp_path_factory.mktemp("published")
    t5 = write_t5(folder / "t5-base", d_model=768)
    store(folder / "cache", "t5-base", t5, REVISION)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(constants, "HF_HUB_CACHE", str(folder / "cache"))
        return write_checkpoint(folder / "model", t5="t5-base"), t5


def test_a_hub_model_is_loaded_from_the_cache_without_a_network(cache, published):
    model, t5 = published
    store(cache, SMALL, model, REVISION)
    store(cache, "t5-base", t5, REVISION)
    loaded = load_model(SMALL, device="cpu")
    assert loaded.name == SMALL
    assert loaded.generate(["happy music"], [0], 0.1).codes.shape == (1, 4, 5)
    # The same files are the same weights, wherever they lie.
    assert load_model(model, device="cpu").identity() == loaded.identity()
    assert load_model("musicgen-small", device="cpu").name == SMALL
    assert load_model("small", device="cpu", label="mine").name == "mine"


def test_the_hubs_new_name_of_a_text_encoder_is_found_too(cache, published):
    store(cache, "google-t5/t5-base", published[1], REVISION)
    assert load_model(published[0], device="cpu").identity()


@pytest.mark.parametrize(
    ("stored", "missing"),
    [
        ((), r"the model facebook/musicgen-small is not in the cache"),
        ((SMALL,), r"the text encoder t5-base is not in the cache"),
    ],
)
def test_what_is_not_in_the_cache_is_named_with_the_command_that_fetches_it(
    cache, published, stored, missing
):
    for repo in stored:
        store(cache, repo, published[0], REVISION)
    begin = time.perf_counter()
    with pytest.raises(InputError, match=rf"{missing}.*python -m innerear fetch facebook/musicgen-small$"):
        load_model(SMALL, device="cpu")
    assert time.perf_counter() - begin < 5


@pytest.mark.parametrize("revision", [None, ".."])
def test_a_folder_in_the_place_of_a_revision_is_no_snapshot(cache, published, revision):
    store(cache, SMALL, published[0], REVISION)
    main = cache / "models--facebook--musicgen-small/refs/main"
    main.unlink()
    main.mkdir()
    with pytest.raises(InputError, match=r"the model facebook/musicgen-small.* is not in the cache"):
        load_model(SMALL, device="cpu", revision=revision)


def test_half_a_text_encoder_is_none(cache, published):
    for path in store(cache, "t5-base", published[1], REVISION).glob("*.safetensors"):
        path.unlink()
    with pytest.raises(InputError, match=r"the text encoder t5-base is not in the cache.*fetch .*model$"):
        load_model(published[0], device="cpu")


def test_the_identity_covers_the_text_encoder_in_the_cache(cache, published):
    from safetensors.torch import load_file, save_file

    model, t5 = published
    weights = store(cache, "t5-base", t5, REVISION) / "model.safetensors"
    before = load_model(model, device="cpu")
    state = load_file(weights)
    state["shared.weight"] = state["shared.weight"] + 1
    save_file(state, weights, metadata={"format": "pt"})
    after = load_model(model, device="cpu")
    assert changed_parts(before, after) == ["text"]


def test_pins_choose_revisions(cache, published, tmp_path):
    model, t5 = published
    other = "f" * 40
    shutil.copytree(model, tmp_path / "other")
    change_weights(tmp_path / "other" / "state_dict.bin", lambda state: next(iter(state.values())).add_(1))
    store(cache, "t5-base", t5, REVISION)
    store(cache, SMALL, tmp_path / "other", other)
    store(cache, SMALL, model, REVISION)  # now main
    main, pinned = load_model(SMALL, device="cpu"), load_model(SMALL, device="cpu", revision=other)
    assert main.identity() != pinned.identity()
    assert load_model(SMALL, device="cpu", pins={SMALL: other}).identity() == pinned.identity()
    with pytest.raises(InputError, match=rf"t5-base at revision {other} is not in the cache"):
        load_model(SMALL, device="cpu", pins={"t5-base": other})
    with pytest.raises(InputError, match="for models of the hub"):
        load_model(model, device="cpu", revision=other)


def test_a_directory_named_like_a_hub_id_is_the_directory(
    cache, tiny_checkpoint, tiny_model, tmp_path, monkeypatch
):
    shutil.copytree(tiny_checkpoint, tmp_path / SMALL)
    monkeypatch.chdir(tmp_path)
    model = load_model(SMALL, device="cpu")
    assert (model.name, model.identity()) == ("musicgen-small", tiny_model.identity())
    (tmp_path / SMALL / "state_dict.bin").unlink()
    with pytest.raises(
        InputError, match=r"facebook/musicgen-small is no MusicGen checkpoint: it has no state"
    ):
        load_model(SMALL, device="cpu")


def test_a_directory_named_like_a_hub_model_is_the_directory(
    tiny_checkpoint, tiny_model, tmp_path, monkeypatch
):
    shutil.copytree(tiny_checkpoint, tmp_path / "small")
    monkeypatch.chdir(tmp_path)
    assert load_model("small", device="cpu").identity() == tiny_model.identity()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("facebook/musicgen-smal", r"did you mean 'facebook/musicgen-small'"),
        ("nanno", r"did you mean 'nano'"),
        ("/no/such/folder", "checkpoint directory"),
        ("n" * 5000, "is neither a directory nor a known name"),
    ],
)
def test_unknown_names_are_refused_with_those_that_are_known(name, message):
    with pytest.raises(InputError, match=message):
        load_model(name)


@pytest.mark.parametrize("options", [{"pins": {1: 2}}, {"pins": [("t5-base", "main")]}, {"label": 3}])
def test_other_kinds_of_arguments_are_named(options):
    with pytest.raises(InputError, match=f"{next(iter(options))}: "):
        load_model("nano", **options)


def test_pins_without_a_revision_are_named(tmp_path):
    (tmp_path / "model.json").write_text('[{"repo": "t5-base", "revision": null}]')
    with pytest.raises(InputError, match=r"pins: \{'t5-base': None\} is not allowed"):
        load_model("nano", pins=tmp_path / "model.json")


def test_a_directory_without_weights_says_which_are_missing(tmp_path):
    with pytest.raises(InputError, match=r"no state_dict\.bin and no compression_state_dict\.bin"):
        load_model(tmp_path)


def test_a_truncated_checkpoint_is_named(tiny_checkpoint, tmp_path):
    directory = tmp_path / "model"
    shutil.copytree(tiny_checkpoint, directory)
    path = directory / "state_dict.bin"
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(InputError, match=r"state_dict\.bin"):
        load_model(directory)


def test_bad_device_and_dtype_name_the_setting(tiny_checkpoint):
    with pytest.raises(InputError, match=r"model\.device: 'gpu'"):
        load_model(tiny_checkpoint, device="gpu")
    with pytest.raises(InputError, match=r"model\.dtype: 'float23'.*did you mean 'float32'"):
        load_model(tiny_checkpoint, dtype="float23")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_refused(tiny_checkpoint):
    with pytest.raises(InputError, match="torch sees no GPU"):
        load_model(tiny_checkpoint, device="cuda")


def test_identity_follows_the_weights(tiny_checkpoint, tiny_model, tmp_path):
    directory = tmp_path / "model"
    shutil.copytree(tiny_checkpoint, directory)
    assert load_model(directory, device="cpu").identity() == tiny_model.identity()
    for name, part in (("state_dict.bin", "lm"), ("compression_state_dict.bin", "codec")):
        before = load_model(directory, device="cpu")
        change_weights(directory / name, lambda state: next(iter(state.values())).add_(1))
        assert changed_parts(before, load_model(directory, device="cpu")) == [part]


def test_the_random_twin_has_the_architecture_and_other_weights(tiny_checkpoint, tiny_model):
    twin = load_model(tiny_checkpoint, device="cpu", random_init=True, seed=1)
    again = load_model(tiny_checkpoint, device="cpu", random_init=True, seed=1)
    other = load_model(tiny_checkpoint, device="cpu", random_init=True, seed=2)
    trained = tiny_model.musicgen.lm.state_dict()
    for name, weights in twin.musicgen.lm.state_dict().items():
        assert weights.shape == trained[name].shape
        torch.testing.assert_close(weights, again.musicgen.lm.state_dict()[name], rtol=0, atol=0)
    name = "transformer.layers.0.linear1.weight"
    assert not torch.equal(twin.musicgen.lm.state_dict()[name], trained[name])
    assert not torch.equal(twin.musicgen.lm.state_dict()[name], other.musicgen.lm.state_dict()[name])
    for name, weights in twin.musicgen.compression_model.state_dict().items():
        assert torch.equal(weights, tiny_model.musicgen.compression_model.state_dict()[name])
    assert len({twin.identity(), other.identity(), tiny_model.identity()}) == 3
    assert twin.name == "tiny-random-1"


def test_the_random_twin_leaves_the_callers_generator_alone(tiny_checkpoint):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_model(tiny_checkpoint, device="cpu", random_init=True)
    assert torch.equal(torch.rand(3), expected)


def test_half_precision_needs_a_gpu(tiny_checkpoint, tiny_model):
    assert tiny_model.dtype == torch.float32
    with pytest.raises(InputError, match=r"model\.dtype: float16 needs a GPU"):
        load_model(tiny_checkpoint, device="cpu", dtype="float16")


def test_a_loaded_musicgen_is_used_as_it_is(tiny_model):
    model = load_model(tiny_model.musicgen)
    assert model.musicgen is tiny_model.musicgen
    assert model.identity() == load_model(tiny_model.musicgen).identity()
    with pytest.raises(InputError, match="loaded already"):
        load_model(tiny_model.musicgen, random_init=True)
    with pytest.raises(InputError, match="Linear is not a MusicGen"):
        load_model(torch.nn.Linear(1, 1))


def test_audiocraft_is_left_as_it_was(tiny_model):
    from audiocraft.models import builders, lm, loaders
    from audiocraft.modules import conditioners
    from audiocraft.utils import utils

    tiny_model.generate(["happy music"], [0], 0.1)
    assert loaders.torch is torch
    assert "demucs" not in sys.modules
    assert lm.utils is utils
    assert conditioners.T5Conditioner.MODELS[0] == "t5-small"
    assert "innerear-nano-t5" not in conditioners.T5Conditioner.MODELS
    assert builders.get_lm_model.__module__ == "audiocraft.models.builders"
    assert conditioners.T5EncoderModel.__name__ == "T5EncoderModel"


_COLD = """
import sys
from innerear.models import load_model
from innerear.models.transformers import witness_of
model = load_model(sys.argv[1], device="cpu")
for one in (model, witness_of(model)):
    one.generate(["happy music"], [0], 0.1)
heavy = {"spacy", "librosa", "sklearn", "torchmetrics", "torch._dynamo", "sympy"} & set(sys.modules)
assert not heavy, heavy
import scipy.optimize
assert scipy.optimize.linear_sum_assignment([[1]])
from audiocraft.modules import chroma
assert chroma.filters.chroma(sr=1600, n_fft=64).shape == (12, 33)
"""


def test_a_cold_start_imports_little_and_loses_nothing(tiny_checkpoint):
    done = subprocess.run(
        [sys.executable, "-c", _COLD, str(tiny_checkpoint)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
