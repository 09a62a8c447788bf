"""Inner Ear: what a music model represents while it composes.

The public names are imported on first use: ``import innerear`` does not import torch.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from innerear.analyses.cosine_similarity import cosine_similarity
    from innerear.capture.extractor import ActivationExtractor
    from innerear.interventions import intervene
    from innerear.models import load_model
    from innerear.results import open_study

__version__ = "0.1.0"
__all__ = ["ActivationExtractor", "cosine_similarity", "intervene", "load_model", "open_study"]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "analyses.cosine_similarity": ["cosine_similarity"],
        "capture.extractor": ["ActivationExtractor"],
        "interventions": ["intervene"],
        "models": ["load_model"],
        "results": ["open_study"],
    },
)
