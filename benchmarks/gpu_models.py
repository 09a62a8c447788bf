"""The models that `gpu.py` measures: random weights in a released shape, on the device, without sound."""

import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

if importlib.util.find_spec("av") is None:
    # audiocraft imports it to read and write files of sound, which no section does.
    sys.modules["av"] = ModuleType("av")
    sys.modules["av"].__spec__ = importlib.machinery.ModuleSpec("av", None)

if importlib.util.find_spec("torchvision"):
    # transformers loads it where it is installed, and it needs parts of torch for which innerear's quick
    # import of audiocraft puts stand-ins, unless they are there already.
    importlib.import_module("torchvision")

from shapes import random_musicgen

from innerear.models.audiocraft import AudiocraftModel

#: Texts of one token length, so that they share a run.
TEXTS = (
    "a happy solo piano piece",
    "a sad solo piano piece",
    "a calm solo piano piece",
    "a happy solo guitar piece",
)

#: Where MusicGen-large's residual stream lies along (1, …, 1).
OFFSET = -9.8

#: Each codebook's embeddings are drawn anew with this deviation: four of them then weigh about as much as
#: the position's, as they must if a state is to depend on the tokens. As initialised they are a twentieth.
EMBEDDING_STD = 0.4


def random_model(shape: str, device: str, dtype: str, card: int) -> AudiocraftModel:
    """Return a MusicGen of that shape whose tokens are never decoded: no section measures the codec."""
    model: Any = random_musicgen(shape, device, dtype, card)
    generator = torch.Generator(device).manual_seed(1)
    with torch.no_grad():
        for table in model.musicgen.lm.emb:
            table.weight.normal_(std=EMBEDDING_STD, generator=generator)
    model.musicgen.generate_audio = lambda codes: torch.zeros(len(codes), 1, 1)
    return model


@contextmanager
def offset(model: Any, constant: float) -> Iterator[None]:
    """Add a constant · (1, …, 1) to what the first layer reads, for a while; the model cannot see it."""
    weight = model.musicgen.lm.emb[0].weight
    before = weight.detach().clone()
    with torch.no_grad():
        weight += constant
    try:
        yield
    finally:
        weight.data.copy_(before)


def texts(count: int) -> list[str]:
    """Return texts of one length, over and over."""
    return [TEXTS[i % len(TEXTS)] for i in range(count)]


def weights_read(model: Any) -> int:
    """Bytes of the parameters that every step reads: the layers and the heads, not the embeddings."""
    lm = model.musicgen.lm
    parts = [*lm.transformer.parameters(), *lm.out_norm.parameters(), *lm.linears.parameters()]
    return sum(one.numel() * one.element_size() for one in parts)
