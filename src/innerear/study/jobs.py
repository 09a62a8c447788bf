"""Divide a study's clips among jobs; no result depends on the division."""

from collections.abc import Mapping, Sequence

from innerear.study.names import is_name
from innerear.study.prompts import Prompt, batches, sheet_rows

#: Clips of a job that runs a small model: its start takes as long as some of them.
CLIPS_OF_A_JOB = 40
#: Seconds of sound of a job that measures, at most: 30 to 120 s of work.
SOUND_OF_A_JOB = 1200
#: Layers of a job that analyses, at most: its start takes as long as a layer of a small study.
LAYERS_OF_A_JOB = 6
# Bytes of weights up to which a job's start, not composing, is what takes time.
_SMALL = 200e6


def prompts_of_a_job(batch: str | int, n_seeds: int, weight_bytes: float) -> str | int:
    """Return ``"pair"``, ``"prompt"``, or the number of prompts of a job, for the setting `generation.batch`.

    Parameters
    ----------
    batch : one of these, or ``"auto"``: for a small model as many prompts as make `CLIPS_OF_A_JOB` clips,
        for a larger one ``"prompt"``.
    weight_bytes : of the language model.

    Examples
    --------
    >>> prompts_of_a_job("auto", n_seeds=2, weight_bytes=4e6)
    20
    >>> prompts_of_a_job("auto", n_seeds=2, weight_bytes=2e9)
    'prompt'
    """
    if batch != "auto":
        return batch
    return max(1, CLIPS_OF_A_JOB // n_seeds) if weight_bytes < _SMALL else "prompt"


def templates_of_a_job(n_clips: int, weight_bytes: float) -> int:
    """Return how many templates of `n_clips` clips each a job replays: several with a small model.

    >>> templates_of_a_job(8, weight_bytes=4e6), templates_of_a_job(8, weight_bytes=2e9)
    (5, 1)
    """
    return max(1, CLIPS_OF_A_JOB // n_clips) if weight_bytes < _SMALL else 1


def layers_together(layers: Sequence[int], most: int = LAYERS_OF_A_JOB) -> list[str]:
    """Return the layers of each job, at most so many, as `innerear.study.names.layers_of` reads them.

    >>> layers_together([0, 3, 5])
    ['00-03-05']
    >>> layers_together(range(8))
    ['00-01-02-03', '04-05-06-07']
    >>> layers_together([0, 3, 5], most=1)
    ['00', '03', '05']
    """
    n_jobs = -(-len(layers) // most)
    jobs = batches(layers, -(-len(layers) // n_jobs)) if layers else []
    return ["-".join(f"{layer:02d}" for layer in job) for job in jobs]


def gram_seconds(n_samples: int, n_prompts: int, n_steps: int, d_model: int) -> float:
    """Return what a layer's sums of products take, in CPU seconds, by the laws of docs/scaling.md.

    >>> round(gram_seconds(10_000, 2_500, n_steps=403, d_model=1024))
    6398
    """
    return n_steps * (4e-4 * n_samples * max(1, d_model / 1024) + 1.9e-6 * n_prompts**2)


def label_seconds(n_prompts: int, n_steps: int, n_permutations: int) -> float:
    """Return what the slowest analysis of labels takes of a layer, in CPU seconds, by docs/scaling.md.

    >>> round(label_seconds(248, n_steps=403, n_permutations=1000))
    53
    """
    return (5e-5 + 2e-9 * n_permutations * n_steps) * n_prompts**2


def sound_seconds(n_samples: int, n_permutations: int) -> float:
    """Return what the slowest analysis of sound takes of a layer, in CPU seconds, by docs/scaling.md.

    >>> round(sound_seconds(992, n_permutations=1000))
    146
    """
    return 1.5e-10 * n_permutations * n_samples**3


def layers_of_a_job(seconds: float) -> int:
    """Return how many layers share a job: as many as take half an hour, which a killed job loses.

    >>> layers_of_a_job(5), layers_of_a_job(600), layers_of_a_job(6400)
    (6, 3, 1)
    """
    return int(min(LAYERS_OF_A_JOB, max(1, 1800 / max(seconds, 1))))


def minutes_of_a_job(seconds: float) -> int:
    """Return the minutes that such a job asks for, given a layer's seconds: an hour, and twice what it takes.

    >>> minutes_of_a_job(5), minutes_of_a_job(600), minutes_of_a_job(6400)
    (61, 120, 273)
    """
    return 60 + round(layers_of_a_job(seconds) * seconds / 30)


def groups(prompts: Sequence[Prompt], size: int, sheet: str | None, label: str = "") -> list[list[Prompt]]:
    """Return the prompts of each job: in the order of the sheet `size` at a time, the last with what is left.

    A prompt added at the sheet's end, or an emotion to templates, therefore changes no job but the last.
    """
    if sheet:
        rows = [cells["id"] for cells in sheet_rows(sheet, label).values()]
        place = {name: i for i, name in enumerate(rows)}
        prompts = sorted(prompts, key=lambda prompt: place[prompt.id])
    return [list(group) for group in batches(prompts, size)]


def measured_together(
    prompts: Sequence[Prompt], seeds: Mapping[str, Sequence[int]], seconds: float
) -> dict[str, list[Prompt]]:
    """Return for each job, named by its first template, the prompts that it measures.

    Whole templates share a job, up to `SOUND_OF_A_JOB`; whole prompts, where a template names no file.

    Parameters
    ----------
    seeds : of each prompt by its id.
    seconds : of a clip.
    """
    by_template = all(is_name(prompt.template) for prompt in prompts)
    parts: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        parts.setdefault(prompt.template if by_template else prompt.id, []).append(prompt)
    jobs: dict[str, list[Prompt]] = {}
    last, sound = "", float(SOUND_OF_A_JOB)
    for name, own in parts.items():
        more = seconds * sum(len(seeds[prompt.id]) for prompt in own)
        if sound + more > SOUND_OF_A_JOB:
            last, sound = name, 0
        jobs.setdefault(last, []).extend(own)
        sound += more
    return jobs


def jobs_text(batch: str | int, settings: Mapping, n_prompts: int, n_seeds: int, n_tracks: int = 0) -> str:
    """Say how the clips are shared out, for the announcement; `n_tracks` of the prompts are recorded."""
    at_once, asked = settings["batch_size"], settings["batch"]
    made, unit = ("encoded", "track") if n_tracks == n_prompts else ("generated", "prompt")
    if batch == "pair":
        what = f"{n_prompts * n_seeds:,} jobs of one clip"
    else:
        size = 1 if isinstance(batch, str) else min(batch, n_prompts)
        n_jobs, n_clips = -(-n_prompts // size), size * n_seeds
        most = "up to " if n_prompts % size else ""
        prompts = f"one {unit}" if size == 1 else f"{most}{size:,} {unit}s"
        jobs = "one job" if n_jobs == 1 else f"{n_jobs:,} jobs"
        clips = (
            "one clip" if n_clips == 1 else f"{n_clips:,} clips, up to {min(at_once, n_clips):,} at a time"
        )
        what = f"{jobs} of {prompts}, {clips}"
    return f"  {made} in {what} (generation.batch: {asked})"
