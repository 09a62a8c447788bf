"""What a study will take, in samples, steps, bytes: computed from its settings before any work.

Light on purpose: the Snakefile imports this each time it is parsed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from innerear.architectures import Architecture
from innerear.errors import InputError

GIB = 2**30
_BYTES = {"float16": 2, "float32": 4}
_GRAM_BRANCHES = 3  # cond, uncond, delta
_WINDOWS = 13  # whole, first and last tenth, ten deciles


@dataclass(frozen=True)
class Estimate:
    """Sizes of one study. Bytes are of the files as written, without HDF5's few kilobytes of overhead."""

    n_prompts: int
    n_seeds: int
    n_layers: int
    n_steps: int
    seconds: float
    stack_bytes: int
    audio_bytes: int
    gram_bytes: int
    weight_bytes: int

    @property
    def n_samples(self) -> int:
        """Number N of (prompt, seed) pairs."""
        return self.n_prompts * self.n_seeds

    @property
    def disk_bytes(self) -> int:
        """Stacks, audio and Gram files of the whole study."""
        return self.n_samples * (self.stack_bytes + self.audio_bytes) + self.n_layers * self.gram_bytes

    def __str__(self) -> str:
        return "\n".join(
            [
                f"  samples   {self.n_samples:,} = {self.n_prompts:,} prompts × {self.n_seeds:,} seeds, "
                f"{self.seconds:g} s each",
                f"  steps     {self.n_samples * self.n_steps:,} = {self.n_steps:,} a sample, "
                f"recorded at {self.n_layers} layers",
                f"  disk      {bytes_text(self.disk_bytes)}: "
                f"stacks {bytes_text(self.n_samples * self.stack_bytes)}, "
                f"audio {bytes_text(self.n_samples * self.audio_bytes)}, "
                f"Gram {bytes_text(self.n_layers * self.gram_bytes)}",
                f"  memory    {bytes_text(self.gram_bytes)} for a layer's Gram, "
                "the largest array of the fan-in",
            ]
        )


def estimate(
    architecture: Architecture,
    n_prompts: int,
    n_seeds: int,
    capture: Mapping,
    captures: Sequence[Mapping],
    duration: float,
    stride: float,
    n_bins: int,
) -> Estimate:
    """Compute the sizes of a study.

    Parameters
    ----------
    architecture : of the model.
    capture : sites, layers (numbers), branches and dtype of what is recorded; captures : of what is
        replayed from it.
    duration : seconds of a clip; stride : of its windows, if it has several.
    n_bins : time bins of the stacked Gram matrix.
    """
    n, steps = n_prompts * n_seeds, architecture.timeline(duration, stride).n_steps
    width = architecture.d_model
    # Two float32 matrices a step (inner products and standardised cosines), one a window, one of all bins.
    gram = 4 * _GRAM_BRANCHES * (n * n * (2 * steps + _WINDOWS + n_bins**2) + n * _WINDOWS * width)
    return Estimate(
        n_prompts=n_prompts,
        n_seeds=n_seeds,
        n_layers=len(capture["layers"]),
        n_steps=steps,
        seconds=duration,
        stack_bytes=steps * width * sum(map(_stored, [capture, *captures])),
        audio_bytes=2 * int(duration * architecture.sample_rate),
        gram_bytes=gram,
        # A block holds 16 d² weights (self- and cross-attention 4 d² each, feed-forward 8 d²); while they
        # load, in float32 and beside it the checkpoint's float16.
        weight_bytes=(4 + 2) * 16 * architecture.n_layers * width**2,
    )


def _stored(capture: Mapping) -> int:
    """Bytes of one step's unit in a capture: over its branches, sites and layers."""
    places = sum(1 if site == "input" else len(capture["layers"]) for site in capture["sites"])
    return len(capture["branches"]) * places * _BYTES[capture["dtype"]]


def refuse_what_cannot_run(
    study: Estimate, architecture: Architecture, duration: float, max_gib: float
) -> None:
    """Refuse clips without a complete step, and a Gram larger than its limit.

    Raises
    ------
    InputError: with the setting to change.
    """
    if architecture.n_frames(duration) < architecture.n_codebooks:
        raise InputError(
            f"generation.duration: {duration:g} s is {architecture.n_frames(duration)} codec frames; "
            f"at least {architecture.n_codebooks} are needed for one step that lies outside the padding"
        )
    if study.gram_bytes > max_gib * GIB:
        raise InputError(
            f"a layer's Gram of {study.n_samples:,} samples × {study.n_steps:,} steps takes "
            f"{bytes_text(study.gram_bytes)}, more than gram.max_gib = {max_gib:g}; raise gram.max_gib "
            "if your machine has the memory, or use shorter clips, fewer seeds or fewer gram.bins"
        )


def bytes_text(n_bytes: float) -> str:
    """Return a number of bytes with three digits and a binary unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:,.1f} TiB"
