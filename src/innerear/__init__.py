"""Inner Ear: what a music model hears inside while it composes.

The public names below are imported on first use, so that ``import innerear`` stays free of torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from innerear.extractor import ActivationExtractor
    from innerear.models import load_model
    from innerear.similarity import cosine_similarity

_PUBLIC = {
    "ActivationExtractor": "innerear.extractor",
    "cosine_similarity": "innerear.similarity",
    "load_model": "innerear.models",
}

__version__ = "0.1.0"
__all__ = ["ActivationExtractor", "cosine_similarity", "load_model"]


def __getattr__(name: str):
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'innerear' has no attribute {name!r}; it has {', '.join(__all__)}")
