"""A study's samples, steps and bytes, computed from its settings before any work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from innerear.errors import InputError
from innerear.study.architectures import Architecture
from innerear.study.jobs import templates_of_a_job
from innerear.timeline import Timeline, chunk_steps

GIB = 2**30
_BYTES = {"float16": 2, "float32": 4}
_SUMS = 12  # six measures, over all pairs of seeds and over those of one seed
_WINDOWS = 13  # whole, first and last tenth, ten deciles
# Measured overhead of HDF5: of a stack, of a layer in it (states and level), of a chunk with its checksum.
_FILE_BYTES, _DATASET_BYTES, _CHUNK_BYTES = 15_500, 1500, 22
#: codec frames, beside those of the delays, that the smallest lag between states and sound needs
FEWEST_FRAMES = 5
_FEWEST_GROUPS = 10  # of steps: a window of a tenth holds at least one


@dataclass(frozen=True)
class Estimate:
    """Sizes of one study; bytes are those of the files."""

    n_prompts: int
    n_seeds: int
    n_layers: int
    n_steps: int
    seconds: float
    stack_bytes: int
    audio_bytes: int
    gram_bytes: int
    weight_bytes: int
    gram_branches: int = 3
    cells: "CellEstimate | None" = None

    @property
    def n_samples(self) -> int:
        """Number N of (prompt, seed) pairs."""
        return self.n_prompts * self.n_seeds

    @property
    def disk(self) -> dict[str, int]:
        """Bytes of the largest kinds of files, by the name of their folder."""
        expected = {
            "stacks": self.n_samples * self.stack_bytes,
            "audio": self.n_samples * self.audio_bytes,
            "gram": self.n_layers * self.gram_bytes,
        }
        return expected | ({"counterfactual": self.cells.disk_bytes} if self.cells else {})

    def __str__(self) -> str:
        return "\n".join(
            [
                f"  samples   {self.n_samples:,} = {_count(self.n_prompts, 'prompt')} × "
                f"{_count(self.n_seeds, 'seed')}, {self.seconds:g} s each",
                f"  steps     {self.n_samples * self.n_steps:,} = {self.n_steps:,} a sample, "
                f"recorded at {_count(self.n_layers, 'layer')}",
                f"  disk      {bytes_text(sum(self.disk.values()))} for the largest files: "
                + ", ".join(f"{name} {bytes_text(size)}" for name, size in self.disk.items()),
                f"  memory    {bytes_text(self.gram_bytes)} for a layer's Gram matrices, "
                "the largest array of an analysis",
                *([str(self.cells)] if self.cells else []),
            ]
        )


@dataclass(frozen=True)
class CellEstimate:
    """Sizes of the counterfactual replay. A cell is one clip under one text.

    Attributes
    ----------
    n_jobs, n_models : groups of templates × models; the model, and its random twin if asked for.
    templates_of_a_job : in each group but the last, which has what is left.
    passes_per_group : clips (of the study) × texts, over all jobs, for one group of layers.
    n_cells : of the largest template, including cells without text, which take no pass.
    n_layers, layers_at_once : layers kept, and layers whose states are in memory together.
    state_bytes, gram_bytes : of one layer: float32 states of the cells and of the current batch (half of that
        if the model runs in float16); the largest array of its file.
    file_bytes, token_bytes : of all files of one layer, over templates and models; of all likelihoods.
    """

    n_jobs: int
    templates_of_a_job: int
    n_models: int
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
        """Groups of layers; each group takes all passes again."""
        return ceil(self.n_layers / self.layers_at_once)

    @property
    def n_passes(self) -> int:
        """Teacher-forced passes (one clip under one text) in total."""
        return self.passes_per_group * self.n_groups

    @property
    def disk_bytes(self) -> int:
        """Bytes of all files."""
        return self.n_layers * self.file_bytes + self.token_bytes

    @property
    def memory_bytes(self) -> int:
        """Bytes of the states of a group of layers and twice one layer's Gram (per step and joined)."""
        return self.layers_at_once * self.state_bytes + 2 * self.gram_bytes

    def __str__(self) -> str:
        texts = self.passes_per_group / (self.n_clips * self.n_models)
        times = " × 2 models" if self.n_models > 1 else ""
        if self.n_groups > 1:
            times += f" × {self.n_groups} groups of up to {_count(self.layers_at_once, 'layer')}"
        jobs = "one job" if self.n_jobs == 1 else f"{self.n_jobs:,} jobs"
        return (
            f"  swapped   {self.n_passes:,} passes = {self.n_clips:,} clips × {texts:.3g} texts of their "
            f"template{times}, in {jobs}\n"
            f"            memory {bytes_text(self.memory_bytes)} at most: states of "
            f"{_count(self.layers_at_once, 'layer')}, and the Gram of one, {bytes_text(self.gram_bytes)} for "
            f"{self.n_cells:,} cells"
        )


