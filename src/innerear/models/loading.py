"""Build an audiocraft MusicGen from a checkpoint, without executing what the checkpoint contains.

Checkpoints are pickles, which audiocraft opens with plain ``torch.load``. While a model is loaded, this is
replaced by ``weights_only=True`` with a list of the configuration classes in released checkpoints. A
directory may have its own T5 encoder in ``t5/``, as nano does.
"""

import collections
import hashlib
import importlib
import json
import pickle
import typing
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import omegaconf
import torch
from omegaconf import base, nodes

from innerear.errors import InputError
from innerear.models.imports import import_audiocraft
from innerear.models.patching import replaced

if TYPE_CHECKING:
    from audiocraft.models.musicgen import MusicGen

#: Name in a checkpoint's configuration for the T5 encoder in its own ``t5/``.
OWN_T5 = "innerear-nano-t5"

_WEIGHTS = ("state_dict.bin", "compression_state_dict.bin")

_ALLOWED = [
    *(omegaconf.DictConfig, omegaconf.ListConfig, base.ContainerMetadata, base.Metadata),
    *(nodes.AnyNode, nodes.BooleanNode, nodes.FloatNode, nodes.IntegerNode, nodes.StringNode),
    *(collections.defaultdict, typing.Any, dict, float, int, list, str, bool),
]


def safe_load(path: Any, map_location: Any = "cpu") -> Any:
    """Read a checkpoint of tensors, plain containers and omegaconf configurations.

    Raises
    ------
    InputError: a file that is no checkpoint or holds anything else; it is not executed.
    """
    try:
        with torch.serialization.safe_globals(_ALLOWED):
            return torch.load(path, map_location=map_location, weights_only=True)
    except FileNotFoundError:
        raise InputError(
            f"{path} does not exist; a checkpoint directory holds {' and '.join(_WEIGHTS)}"
        ) from None
    except pickle.UnpicklingError as error:
        reason = str(error).partition("Please file")[0].strip().splitlines()
        raise InputError(
            f"{path} is not a plain checkpoint and was not executed: {reason[-1] if reason else error}. "
            "Use a checkpoint exported by audiocraft.utils.export"
        ) from None
    except (RuntimeError, EOFError) as error:
        raise InputError(
            f"{path} cannot be read as a checkpoint ({error}); copy or download it again"
        ) from None


@contextmanager
def checkpoint_loading(
    directory: Path | None, dtype: torch.dtype, downloaded: list[str] | None = None
) -> Iterator[None]:
    """Make audiocraft's loaders read safely, find `directory`/t5, and build the language model in `dtype`."""
    loaders: Any = importlib.import_module("audiocraft.models.loaders")
    builders: Any = importlib.import_module("audiocraft.models.builders")
    conditioners = importlib.import_module("audiocraft.modules.conditioners")
    build, download = builders.get_lm_model, loaders.hf_hub_download

    def get_lm_model(cfg: Any) -> Any:
        cfg.dtype = str(dtype).removeprefix("torch.")
        return build(cfg)

    def hf_hub_download(*args: Any, **kwargs: Any) -> str:
        path = download(*args, **kwargs)
        if downloaded is not None:
            downloaded.append(path)
        return path

    has_t5 = directory is not None and (directory / "t5" / "config.json").is_file()
    with (
        replaced(loaders, torch=SimpleNamespace(load=safe_load), hf_hub_download=hf_hub_download),
        replaced(builders, get_lm_model=get_lm_model),
        own_t5(conditioners, directory / "t5") if directory and has_t5 else nullcontext(),
    ):
        yield


@contextmanager
def own_t5(conditioners: Any, folder: Path) -> Iterator[None]:
    """Register the encoder in `folder` under `OWN_T5`."""
    d_model = json.loads((folder / "config.json").read_text())["d_model"]
    encoder, tokenizer = conditioners.T5EncoderModel, conditioners.T5Tokenizer

    def resolved(name: str) -> str:
        return str(folder) if name == OWN_T5 else name

    def read_encoder(name: str) -> Any:
        return encoder.from_pretrained(resolved(name), local_files_only=name == OWN_T5)

    conditioner = conditioners.T5Conditioner
    with (
        replaced(
            conditioner,
            MODELS=[*conditioner.MODELS, OWN_T5],
            MODELS_DIMS={**conditioner.MODELS_DIMS, OWN_T5: d_model},
        ),
        replaced(
            conditioners,
            T5EncoderModel=SimpleNamespace(from_pretrained=read_encoder),
            T5Tokenizer=SimpleNamespace(
                from_pretrained=lambda name: tokenizer.from_pretrained(resolved(name))
            ),
        ),
    ):
        yield


def load_musicgen(
    source: str | Path, device: torch.device, dtype: torch.dtype, random_init_seed: int | None = None
) -> tuple["MusicGen", str]:
    """Load a MusicGen through ``MusicGen.get_pretrained``.

    Parameters
    ----------
    source : checkpoint directory (a Path) or hub id (a str).
    device, dtype : of the language model.
    random_init_seed : if given, new weights of the language model are drawn from this seed by the
        architecture's own initialisation; text encoder and codec keep theirs.

    Returns
    -------
    The model and its identity: ``sha256:…`` of a directory's files, or ``revision:…`` of a hub id.

    Raises
    ------
    InputError: a missing, foreign or malicious checkpoint; a hub id that cannot be fetched.
    """
    import_audiocraft()
    from audiocraft.models.musicgen import MusicGen
    from audiocraft.utils.autocast import TorchAutocast

    directory = source if isinstance(source, Path) else None
    missing = [name for name in _WEIGHTS if directory and not (directory / name).is_file()]
    if missing:
        raise InputError(f"{directory} is no MusicGen checkpoint: it has no {' and no '.join(missing)}")
    downloaded: list[str] = []
    # Layers draw initial weights before the checkpoint's replace them; the caller's generator must not move.
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), checkpoint_loading(directory, dtype, downloaded):
        try:
            # An absolute path: audiocraft takes a bare "small" for a hub id.
            where = str(directory.resolve() if directory else source)
            model = MusicGen.get_pretrained(where, device=str(device))
        except OSError as error:
            raise InputError(
                f"{source} could not be fetched: {error}. Check the id and the connection, or give the path "
                "of a downloaded checkpoint"
            ) from None
        if random_init_seed is not None:
            _initialise(model, random_init_seed)
    if dtype != torch.float16:
        # MusicGen autocasts to float16 on any GPU.
        model.autocast = TorchAutocast(enabled=False)
    if directory:
        return model, f"sha256:{_hash_files(directory)}"
    return model, f"revision:{Path(downloaded[0]).parent.name}"


def _initialise(model: "MusicGen", seed: int) -> None:
    """Draw new weights of the language model, on the CPU: a twin is the same on every device."""
    from audiocraft.models import builders

    cfg: Any = omegaconf.OmegaConf.create(omegaconf.OmegaConf.to_container(model.cfg))
    cfg.device = "cpu"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = builders.get_lm_model(cfg)
    model.lm.load_state_dict(fresh.state_dict())


def _hash_files(directory: Path) -> str:
    files = sorted(path for path in directory.glob("t5/*") if path.is_file())
    digest = hashlib.sha256()
    for path in [*(directory / name for name in _WEIGHTS), *files]:
        with open(path, "rb") as file:
            digest.update(f"{path.relative_to(directory)}:".encode())
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
