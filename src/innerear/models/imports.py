"""Import audiocraft without the packages that generation never uses.

A study runs one short job per sample, and ``import audiocraft`` takes longer than a nano clip: it pulls
in spaCy, librosa, scikit-learn, torchmetrics, all training solvers, and xformers with torch's compiler.
Here these names are stood in for while audiocraft is imported. A `_Later` object imports the real package
when something does use it, so nothing is lost but the wait.
"""

import importlib
import importlib.machinery
import importlib.util
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from types import ModuleType, SimpleNamespace
from typing import Any, Unpack

import torch

_DEFERRED = (
    "spacy",  # it and the next normalise text, which MusicGen's conditioners do not
    "num2words",
    "librosa",  # chroma of a melody prompt
    "audiocraft.solvers.compression",  # multi-band diffusion; brings all solvers, metrics and torchmetrics
    # What transformers brings along for the T5 encoder:
    "sklearn.metrics",  # assisted decoding
    "scipy.optimize",  # losses of object detection
    "transformers.model_debugging_utils",
    "transformers.processing_utils",  # wanted for one name of typing; imports all of transformers again
    "transformers.integrations.tensor_parallel",  # brings sympy, as do the next ones with the compiler
    "torch.distributed.tensor",
    "torch._dynamo",
    "torch._dynamo._trace_wrapped_higher_order_op",
    "torch.nn.attention.flex_attention",
    "transformers.integrations.flex_attention",
)
_PACKAGES = ("transformers", "transformers.models")
"""Stood in for, too, but their submodules are real: the packages themselves read the source of all
transformers' models at import, for the names in it."""


class _Later:
    """A name of a module that is imported when the name is called or looked into."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def _real(self) -> Any:
        if isinstance(sys.modules.get(self._module), _StandIn):
            del sys.modules[self._module]
        module = importlib.import_module(self._module)
        if hasattr(module, self._name):
            return getattr(module, self._name)
        return importlib.import_module(f"{self._module}.{self._name}")

    def __call__(self, *args, **kwargs) -> Any:
        return self._real()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by typing and copy, which do not need the real object
            raise AttributeError(name)
        return getattr(self._real(), name)

    def __instancecheck__(self, instance: object) -> bool:
        # Nothing can be an instance of a class whose module has not been imported.
        loaded = sys.modules.get(self._module)
        return loaded is not None and not isinstance(loaded, _StandIn) and isinstance(instance, self._real())


class _StandIn(ModuleType):
    """A module whose names are all `_Later`."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Later(self.__name__, name)


def _stand_in_for_xformers() -> None:
    """Provide the four names of xformers that audiocraft touches on torch's own attention backend.

    `unbind` is torch's; the mask is only compared with None, for which any object serves; the profiler is
    never on. It stays in place, since audiocraft imports from xformers inside its attention's forward, too;
    whoever needs the real one in the same process (for its attention backend) imports it first.
    """
    names: dict[str, dict[str, Any]] = {
        "xformers.ops": {
            "unbind": torch.unbind,
            "LowerTriangularMask": type("LowerTriangularMask", (), {}),
            "memory_efficient_attention": None,
        },
        "xformers.profiler": {"profiler": SimpleNamespace(_Profiler=SimpleNamespace(_CURRENT_PROFILER=None))},
    }
    package = ModuleType("xformers")
    package.__spec__ = importlib.machinery.ModuleSpec("xformers", None, is_package=True)
    sys.modules["xformers"] = package
    for name, values in names.items():
        module = ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        vars(module).update(values)
        sys.modules[name] = module
        setattr(package, name.rpartition(".")[2], module)


def _provide_t5(transformers: ModuleType) -> None:
    """Give the stand-in the two real classes that audiocraft takes from it for MusicGen's text."""
    vars(transformers)["__version__"] = version("transformers")
    for name, module in (("T5EncoderModel", "modeling_t5"), ("T5Tokenizer", "tokenization_t5")):
        real = importlib.import_module(f"transformers.models.t5.{module}")
        setattr(transformers, name, getattr(real, name))


@contextmanager
def _stood_in() -> Iterator[None]:
    if "librosa" in sys.modules:
        # It is not stood in for then, and loads its parts, which need all of scipy, when audiocraft asks.
        importlib.import_module("librosa.filters")
    added = []
    for name in (*_DEFERRED, *_PACKAGES):
        if name not in sys.modules:
            module = _StandIn(name)
            # transformers asks the import system whether a package is installed: it must still find it.
            module.__spec__ = importlib.machinery.ModuleSpec(name, None)
            real = importlib.util.find_spec(name) if name in _PACKAGES else None
            if real and real.submodule_search_locations:
                module.__path__ = list(real.submodule_search_locations)
            sys.modules[name] = module
            added.append(name)
    if "torch._dynamo" in added:
        # A decorator in a class body is called at import; undecorated, the method is merely not compiled.
        sys.modules["torch._dynamo"].allow_in_graph = lambda method: method  # type: ignore[attr-defined]
    if "transformers.processing_utils" in added:
        vars(sys.modules["transformers.processing_utils"])["Unpack"] = Unpack
    if "transformers" in added:
        _provide_t5(sys.modules["transformers"])
    try:
        yield
    finally:
        for name in added:
            sys.modules.pop(name, None)


@cache
def import_audiocraft() -> None:
    """Import audiocraft once, quickly, and without the warnings that a user can do nothing about."""
    if "audiocraft" in sys.modules:
        return
    if "xformers" not in sys.modules:
        _stand_in_for_xformers()
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), _stood_in():
            warnings.simplefilter("ignore")
            importlib.import_module("audiocraft.models.musicgen")
    finally:
        logging.disable(previous)
    # Raised once per layer by torch for the codec's weight_norm, at each load.
    warnings.filterwarnings("ignore", message=".*weight_norm. is deprecated", category=FutureWarning)