def estimate_cells(
    architecture: Architecture,
    n_texts: Sequence[int],
    n_emotions: int,
    n_seeds: int,
    n_models: int,
    n_layers: int,
    weight_bytes: float,
    duration: float,
    stride: float,
    settings: Mapping,
    dtype: str,
) -> CellEstimate | None:
    """Compute the sizes of the counterfactual replay; None if no template's texts are swapped.

    Parameters
    ----------
    n_texts : for each template, the number of texts per clip.
    n_models : 2 with the random twin.
    weight_bytes : of the language model.
    settings, dtype : the section ``counterfactual``; of stored states and means over seeds.
    """
    if not n_texts:
        return None
    timeline, width = architecture.timeline(duration, stride), architecture.d_model
    clips, steps, rows = n_emotions * n_seeds, timeline.n_steps, timeline.n_steps + _WINDOWS
    # The cells and the current batch: both branches, on the device and twice in memory.
    cells = [clips * (texts + 1) for texts in n_texts]
    together = templates_of_a_job(clips, weight_bytes)
    held = max(cells) + 6 * min(settings["batch_size"], clips)
    state_bytes = 4 * steps * width * held
    means = _BYTES[dtype] * rows * n_emotions * (n_emotions + 2) * width
    kept = _BYTES[dtype] * steps * width if settings["keep_states"] else 0
    files = sum(4 * rows * (n * n + n + 1) + means + kept * n for n in cells)
    tokens = sum(4 * 2 * n * architecture.n_codebooks * timeline.n_frames for n in cells)
    return CellEstimate(
        n_jobs=n_models * ceil(len(n_texts) / together),
        templates_of_a_job=together,
        n_models=n_models,
        n_clips=clips * len(n_texts),
        passes_per_group=n_models * clips * sum(n_texts),
        n_cells=max(cells),
        n_layers=n_layers,
        layers_at_once=min(n_layers, max(1, int(settings["max_gib"] * GIB // state_bytes))),
        state_bytes=state_bytes,
        gram_bytes=4 * rows * max(cells) ** 2,
        file_bytes=n_models * files,
        token_bytes=n_models * tokens,
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
    steps_per_matrix: int = 1,
    pairs: bool = False,
) -> Estimate:
    """Compute the sizes of a study.

    Parameters
    ----------
    capture, captures : sites, layers (numbers), branches and dtype of what is recorded, and of replays.
    duration, stride : seconds of a clip; share of its windows, if it has several.
    n_bins, steps_per_matrix : time bins; steps that each matrix covers.
    pairs : whether the matrices of steps are kept for all pairs of samples.
    """
    timeline, width = architecture.timeline(duration, stride), architecture.d_model
    gram_branches = 3 if len(capture["branches"]) == 2 else 1  # with cond and uncond, delta
    steps = timeline.n_steps
    pads = 2 * architecture.max_delay
    return Estimate(
        n_prompts=n_prompts,
        n_seeds=n_seeds,
        n_layers=len(capture["layers"]),
        n_steps=steps,
        seconds=duration,
        stack_bytes=_stack_bytes(architecture, timeline, capture)
        + sum(_stack_bytes(architecture, timeline, one, replayed=True) for one in captures),
        audio_bytes=2 * int(duration * architecture.sample_rate),
        gram_bytes=gram_branches
        * _gram_bytes(
            n_prompts, n_seeds, pads + ceil((steps - pads) / steps_per_matrix), n_bins, width, pairs=pairs
        ),
        gram_branches=gram_branches,
        # A block has 16 d² weights (self- and cross-attention 4 d² each, feed-forward 8 d²); while loading,
        # they are in memory in float32 and in the checkpoint's float16.
        weight_bytes=(4 + 2) * 16 * architecture.n_layers * width**2,
    )


def _gram_bytes(
    n_prompts: int, n_seeds: int, n_matrices: int, n_bins: int, width: int, *, pairs: bool
) -> int:
    """Return the bytes of one branch in a layer's Gram file, all float32.

    Sums over pairs of seeds of each step (or group) and window, by pair of prompts; with `pairs` inner
    products and standardised cosines of each step; features of windows and bins; lengths, and products with
    the mean, of each step.
    """
    n = n_prompts * n_seeds
    sums = _SUMS * n_prompts * (n_prompts + 1) // 2 * (n_matrices + _WINDOWS)
    squares = 2 * n**2 * n_matrices if pairs else 0
    return 4 * (sums + squares + n * (width * (_WINDOWS + n_bins) + 2 * n_matrices))


def _stack_bytes(
    architecture: Architecture, timeline: Timeline, capture: Mapping, *, replayed: bool = False
) -> int:
    """Return the bytes of a stack of one capture: states in chunks, coordinates, and HDF5's overhead."""
    steps, frames, n_codebooks = timeline.n_steps, timeline.n_frames, timeline.n_codebooks
    places = sum(1 if site == "input" else len(capture["layers"]) for site in capture["sites"])
    chunk = chunk_steps(steps)
    n_chunks = len(capture["branches"]) * places * ceil(steps / chunk)
    states = n_chunks * (chunk * architecture.d_model * _BYTES[capture["dtype"]] + _CHUNK_BYTES)
    levels = places * steps * (4 * len(capture["branches"]) + 1)
    # Per step: number, window, position, second, completeness, input gap; per step and codebook: frame,
    # reread. Per frame: number and tokens.
    times = steps * (25 + 5 * n_codebooks) + frames * (8 + 2 * n_codebooks)
    axes = 8 * len(capture["sites"]) * (steps + architecture.d_model)
    likelihood = 12 * n_codebooks * frames if replayed else 0  # three distributions, float32
    return states + levels + times + axes + likelihood + _FILE_BYTES + _DATASET_BYTES * places


def refuse_what_cannot_run(
    study: Estimate, architecture: Architecture, duration: float, gram: Mapping, permutations: int
) -> None:
    """Refuse clips without a complete step, too few matrices for windows, and arrays above the limit.

    The InputError names the setting to change; `gram` is the section of that name.
    """
    complete = architecture.n_frames(duration) - architecture.max_delay
    if complete < FEWEST_FRAMES:
        least = architecture.max_delay + FEWEST_FRAMES
        raise InputError(
            f"generation.duration: {duration:g} s is {architecture.n_frames(duration)} codec frames; "
            f"{least} are needed ({least / architecture.frame_rate:g} s) to compare states with the sound a "
            "frame before and after them"
        )
    most = max(1, (complete - 1) // (_FEWEST_GROUPS - 1))
    if gram["steps_per_matrix"] > most:
        raise InputError(
            f"gram.steps_per_matrix: {gram['steps_per_matrix']} leaves fewer than {_FEWEST_GROUPS} matrices "
            f"of the {complete} complete steps, too few for windows of a tenth; the most is {most}"
        )
    if study.gram_bytes > gram["max_gib"] * GIB:
        raise InputError(
            f"a layer's Gram of {study.n_samples:,} samples × {study.n_steps:,} steps takes "
            f"{bytes_text(study.gram_bytes)}, more than gram.max_gib = {gram['max_gib']:g}; "
            f"{_way_out(study, architecture, most, gram)}; raise gram.max_gib if your machine has the "
            "memory, or use shorter clips, fewer prompts or fewer seeds"
        )
    table = 4 * permutations * study.n_samples
    if table > gram["max_gib"] * GIB:
        raise InputError(
            f"statistics.permutations: {permutations:,} permutations × {study.n_samples:,} samples "
            f"take {bytes_text(table)}, more than gram.max_gib = {gram['max_gib']:g}; use fewer"
        )
    if study.cells and study.cells.gram_bytes > gram["max_gib"] * GIB:
        raise InputError(
            f"the counterfactual's Gram of {study.cells.n_cells:,} cells × {study.n_steps:,} steps takes "
            f"{bytes_text(study.cells.gram_bytes)} a layer, more than gram.max_gib = {gram['max_gib']:g}; "
            "raise gram.max_gib if your machine has the memory, use fewer seeds, or set "
            "counterfactual.enabled: false"
        )


def _way_out(study: Estimate, architecture: Architecture, most: int, gram: Mapping) -> str:
    """Return settings that make a layer's Gram fit: no pairs of samples first, then more steps per matrix."""
    pads = 2 * architecture.max_delay

    def fits(steps_per_matrix: int) -> bool:
        matrices = pads + ceil((study.n_steps - pads) / steps_per_matrix)
        sizes = study.n_prompts, study.n_seeds, matrices, gram["bins"], architecture.d_model
        return study.gram_branches * _gram_bytes(*sizes, pairs=False) <= gram["max_gib"] * GIB

    without = "gram.pairs: false" if gram["pairs"] else ""
    if without and fits(gram["steps_per_matrix"]):
        return f"{without} fits"
    if fits(most):
        size = next(k for k in range(1, most + 1) if fits(k))
        settings = " with ".join(filter(None, [f"gram.steps_per_matrix: {size}", without]))
        return f"{settings} fits, which compares averages over {size} steps"
    return f"even gram.steps_per_matrix: {most} does not fit, so split the study"


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def bytes_text(n_bytes: float) -> str:
    """Return a number of bytes with three digits and a binary unit.

    >>> bytes_text(1536), bytes_text(1019 * 2**20)
    ('1.5 KiB', '0.995 GiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if float(said := f"{n_bytes:.3g}") < 1000:
            return f"{said} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:,.1f} TiB"
