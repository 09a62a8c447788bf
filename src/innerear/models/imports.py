"""Import audiocraft, and transformers' MusicGen, without the packages that neither needs to compose.

Each job of a study imports audiocraft, and a nano clip is shorter than that. After torch, the import takes
4.6 s of CPU time and leaves 930 MB resident; with the stand-ins below 0.6 s and 545 MB (median of three, 2
cores, audiocraft 1.3.0, transformers 4.57). Each name stood in for saves at least 0.1 s. A `_Later` object
imports the real package when something uses it.

xformers is stood in for because it has no wheel for aarch64 and is not installed.
"""

import importlib
import importlib.abc
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
    "spacy",  # it and num2words normalise text, which MusicGen's conditioners do not
    "num2words",
    "librosa",  # chroma of a melody prompt
    "audiocraft.solvers.compression",  # multi-band diffusion; imports all solvers and torchmetrics
    # What transformers imports for the T5 encoder:
    "sklearn.metrics",  # assisted decoding
    "scipy.optimize",  # losses of object detection
    "transformers.processing_utils",  # for one name of typing; imports all of transformers again
    "transformers.integrations.tensor_parallel",  # imports sympy, as do the next four with torch's compiler
    "torch.distributed.tensor",
    "torch._dynamo",
    "torch._dynamo._trace_wrapped_higher_order_op",
    "transformers.integrations.flex_attention",
)
# Only these packages are stood in for; their submodules are real. The packages read the source of all of
# transformers' models when imported.
_PACKAGES = ("transformers", "transformers.models")


class _Later:
    """A name of a module that is imported when the name is called or an attribute is read."""

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
        if name.startswith("__"):  # typing and copy ask for these and do not need the real object
            raise AttributeError(name)
        return getattr(self._real(), name)

    def __instancecheck__(self, instance: object) -> bool:
        # Nothing is an instance of a class whose module has not been imported.
        loaded = sys.modules.get(self._module)
        return loaded is not None and not isinstance(loaded, _StandIn) and isinstance(instance, self._real())


class _StandIn(ModuleType):
    """A module whose names are all `_Later`."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Later(self.__name__, name)


class _GiveWay(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import the real package in place of a stand-in when something imports one of its submodules.

    Packages that are installed beside audiocraft do: torchvision imports ``torch._dynamo.utils``.
    """

    def find_spec(
        self, fullname: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Import a submodule of a stand-in from the real package; any other is left to the next finder."""
        parent = fullname.rpartition(".")[0]
        if parent not in _DEFERRED or not isinstance(sys.modules.get(parent), _StandIn):
            return None
        # The real package may need what is stood in for of the same library.
        library = parent.partition(".")[0]
        for name in _DEFERRED:
            if name.partition(".")[0] == library and isinstance(sys.modules.get(name), _StandIn):
                del sys.modules[name]
        importlib.import_module(fullname)
        return importlib.machinery.ModuleSpec(fullname, self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Return the module that `find_spec` imported, and keep its own spec for `exec_module`."""
        module = sys.modules[spec.name]
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module as it is; it was imported above."""
        spec: Any = module.__spec__
        module.__spec__ = spec.loader_state


def _add(module: ModuleType, **values: Any) -> None:
    """Add a module to those that are imported."""
    # transformers asks the import system whether a package is installed, which needs a spec.
    module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
    vars(module).update(values)
    sys.modules[module.__name__] = module


def _stand_in_for_xformers() -> None:
    """Provide the names of xformers that audiocraft uses with torch's own attention.

    `unbind` is torch's. The mask is only compared with None. The profiler is never on. The stand-in stays,
    because audiocraft imports from xformers in its attention's forward too.
    """
    profiler = SimpleNamespace(_Profiler=SimpleNamespace(_CURRENT_PROFILER=None))
    mask = type("LowerTriangularMask", (), {})
    _add(ModuleType("xformers"))
    _add(
        ModuleType("xformers.ops"),
        unbind=torch.unbind,
        LowerTriangularMask=mask,
        memory_efficient_attention=None,
    )
    _add(ModuleType("xformers.profiler"), profiler=profiler)


def _provide_t5(transformers: ModuleType) -> None:
    """Give the stand-in the names that audiocraft needs for MusicGen's text."""
    vars(transformers)["__version__"] = version("transformers")  # the modules below read it
    for name, module in (("T5EncoderModel", "modeling_t5"), ("T5Tokenizer", "tokenization_t5")):
        real = importlib.import_module(f"transformers.models.t5.{module}")
        setattr(transformers, name, getattr(real, name))


@contextmanager
def _stood_in() -> Iterator[None]:
    if "librosa" in sys.modules:
        # librosa is then not stood in for, and its parts need all of scipy.
        importlib.import_module("librosa.filters")
    added = [name for name in (*_DEFERRED, *_PACKAGES) if name not in sys.modules]
    for name in added:
        real = importlib.util.find_spec(name) if name in _PACKAGES else None
        _add(_StandIn(name))
        # A stand-in without a path of its own has no submodules, so that `_GiveWay` is asked for them.
        sys.modules[name].__path__ = [*((real and real.submodule_search_locations) or [])]
    give_way = _GiveWay()
    sys.meta_path.insert(0, give_way)
    try:
        if "torch._dynamo" in added:
            # A decorator in a class body is called at import. Undecorated, the method is merely not compiled.
            sys.modules["torch._dynamo"].allow_in_graph = lambda method: method  # type: ignore[attr-defined]
        if "transformers.processing_utils" in added:
            vars(sys.modules["transformers.processing_utils"])["Unpack"] = Unpack
        if "transformers" in added:
            _provide_t5(sys.modules["transformers"])
        yield
    finally:
        sys.meta_path.remove(give_way)
        for name in added:
            if isinstance(sys.modules.get(name), _StandIn):
                del sys.modules[name]


@cache
def import_audiocraft() -> None:
    """Import audiocraft once, quickly, and without warnings that a user can do nothing about."""
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
    # torch warns once per layer and load about the codec's weight_norm.
    warnings.filterwarnings("ignore", message=".*weight_norm. is deprecated", category=FutureWarning)


@cache
def import_transformers_musicgen() -> None:
    """Import MusicGen of the transformers library, without the files of all its other models."""
    with _stood_in():
        for model in ("musicgen", "musicgen_melody", "encodec"):
            for part in ("configuration", "modeling"):
                importlib.import_module(f"transformers.models.{model}.{part}_{model}")
