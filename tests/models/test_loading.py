"""Checkpoints are loaded safely, whole, and as what they are."""

import collections
import pickle
import shutil
import subprocess
import sys

import pytest
import torch
from omegaconf import OmegaConf

from innerear.errors import InputError
from innerear.models import load_model
from innerear.models.loading import own_t5, safe_load


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


def test_a_hub_id_is_known_by_its_revision(tiny_checkpoint, tmp_path, monkeypatch):
    from audiocraft.models import loaders
    from audiocraft.modules import conditioners

    snapshot = tmp_path / "snapshots" / "0123abc"
    shutil.copytree(tiny_checkpoint, snapshot)
    monkeypatch.setattr(loaders, "hf_hub_download", lambda repo_id, filename, **_: str(snapshot / filename))
    with own_t5(conditioners, tiny_checkpoint / "t5"):
        model = load_model("facebook/musicgen-small", device="cpu")
    assert model.name == "facebook/musicgen-small"
    assert model.identity() == "revision:0123abc"


def test_a_hub_that_cannot_be_reached_says_what_to_do(monkeypatch, tiny_model):
    from audiocraft.models import loaders

    def offline(**_):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(loaders, "hf_hub_download", offline)
    with pytest.raises(InputError, match=r"facebook/musicgen-large could not be fetched: no route.*path"):
        load_model("facebook/musicgen-large", device="cpu")


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
    ],
)
def test_unknown_names_are_refused_with_those_that_are_known(name, message):
    with pytest.raises(InputError, match=message):
        load_model(name)


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
    package = torch.load(directory / "state_dict.bin", weights_only=True)
    next(iter(package["best_state"].values())).add_(1)
    torch.save(package, directory / "state_dict.bin")
    assert load_model(directory, device="cpu").identity() != tiny_model.identity()


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
    assert model.identity().startswith("sha256:")
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
    assert lm.utils is utils
    assert conditioners.T5Conditioner.MODELS[0] == "t5-small"
    assert "innerear-nano-t5" not in conditioners.T5Conditioner.MODELS
    assert builders.get_lm_model.__module__ == "audiocraft.models.builders"
    assert conditioners.T5EncoderModel.__name__ == "T5EncoderModel"


_COLD = """
import sys
from innerear.models import load_model
model = load_model(sys.argv[1], device="cpu")
model.generate(["happy music"], [0], 0.1)
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
