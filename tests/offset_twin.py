"""A twin of a checkpoint in the released models' regime: a constant that LayerNorm discards.

Every state of MusicGen-large has a mean over units near −9.8 and a spread of about 0.14. A pre-norm model
never reads that mean. Adding the same number to all units of its embeddings therefore changes no token.
"""

import re
import shutil
from pathlib import Path

import torch

_EMBEDDING = re.compile(r"emb\.\d+\.weight")


def write_offset_twin(source: Path, target: Path, constant: float) -> Path:
    """Copy a checkpoint directory and add a constant to all units of every state.

    Parameters
    ----------
    source : directory in audiocraft's format; its K embeddings (`emb.<k>.weight`) are summed at each step.
    target : directory to write; it must not exist.
    constant : added to every unit of the sum. Each embedding gets constant ÷ K, in float32: float16 has a
        spacing of 0.002 there, which would change the model.

    Returns
    -------
    `target`. The language model's weights are float32; the codec and the text encoder are the same files.
    """
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("training", "README.md"))
    package = torch.load(target / "state_dict.bin", weights_only=True)
    weights = {name: weight.float() for name, weight in package["best_state"].items()}
    embeddings = [name for name in weights if _EMBEDDING.fullmatch(name)]
    for name in embeddings:
        weights[name] = weights[name] + constant / len(embeddings)
    torch.save(package | {"best_state": weights}, target / "state_dict.bin")
    return target
