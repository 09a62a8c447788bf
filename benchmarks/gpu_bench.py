"""What the sections of `gpu.py` share: how much is measured, the device, one model at a time, and clocks."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from gpu_models import random_model

GUIDANCE, TOP_K = 3.0, 250

#: Bytes a second that the maker states, by the whole name of a card: its other forms have other memory.
BANDWIDTHS = {"NVIDIA H200": 4.8e12, "NVIDIA H100 80GB HBM3": 3.35e12, "NVIDIA H100 PCIe": 2.0e12}


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes
    ----------
    shape, card : of the model.
    batches : clips of one call.
    timed, compared, float32 : seconds of a clip where time is taken, where states or tokens are compared,
        and in float32.
    repeats : calls of each timing, after one that warms up.
    noises : how often each distribution is drawn from.
    clip : seconds of a clip that is written, as a study has it.
    latents, tokens : of a dictionary.
    """

    shape: str
    card: int
    batches: tuple[int, ...]
    timed: float
    compared: float
    float32: float
    repeats: int
    noises: int
    clip: float
    latents: int
    tokens: int


REAL = Sizes("large", 2048, (1, 4, 16, 32), 0.7, 2.0, 1.0, 3, 5, 8.0, 16384, 98304)
TINY = Sizes("tiny", 256, (1, 4), 0.2, 0.4, 0.2, 1, 3, 1.4, 128, 1024)


class Bench:
    """What the sections share: sizes, the device, and one model at a time."""

    def __init__(self, sizes: Sizes, device: str) -> None:
        self.sizes, self.device = sizes, torch.device(device)
        self.half = "float16" if self.device.type == "cuda" else "float32"
        self._model: Any = None

    def model(self, dtype: str) -> Any:
        """Return the random model in this dtype; the one before it is forgotten."""
        if self._model is None or self._model.dtype != getattr(torch, dtype):
            self.forget()
            self._model = random_model(self.sizes.shape, str(self.device), dtype, self.sizes.card)
        return self._model

    def forget(self) -> None:
        """Give the memory of the model back."""
        self._model = None
        self.free()

    def free(self) -> None:
        """Give back what nothing holds any more, graphs and their caches above all."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def seconds(self, call: Callable[[], Any]) -> float:
        """Return how long a call takes until the device has finished."""
        self._synchronize()
        start = time.perf_counter()
        call()
        self._synchronize()
        return time.perf_counter() - start

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def medians(self, ways: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
        """Return the median seconds of each way, each repeated after a call that warms up.

        The ways do not alternate: a decoder keeps only its last graphs, and ways that hook different places
        would record them anew at each call.
        """
        taken = {}
        for name, way in ways.items():
            way()
            taken[name] = median(self.seconds(way) for _ in range(self.sizes.repeats))
        return taken

    def bandwidth(self) -> float:
        """Bytes a second: what the maker states, or else a copy of 256 MB counted twice."""
        if self.device.type == "cuda":
            stated = BANDWIDTHS.get(torch.cuda.get_device_name())
            if stated:
                return stated
        return self.copied()

    def copied(self) -> float:
        """Bytes a second of a copy on the device, read and written."""
        source = torch.zeros(2**28, dtype=torch.uint8, device=self.device)
        target = torch.empty_like(source)
        return 2 * len(source) / min(self.seconds(lambda: target.copy_(source)) for _ in range(5))


def equal_share(codes: torch.Tensor, reference: torch.Tensor) -> float:
    """Share of tokens that are equal.

    Raises
    ------
    ValueError: the reference is one token over and over, as from a model that computes NaN; its tokens would
        be equal whatever is compared.
    """
    if len(reference.unique()) < 2:
        raise ValueError("all tokens are the same: the model computes nothing, perhaps NaN")
    return float((codes == reference).float().mean())


@contextmanager
def exact() -> Iterator[None]:
    """Keep TF32 out of the products."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
