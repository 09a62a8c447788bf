"""Disk, time and memory that a study has used, compared with its estimate and the jobs' requests."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from math import isnan, nan
from os import PathLike
from pathlib import Path
from statistics import median

from innerear.study.estimate import Estimate, bytes_text

_FOLDERS = {"stacks": ("stacks", "captures")}
_JOBS_READ = 200  # enough for a median; a study may have a million


def generation_time(size: Estimate, benchmarks: str | PathLike) -> str:
    """Return the time to generate all samples, at the median rate of the finished jobs.

    In the folder `benchmarks`, a job of rule generate for all seeds of a prompt is named ``all-seeds.tsv``,
    one of several prompts ``prompts-1-to-20.tsv``.
    """
    rates = _generation_rates(size, benchmarks)
    if not rates:
        return "  time      is known after the first generation job: ask again with snakemake -n"
    rate = median(rates)
    return (
        f"  time      {duration_text(rate * size.n_samples)} of one device for all samples, "
        f"at {rate:.3g} s each, the median of {_jobs_text(rates)} done"
    )


def counterfactual_time(size: Estimate, benchmarks: str | PathLike) -> str:
    """Return the time of the counterfactual replay, at the best rate known; empty if nothing is swapped.

    The rate is that of its own jobs; else of rule replay, whose passes are the same; else of generation, an
    upper bound.
    """
    if not size.cells:
        return ""
    passes = size.cells.n_passes
    own, replayed = (
        [seconds for _, seconds in _jobs(benchmarks, rule)] for rule in ("counterfactual", "replay")
    )
    generated = _generation_rates(size, benchmarks)
    if own:
        rate = median(own) * size.cells.n_jobs / passes
        said = f"at {rate:.3g} s a pass, the median of {_jobs_text(own)} done"
    elif replayed:
        rate = median(replayed) / size.n_seeds
        said = f"at {rate:.3g} s a pass, the median of {_jobs_text(replayed)} of rule replay"
    elif generated:
        rate = median(generated)
        said = "as if a pass took as long as generating; better known after the first such job"
    else:
        return "            that of the swapped texts after the first job too"
    bound = "" if own or replayed else "less than "
    return f"            {bound}{duration_text(rate * passes)} for the swapped texts, {said}"


def steering_time(n_clips: int, n_steered: int, size: Estimate, benchmarks: str | PathLike) -> str:
    """Return the time of a study's interventions, at the best rate known; empty if there are none.

    Parameters
    ----------
    n_clips : that the interventions compose in all.
    n_steered : those of one job of rule steer, whose rate is taken; before it is known, that of generation.
    """
    if not n_clips:
        return ""
    own = [seconds / n_steered for _, seconds in _jobs(benchmarks, "steer")]
    rates = own or _generation_rates(size, benchmarks)
    if not rates:
        return f"            that of the {n_clips:,} steered clips after the first job too"
    rate = median(rates)
    said = f"the median of {_jobs_text(rates)} of rule {'steer' if own else 'generate'}"
    all_clips = f"{duration_text(rate * n_clips)} for {n_clips:,} steered clips"
    return f"            {all_clips}, at {rate:.3g} s each, {said}"


def memory_asked(asked: Mapping[str, float], most: int = 4) -> str:
    """Return the rules that request the most memory, in MB (10⁶ bytes), at the first attempt."""
    largest = sorted(asked.items(), key=lambda rule: -rule[1])[:most]
    listed = ", ".join(f"{rule} {bytes_text(mb * 1e6)}" for rule, mb in largest)
    return f"  asked     {listed} of memory for a job; the other rules less"


def usage_report(size: Estimate, results: str | PathLike, asked: Mapping[str, float]) -> str:
    """Compare a finished study with its estimate, and its jobs with the memory that they requested.

    Parameters
    ----------
    results : the study's folder.
    asked : MB of memory by rule, at the first attempt.

    Returns
    -------
    Lines: bytes on disk, estimated and used; then per rule its jobs, their time, memory requested, and the
    largest resident memory.
    """
    lines = ["  on disk          estimated        used"]
    for name, expected in disk_estimates(size).items():
        used = disk_used(results, name)
        lines.append(f"  {name:<14} {bytes_text(expected):>11} {bytes_text(used):>11}")
    lines.append("  rule                 jobs     in all   memory asked       used")
    for rule, n_jobs, seconds, peak in used_by_rule(results):
        limit = asked.get(rule)
        asks = bytes_text(limit * 1e6) if limit else "–"
        used = "–" if isnan(peak) else bytes_text(peak)
        over = "  more than asked" if limit and peak > limit * 1e6 else ""
        lines.append(f"  {rule:<18} {n_jobs:>6} {duration_text(seconds):>10} {asks:>14} {used:>10}{over}")
    return "\n".join(lines)


def disk_estimates(size: Estimate) -> dict[str, int]:
    """Return the bytes on disk that a study is expected to take: its largest kinds of files by name."""
    expected = {
        "stacks": size.n_samples * size.stack_bytes,
        "audio": size.n_samples * size.audio_bytes,
        "gram": size.n_layers * size.gram_bytes,
    }
    return expected | ({"counterfactual": size.cells.disk_bytes} if size.cells else {})


def disk_used(results: str | PathLike, name: str) -> int:
    """Return the bytes of all files of a kind, as `disk_estimates` names them."""
    folders = [Path(results, folder) for folder in _FOLDERS.get(name, (name,))]
    return sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())


def used_by_rule(results: str | PathLike) -> list[tuple[str, int, float, float]]:
    """Return each rule's number of jobs, their seconds in all, and the largest memory of one in bytes.

    A job that ends before the first measurement has no memory: NaN if all do.
    """
    found = []
    for rule, jobs in sorted(_jobs_by_rule(Path(results, "benchmarks")).items()):
        seconds = sum(float(job["s"]) for job in jobs)
        peaks = [float(job["max_rss"]) * 2**20 for job in jobs if job["max_rss"] not in ("-", "NA", "")]
        found.append((rule, len(jobs), seconds, max(peaks, default=nan)))
    return found


def duration_text(seconds: float) -> str:
    """Return a duration in the largest unit that keeps it above one.

    >>> duration_text(90), duration_text(59.99), duration_text(86_400_000)
    ('1.5 min', '1 min', '1,000 days')
    """
    for unit, length, of_next in (("s", 1, 60), ("min", 60, 60), ("h", 3600, 24)):
        if float(said := f"{seconds / length:.3g}") < of_next:
            return f"{said} {unit}"
    days = seconds / 86400
    said = f"{days:.3g}" if days < 99.95 else f"{days:,.0f}"
    return f"{said} day{'s' if said != '1' else ''}"


def _jobs_text(jobs: Sequence[float]) -> str:
    return "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"


def _generation_rates(size: Estimate, benchmarks: str | PathLike) -> list[float]:
    """Return seconds a sample of each generation job."""
    return [seconds / _n_clips(size, name) for name, seconds in _jobs(benchmarks, "generate")]


def _n_clips(size: Estimate, job: str) -> int:
    """Return how many clips a generation job makes, by its name."""
    if group := re.fullmatch(r"prompts-(\d+)-to-(\d+)", job):
        first, last = map(int, group.groups())
        return (last - first + 1) * size.n_seeds
    return size.n_seeds if job == "all-seeds" else 1


def _jobs(benchmarks: str | PathLike, rule: str) -> Iterator[tuple[str, float]]:
    """Yield name and seconds of the first jobs of a rule."""
    for path in islice(Path(benchmarks, rule).rglob("*.tsv"), _JOBS_READ):
        yield from ((path.stem, float(job["s"])) for job in _benchmark(path))


def _jobs_by_rule(benchmarks: Path) -> dict[str, list[dict[str, str]]]:
    jobs: dict[str, list[dict[str, str]]] = {}
    for path in sorted(benchmarks.rglob("*.tsv")):
        rule = path.relative_to(benchmarks).parts[0].removesuffix(".tsv")
        jobs.setdefault(rule, []).extend(_benchmark(path))
    return jobs


def _benchmark(path: Path) -> list[dict[str, str]]:
    """Return the rows of a benchmark; damaged ones are left out: no run is to fail over them."""
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [row for row in rows if _is_whole(row)]


def _is_whole(row: Mapping[str, str | None]) -> bool:
    numbers = row.get("s"), row.get("max_rss")
    known = (text and re.fullmatch(r"\d+(\.\d+)?(e[+-]?\d+)?|-|NA", text) for text in numbers)
    return all(known) and row["s"] not in ("-", "NA")
