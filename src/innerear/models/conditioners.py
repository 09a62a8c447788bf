"""Loading of conditioners: text encoders from the cache, and demucs only if it is used."""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import nn

from innerear.errors import InputError
from innerear.models.packages import readable
from innerear.models.patching import replaced
from innerear.models.sizes import require_library_sizes

#: Name in a checkpoint's configuration for the T5 encoder in its own ``t5/``.
OWN_T5 = "innerear-nano-t5"


@contextmanager
def local_conditioners(folder_of: Callable[[str], Path], own: Path | None = None) -> Iterator[None]:
    """Build conditioners without a network.

    Parameters
    ----------
    folder_of : returns the folder of a text encoder, by its name in the configuration.
    own : the checkpoint's own encoder, which `OWN_T5` stands for.
    """
    conditioners: Any = importlib.import_module("audiocraft.modules.conditioners")
    encoder, tokenizer = conditioners.T5EncoderModel, conditioners.T5Tokenizer

    def folder(name: str) -> str:
        return str(own if own and name == OWN_T5 else folder_of(name))

    def read_encoder(name: str) -> Any:
        with readable(folder(name)):
            require_library_sizes(Path(folder(name)))
            return encoder.from_pretrained(folder(name), local_files_only=True)

    def read_tokenizer(name: str) -> Any:
        with readable(folder(name)):
            return tokenizer.from_pretrained(folder(name), local_files_only=True)

    with (
        _known(conditioners.T5Conditioner, own) if own else nullcontext(),
        replaced(
            conditioners,
            T5EncoderModel=SimpleNamespace(from_pretrained=read_encoder),
            T5Tokenizer=SimpleNamespace(from_pretrained=read_tokenizer),
        ),
        _without_demucs(),
    ):
        yield


def own_text_encoder(directory: Path) -> Path | None:
    """Return a checkpoint's folder ``t5/`` if it has an encoder of its own."""
    return directory / "t5" if (directory / "t5" / "config.json").is_file() else None


def _known(conditioner: Any, own: Path) -> Any:
    """Register the encoder in the folder `own` under `OWN_T5`."""
    config = own / "config.json"
    try:
        d_model = json.loads(config.read_text(encoding="utf-8"))["d_model"]
    except (ValueError, KeyError, TypeError, OSError, RecursionError):
        raise InputError(f"{config} does not say 'd_model'; copy the text encoder's folder again") from None
    return replaced(
        conditioner,
        MODELS=[*conditioner.MODELS, OWN_T5],
        MODELS_DIMS={**conditioner.MODELS_DIMS, OWN_T5: d_model},
    )


class _LaterDemucs:
    """Stands in for the source separator of a melody model until melody audio is given."""

    sources = ("drums", "bass", "other", "vocals")

    def to(self, device: Any) -> "_LaterDemucs":
        """Return itself, whatever the device: there are no weights yet."""
        return self


@contextmanager
def _without_demucs() -> Iterator[None]:
    """Let a melody conditioner be built without demucs, which text alone never calls."""
    names = ("demucs", "demucs.pretrained")
    before = {name: sys.modules[name] for name in names if name in sys.modules}
    package, pretrained = map(ModuleType, names)
    vars(pretrained)["get_model"] = lambda name: _LaterDemucs()
    vars(package)["pretrained"] = pretrained
    sys.modules.update(zip(names, (package, pretrained), strict=True))
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(before)


def separate_when_used(conditioner: Any) -> None:
    """Let a melody conditioner load demucs when melody audio is given, and say so where it is missing."""
    separate = conditioner._get_stemmed_wav

    def stems(wave: torch.Tensor, sample_rate: int) -> torch.Tensor:
        if find_spec("demucs") is None:
            raise InputError(
                "melody audio is separated by demucs, which is not installed: install it (pip install "
                "demucs), or give a text alone"
            )
        if isinstance(conditioner.demucs, _LaterDemucs):
            pretrained: Any = importlib.import_module("demucs.pretrained")
            conditioner.__dict__["demucs"] = pretrained.get_model("htdemucs").to(conditioner.device).eval()
        return separate(wave, sample_rate)

    conditioner._get_stemmed_wav = stems


def text_encoders(lm: Any) -> list[nn.Module]:
    """Return the frozen text encoders of a language model, which are no submodules of it."""
    found = [vars(one).get("t5") for one in lm.condition_provider.conditioners.values()]
    return [one for one in found if isinstance(one, nn.Module)]
