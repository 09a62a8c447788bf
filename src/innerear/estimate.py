"""What a study will take, in samples, steps, bytes: computed from its settings before any work.

Light on purpose: the Snakefile imports this each time it is parsed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

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
    cells: "CellEstimate | None" = None

    @property
    def n_samples(self) -> int:
        """Number N of (prompt, seed) pairs."""
        return self.n_prompts * self.n_seeds

    @property
    def disk_bytes(self) -> int:
        """Stacks, audio, Gram files and counterfactual cells of the whole study."""
        cells = self.cells.disk_bytes if self.cells else 0
        captured = self.n_samples * (self.stack_bytes + self.audio_bytes)
        return captured + self.n_layers * self.gram_bytes + cells

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
                f"Gram {bytes_text(self.n_layers * self.gram_bytes)}"
                + (f", counterfactual {bytes_text(self.cells.disk_bytes)}" if self.cells else ""),
                f"  memory    {bytes_text(self.gram_bytes)} for a layer's Gram, "
                "the largest array of the fan-in",
                *([str(self.cells)] if self.cells else []),
            ]
        )


@dataclass(frozen=True)
class CellEstimate:
    """Sizes of the counterfactual replay, in which a cell is one clip under one text.

    Attributes
    ----------
    n_jobs : one for each template and listener: the model, and its random twin if asked for.
    n_clips : of the study.
    passes_per_group : texts read in all, over all jobs, for one group of layers.
    n_cells : of the largest template, with the cells without text, which take no pass.
    n_layers, layers_at_once : that are kept, and whose states are held together.
    state_bytes, gram_bytes : of one layer: the states of the cells and of the batch under way, in float32
        (half of that where the model runs in float16); the largest array of its file.
    file_bytes : of all files of one layer, over templates and listeners; token_bytes : of all likelihoods.
    """

    n_jobs: int
    n_listeners: int
    n_clips: int
    passes_per_group: int
    n_cells: int
    n_layers: int
    layers_at_once: int
    state_bytes: int
    gram_bytes: int
    file_bytes: int
    token_bytes: int

    @property
    def n_groups(self) -> int:
        """Groups of layers, each of which takes all passes once more."""
        return ceil(self.n_layers / self.layers_at_once)

    @property
    def n_passes(self) -> int:
        """Teacher-forced passes of one clip under one text, in all."""
        return self.passes_per_group * self.n_groups

    @property
    def disk_bytes(self) -> int:
        """All files."""
        return self.n_layers * self.file_bytes + self.token_bytes

    @property
    def memory_bytes(self) -> int:
        """States of a group of layers, and twice one layer's Gram: step by step, and whole."""
        return self.layers_at_once * self.state_bytes + 2 * self.gram_bytes

    def __str__(self) -> str:
        texts = self.passes_per_group / (self.n_clips * self.n_listeners)
        times = " × 2 listeners" if self.n_listeners > 1 else ""
        if self.n_groups > 1:
            times += f" × {self.n_groups} groups of up to {self.layers_at_once} layers"
        return (
            f"  swapped   {self.n_passes:,} passes = {self.n_clips:,} clips × {texts:.3g} texts of their "
            f"template{times}, in {self.n_jobs:,} jobs\n"
            f"            memory {bytes_text(self.memory_bytes)} at most: states of {self.layers_at_once} "
            f"layers, and the Gram of one, {bytes_text(self.gram_bytes)} for {self.n_cells:,} cells"
        )


def estimate_cells(
    architecture: Architecture,
    n_texts: Sequence[int],
    n_emotions: int,
    n_seeds: int,
    n_listeners: int,
    n_layers: int,
    duration: float,
    stride: float,
    settings: Mapping,
    dtype: str,
) -> CellEstimate | None:
    """Compute the sizes of the counterfactual replay; None where no template's texts are swapped.

    Parameters
    ----------
    n_texts : of each template, how many texts each of its clips is read under.
    n_listeners : the model, and its twin with random weights if asked for.
    settings : ``counterfactual``: batch_size, max_gib, keep_states.
    dtype : of states as kept, with the means over seeds.
    """
    if not n_texts:
        return None
    timeline, width = architecture.timeline(duration, stride), architecture.d_model
    clips, steps, rows = n_emotions * n_seeds, timeline.n_steps, timeline.n_steps + _WINDOWS
    # Beside the cells, the batch under way: both branches, on the device and twice here.
    cells = [clips * (texts + 1) for texts in n_texts]
    held = max(cells) + 6 * min(settings["batch_size"], clips)
    state_bytes = 4 * steps * width * held
    means = _BYTES[dtype] * rows * n_emotions * (n_emotions + 2) * width
    kept = _BYTES[dtype] * steps * width if settings["keep_states"] else 0
    files = sum(4 * rows * (n * n + n + 1) + means + kept * n for n in cells)
    tokens = sum(4 * 2 * n * architecture.n_codebooks * timeline.n_frames for n in cells)
    return CellEstimate(
        n_jobs=n_listeners * len(n_texts),
        n_listeners=n_listeners,
        n_clips=clips * len(n_texts),
        passes_per_group=n_listeners * clips * sum(n_texts),
        n_cells=max(cells),
        n_layers=n_layers,
        layers_at_once=min(n_layers, max(1, int(settings["max_gib"] * GIB // state_bytes))),
        state_bytes=state_bytes,
        gram_bytes=4 * rows * max(cells) ** 2,
        file_bytes=n_listeners * files,
        token_bytes=n_listeners * tokens,
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
    if study.cells and study.cells.gram_bytes > max_gib * GIB:
        raise InputError(
            f"the counterfactual's Gram of {study.cells.n_cells:,} cells × {study.n_steps:,} steps takes "
            f"{bytes_text(study.cells.gram_bytes)} a layer, more than gram.max_gib = {max_gib:g}; raise "
            "gram.max_gib if your machine has the memory, use fewer seeds, or set "
            "counterfactual.enabled: false"
        )


def bytes_text(n_bytes: float) -> str:
    """Return a number of bytes with three digits and a binary unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:,.1f} TiB"
