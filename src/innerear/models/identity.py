"""The identity of a model's weights: hashes of its language model, text encoder and codec."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

_DIGITS = 32  # 128 bits


def identity_text(language_model: str, text_encoder: str, codec: str) -> str:
    """Return a model's identity, from the hash of each part."""
    parts = {"lm": language_model, "text": text_encoder, "codec": codec}
    return ";".join(f"{part}:{digest[:_DIGITS]}" for part, digest in parts.items())


def hash_files(paths: Iterable[Path]) -> str:
    """Return the sha256 of files, with their names but not their folders."""
    digest = hashlib.sha256()
    for path in sorted(paths, key=lambda path: path.name):
        with open(path, "rb") as file:
            digest.update(f"{path.name}:".encode())
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def hash_parameters(modules: Iterable[nn.Module], *further: Any) -> str:
    """Return the sha256 of modules' parameters and buffers, of any dtype, and of further JSON values."""
    digest = hashlib.sha256(json.dumps(further).encode())
    for module in modules:
        for key, value in sorted(module.state_dict().items()):
            data = value.detach().cpu().contiguous()
            digest.update(f"{key}:{data.dtype}:{tuple(data.shape)};".encode())
            digest.update(data.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
