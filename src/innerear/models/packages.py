"""Read checkpoint files without executing what they contain, and say what is wrong with them.

Checkpoints are pickles. They are opened with ``weights_only=True`` and a list of the configuration classes in
released checkpoints.
"""

import collections
import os
import pickle
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from typing import Any

import omegaconf
import torch
from omegaconf import base, nodes
from torch import nn
from yaml import YAMLError

from innerear.errors import InputError, shown
from innerear.study.architectures import CODEC, LANGUAGE_MODEL

_ALLOWED = [
    *(omegaconf.DictConfig, omegaconf.ListConfig, base.ContainerMetadata, base.Metadata),
    *(nodes.AnyNode, nodes.BooleanNode, nodes.FloatNode, nodes.IntegerNode, nodes.StringNode),
    *(collections.defaultdict, typing.Any, dict, float, int, list, str, bool),
]


def safe_load(path: str | PathLike, *, mmap: bool = False) -> Any:
    """Read a checkpoint of tensors, plain containers and omegaconf configurations, on the CPU.

    Parameters
    ----------
    mmap : leave the tensors on the disk until they are used; for the configuration alone.

    Raises
    ------
    InputError: a file that is no checkpoint or holds anything else; it is not executed.
    """
    if not os.path.exists(path):
        raise InputError(f"{path} does not exist; a checkpoint directory holds {LANGUAGE_MODEL} and {CODEC}")
    try:
        with readable(path), torch.serialization.safe_globals(_ALLOWED):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        reason = str(error).partition("Please file")[0].strip().splitlines()
        raise InputError(
            f"{path} is not a plain checkpoint and was not executed: {reason[-1] if reason else error}. "
            "Use a checkpoint exported by audiocraft.utils.export"
        ) from None


@contextmanager
def readable(path: str | PathLike) -> Iterator[None]:
    """Turn whatever a library raises over a broken file or folder of a model into an InputError."""
    try:
        yield
    except (InputError, pickle.UnpicklingError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise InputError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}: {_one_line(error)}); copy or "
            "download it again"
        ) from None


def read_package(path: str | PathLike, *, mmap: bool = False) -> Mapping[str, Any]:
    """Return a checkpoint's dictionary; see `safe_load`.

    Raises
    ------
    InputError: a file that holds no dictionary.
    """
    package = safe_load(path, mmap=mmap)
    if not isinstance(package, Mapping):
        raise InputError(
            f"{path} holds a {type(package).__name__}, not the dictionary of a checkpoint; export it with "
            "audiocraft.utils.export"
        )
    return package


def configuration(package: Mapping[str, Any], path: str | PathLike) -> omegaconf.DictConfig:
    """Return a checkpoint's configuration.

    Raises
    ------
    InputError: no ``xp.cfg``, or one that is not a configuration.
    """
    given = _entry(package, "xp.cfg", path)
    try:
        cfg = omegaconf.OmegaConf.create(given)
    except (YAMLError, omegaconf.errors.OmegaConfBaseException, ValueError) as error:
        raise InputError(f"{path}: 'xp.cfg' is no configuration in YAML: {_one_line(error)}") from None
    if not isinstance(cfg, omegaconf.DictConfig):
        raise InputError(f"{path}: 'xp.cfg' is a {type(cfg).__name__}, not a dictionary of settings")
    return cfg


def weights_of(package: Mapping[str, Any], path: str | PathLike) -> dict[str, torch.Tensor]:
    """Return a checkpoint's ``best_state``.

    Raises
    ------
    InputError: no such entry, or one that holds anything but tensors by name.
    """
    state = _entry(package, "best_state", path)
    if not isinstance(state, Mapping):
        raise InputError(f"{path}: 'best_state' is a {type(state).__name__}, not a dictionary of weights")
    for key, value in state.items():
        if not isinstance(key, str):
            raise InputError(
                f"{path}: best_state has the key {shown(key)}, a {type(key).__name__} and not the name of a "
                "weight; export the checkpoint with audiocraft.utils.export"
            )
        if not isinstance(value, torch.Tensor):
            raise InputError(f"{path}: best_state[{key!r}] is a {type(value).__name__}, not a tensor")
    return dict(state)


def load_weights(module: nn.Module, state: dict[str, torch.Tensor], path: str | PathLike) -> None:
    """Load weights into the module that their own configuration builds.

    Raises
    ------
    InputError: a weight that is missing, unknown, of another shape or of another type, or not finite.
    """
    expected = module.state_dict()
    for key, value in state.items():
        if key in expected and value.is_floating_point() != expected[key].is_floating_point():
            raise InputError(
                f"{path}: best_state[{key!r}] is {_dtype(value)}, where the model has {_dtype(expected[key])}"
            )
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        _, *reasons = str(error).splitlines()
        more = f" (and {len(reasons) - 1} more of this kind)" if len(reasons) > 1 else ""
        raise InputError(
            f"{path}: 'best_state' does not fit the configuration 'xp.cfg' beside it: "
            f"{_one_line(reasons[0] if reasons else error)}{more}"
        ) from None
    require_finite(module, path)


def require_finite(module: nn.Module, where: str | PathLike) -> None:
    """Refuse, with an InputError, weights with NaN or infinite values in the precision that they now have."""
    for key, value in module.state_dict().items():
        # One pass without a copy, ten times faster than isfinite: half a second for 1 GB on one core.
        if value.is_floating_point() and value.numel() and not torch.stack(value.aminmax()).isfinite().all():
            wrong = value[~value.isfinite()]
            large = "" if value.dtype == torch.float32 else ", or model.dtype: float32 if they are too large"
            raise InputError(
                f"{where}: the weight {key!r} is not finite in {_dtype(value)}: {len(wrong):,} of "
                f"{value.numel():,} values, the first {wrong[0].item()}; use a checkpoint without them{large}"
            )


def _entry(package: Mapping[str, Any], key: str, path: str | PathLike) -> Any:
    if key not in package:
        raise InputError(
            f"{path} has no {key!r}, only {', '.join(map(repr, list(package)[:8])) or 'nothing'}; export the "
            "checkpoint with audiocraft.utils.export"
        )
    return package[key]


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _one_line(error: Any) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:299]}…"
